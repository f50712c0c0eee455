"""`POST /servers`, refused."""

from typing import Any

from tests.conformance.nova.place import NOWHERE, Place, flavor_of
from tests.conformance.play import Play


def create_refused(play: Play) -> None:
    """Bodies of POST /servers that are refused at once."""
    place = Place(play)
    ask, path = play.member.nova, "/v2.1/servers"

    def make(at: str | None = None, **values: Any) -> None:
        ask("POST", path, place.body(**values), at=at)

    for body in (b"", b"{", [], {}, {"server": {}}, {"server": []}, {"nonsense": {}}):
        ask("POST", path, body)
    ask("POST", path, place.body(), Content_Type="text/plain")
    make(name="-")
    make(name="")
    make(name=" ")
    make(name=" x", at="2.1", flavorRef="nonsense")
    make(name="x" * 256)
    make(name=1)
    make(nonsense=1)
    make(imageRef="-")
    make(imageRef="")
    make(imageRef="nonsense")
    make(imageRef=NOWHERE)
    make(imageRef=1)
    make(flavorRef="-")
    make(flavorRef="nonsense")
    make(flavorRef=1.5)
    make(flavorRef="")
    make(networks="-", at="2.37")
    make(networks="nonsense", at="2.37")
    make(networks="auto", at="2.36")
    make(networks=[{}])
    make(networks=[1])
    make(networks=[{"uuid": "x"}])
    make(networks=[{"uuid": NOWHERE}])
    make(networks=[{"port": NOWHERE}])
    make(networks=[{"port": "x"}])
    make(networks=[{"uuid": place.net, "fixed_ip": "x"}])
    make(networks=[{"uuid": place.net, "fixed_ip": "203.0.113.1"}])
    make(networks=[{"uuid": place.net, "nonsense": 1}])
    make(networks=[{"uuid": place.net, "fixed_ip": "198.51.100.9"}], min_count=2)
    make(networks=[{"uuid": place.net, "tag": "x"}])
    make(networks=[{"uuid": place.net, "tag": "a,b"}], at="2.42")
    make(min_count=0)
    make(min_count="x")
    make(min_count=2, max_count=1)
    make(max_count=-1)
    make(metadata="x")
    make(metadata={"": "x"})
    make(metadata={"a": 1})
    make(metadata={"a": "x" * 256})
    make(metadata={"x" * 256: "a"})
    make(user_data="%%%")
    make(user_data="a" * 65536)
    make(user_data=1)
    make(key_name="nonsense")
    make(key_name=1)
    make(security_groups="x")
    make(security_groups=[{}])
    make(security_groups=[{"name": "nonsense"}])
    make(availability_zone="nonsense")
    make(availability_zone=1)
    make(config_drive="x")
    make(adminPass=1)
    make(accessIPv4="x")
    make(accessIPv6="192.0.2.1")
    make(personality=[{"path": "/x", "contents": "eA=="}], at="2.57")
    make(description="d", at="2.18")
    make(description=1, at="2.19")
    make(description="x" * 256, at="2.19")
    make(tags=["a"], at="2.51")
    make(tags=["a,b"], at="2.52")
    make(tags=["x" * 61], at="2.52")
    make(tags=[str(n) for n in range(51)], at="2.52")
    make(host="nonsense", at="2.73")
    make(host="nonsense", at="2.74")
    make(hostname="x", at="2.89")
    make(hostname="a b", at="2.90")
    make(hostname="x", min_count=2, at="2.90")
    make(trusted_image_certificates=["x"], at="2.62")
    make(block_device_mapping_v2=[{}])
    make(
        block_device_mapping_v2=[
            {"boot_index": 0, "uuid": NOWHERE, "source_type": "volume", "destination_type": "volume"}
        ]
    )
    make(block_device_mapping_v2=[{"boot_index": 0, "source_type": "nonsense", "destination_type": "volume"}])
    make(**{"OS-DCF:diskConfig": "nonsense"})
    ask("POST", path, {**place.body(), "os:scheduler_hints": {"group": "nonsense"}})
    ask("POST", path, {**place.body(), "os:scheduler_hints": {"group": NOWHERE}})
    ask("POST", path, {**place.body(), "os:scheduler_hints": {"nonsense": 1}, "OS-SCH-HNT:scheduler_hints": 1})
    play.reader.nova("POST", path, place.body())
    play.other.nova("POST", path, place.body())
    quota = f"/v2.1/os-quota-sets/{play.member.project_id}"
    for limits, values in (
        ({"instances": 1, "cores": 99, "ram": 9999}, {"min_count": 2}),
        ({"instances": 9, "cores": 1, "ram": 9999}, {"min_count": 2}),
        ({"instances": 9, "cores": 9, "ram": 100}, {"min_count": 2}),
        ({"instances": 1, "cores": 1, "ram": 1}, {"min_count": 2, "max_count": 3}),
        ({"metadata_items": 1}, {"metadata": {"a": "b", "c": "d"}}),
    ):
        play.admin.nova("PUT", quota, {"quota_set": limits}, quiet=True)
        make(**values)
        play.admin.nova("DELETE", quota, quiet=True)
    flavor_of(play, "conformance-small", ram=1)
    image = play.member.glance(
        "POST", "/v2/images", {"name": "conformance-big", "min_ram": 9, "min_disk": 9}, quiet=True
    )
    make(imageRef=play.name("queued", image["id"]))
    big = {"name": "conformance-big", "min_ram": 9, "min_disk": 9, "disk_format": "raw", "container_format": "bare"}
    active = play.name("big", play.member.glance("POST", "/v2/images", big, quiet=True)["id"])
    play.member.glance("PUT", f"/v2/images/{active}/file", b"x", Content_Type="application/octet-stream", quiet=True)
    make(imageRef=active)
    make(imageRef=active, flavorRef="conformance-small")
    play.admin.nova("DELETE", "/v2.1/flavors/conformance-small", quiet=True)
    for one in (image["id"], active):
        play.member.glance("DELETE", f"/v2/images/{one}", quiet=True)
    ask("GET", path)
    place.close()
