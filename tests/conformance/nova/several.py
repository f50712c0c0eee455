"""Several servers in one request, and lists of them."""

from tests.conformance.nova.place import NOWHERE, Place
from tests.conformance.play import Play


def many_servers(play: Play) -> None:
    """Several servers in one request, networks of every kind, and lists of them."""
    place = Place(play)
    ask, admin = play.member.nova, play.admin.nova
    path = "/v2.1/servers"
    port = play.member.neutron("POST", "/v2.0/ports", {"port": {"network_id": place.net, "name": "conformance-port"}},
                               quiet=True)["port"]["id"]  # fmt: skip
    play.name("port", port)
    ask("POST", path, place.body(networks=[{"port": port}], min_count=2))
    made = [ask("POST", path, place.body(name="given", networks=[{"port": port}]))["server"]["id"]]
    place.settled(made[0])
    ask("POST", path, place.body(name="again", networks=[{"port": port}]))
    ask("GET", f"{path}/{made[0]}", only="server.addresses.conformance-net", shape=True)
    play.member.neutron("GET", f"/v2.0/ports/{port}", only="port.device_owner")
    play.member.neutron("GET", f"/v2.0/ports/{port}", only="port.binding:vnic_type")
    play.admin.neutron("GET", f"/v2.0/ports/{port}", shape=True)
    made.append(ask("POST", path, place.body(name="none", networks="none"), at="2.37")["server"]["id"])
    ask("POST", path, place.body(name="auto", networks="auto", min_count=2), at="2.37")
    ask("POST", path, place.body(name="many", min_count=2, max_count=3, security_groups=[{"name": "default"}]))
    ask(
        "POST",
        path,
        place.body(name="reservation", max_count=2, return_reservation_id=True, networks="none"),
        at="2.37",
    )
    for server in ask("GET", path, quiet=True)["servers"]:
        place.settled(server["id"])
    ask("GET", f"{path}/{made[1]}", only="server.addresses")
    admin("GET", f"/v2.1/limits?tenant_id={play.member.project_id}", only="limits.absolute.totalInstancesUsed")
    names = f"{path}?sort_key=display_name&sort_dir=asc"
    for query in (
        "limit=2",
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=100000",
        "marker=nonsense",
        f"marker={NOWHERE}",
        "name=many",
        "name=^many-1$",
        "name=(",
        "status=ACTIVE&name=many",
        "status=nonsense",
        "status=SHUTOFF",
        "vm_state=active",
        "nonsense=1&name=given",
        "changes-since=nonsense",
        "changes-since=2001-01-01T00:00:00Z&name=given",
        "changes-since=2101-01-01T00:00:00Z",
        "changes-before=2101-01-01T00:00:00Z&name=given",
        "all_tenants=1",
        "all_tenants=x",
        "tenant_id=nonsense",
        f"flavor={place.tiny}&name=given",
        f"flavor={place.medium}",
        "flavor=nonsense",
        "image=nonsense",
        "ip=198.51.100&name=given",
        "ip=(",
        "ip6=2001",
        "host=nonsense",
        "uuid=nonsense",
        "reservation_id=nonsense",
        "locked=true",
        "tags=nonsense",
        "deleted=true&name=given",
        "deleted=x",
        "key_name=x",
        "user_id=nonsense",
        "power_state=1&name=given",
        "limit=1&limit=2",
        "host=",
    ):
        ask("GET", f"{names}&{query}")
    for query, at in (
        ("nonsense=1", "2.75"),
        ("changes-before=2001-01-01T00:00:00Z", "2.66"),
        ("changes-before=x", "2.66"),
        ("changes-since=2020-01-01T00:00:00Z&changes-before=2010-01-01T00:00:00Z", "2.66"),
        ("tags=nonsense", "2.26"),
        ("not-tags=nonsense&name=given", "2.26"),
        ("locked=true", "2.73"),
        ("locked=x", "2.73"),
        ("ip=198.51.100&name=given", "2.103"),
        ("host=nonsense", "2.103"),
    ):
        ask("GET", f"{names}&{query}", at=at)
        admin("GET", f"{names}&{query}&all_tenants=1&project_id={play.member.project_id}", at=at)
    for key in ("nonsense", "host", "created_at", "uuid"):
        ask("GET", f"{path}?sort_key={key}&name=given")
        ask("GET", f"{path}/detail?sort_key={key}&name=given", only="servers.0.name")
    ask("GET", f"{path}?sort_dir=nonsense")
    ask("GET", f"{path}/detail?limit=1&sort_key=display_name&sort_dir=asc", only="servers_links")
    ask("GET", f"{path}?limit=2&sort_key=display_name&sort_dir=desc&marker={made[0]}")
    play.other.nova("GET", f"{path}?marker={made[0]}")
    play.other.nova("GET", f"{path}/detail")
    for body in ({}, {"interfaceAttachment": {"net_id": "x"}}, {"interfaceAttachment": {"net_id": NOWHERE}},
                 {"interfaceAttachment": {"port_id": NOWHERE}}, {"interfaceAttachment": {"port_id": port}},
                 {"interfaceAttachment": {"port_id": port, "net_id": place.net}}):  # fmt: skip
        ask("POST", f"{path}/{made[1]}/os-interface", body, only="x")
    ask("GET", f"{path}/{made[0]}/os-interface/{port}", only="interfaceAttachment.port_state")
    ask("GET", f"{path}/{made[0]}/os-interface/{NOWHERE}")
    ask("DELETE", f"{path}/{made[0]}/os-interface/{NOWHERE}")
    ask("DELETE", f"{path}/{made[0]}")
    play.wait(lambda: ask("GET", f"{path}/{made[0]}", quiet=True).status == 404)
    play.member.neutron("GET", f"/v2.0/ports/{port}", only="port.device_id")
    ask("POST", path, place.body(name="huge", flavorRef=place.medium, networks="none", metadata={"x": "y"}, min_count=1,
                                 availability_zone="nova:nonsense"), at="2.37")  # fmt: skip
    place.close()
