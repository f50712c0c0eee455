# ruff: noqa: E501 (tables of requests)
"""One server, all that hangs on it, and its actions."""

from typing import Any

from tests.conformance.nova.place import LATEST, NOWHERE, PUBLIC_KEY, Place
from tests.conformance.play import Play, User


def one_server(play: Play) -> None:
    """The life of one server, seen by everybody, at many versions."""
    place = Place(play)
    ask, admin = play.member.nova, play.admin.nova
    path = "/v2.1/servers"
    ask("POST", "/v2.1/os-keypairs", {"keypair": {"name": "k1", "public_key": PUBLIC_KEY}}, quiet=True)
    body = place.body(metadata={"a": "b"}, key_name="k1", description="d", tags=["t1", "t2"], user_data="eA==",
                      networks=[{"uuid": place.net, "fixed_ip": "198.51.100.9", "tag": "n"}])  # fmt: skip
    made = ask("POST", path, body, at="2.52")
    server = play.name("server", made["server"]["id"])
    place.settled(server)
    shown = admin("GET", f"{path}/{server}", quiet=True)["server"]
    play.name("host", shown["OS-EXT-SRV-ATTR:host"])
    play.name("instance name", shown["OS-EXT-SRV-ATTR:instance_name"])
    one = f"{path}/{server}"
    for at in ("2.1", "2.3", "2.9", "2.16", "2.19", "2.26", "2.47", "2.63", "2.69", "2.71", "2.73", "2.75", "2.90", "2.96",
               "2.98", "2.100", LATEST):  # fmt: skip
        ask("GET", one, at=at)
        admin("GET", one, at=at)
    for at in ("2.1", "2.26", "2.75", LATEST):
        ask("GET", f"{path}/detail", at=at)
        ask("GET", path, at=at)
    play.other.nova("GET", one)
    play.reader.nova("GET", one, only="server.name")
    ask("GET", f"{path}/nonsense")
    ask("GET", f"{path}/{NOWHERE}")
    ask("HEAD", one)
    for tail in ("ips", "ips/conformance-net", "ips/nonsense", "os-interface", "os-instance-actions", "os-security-groups",
                 "os-volume_attachments", "metadata", "metadata/a", "metadata/nonsense", "tags", "diagnostics", "migrations",
                 "os-server-password", "consoles", "topology", "shares", "os-virtual-interfaces", "nonsense"):  # fmt: skip
        ask("GET", f"{one}/{tail}")
        ask("GET", f"{one}/{tail}", at=LATEST)
        play.other.nova("GET", f"{one}/{tail}")
    play.reader.nova("GET", f"{one}/os-interface", only="x")
    action = ask("GET", f"{one}/os-instance-actions", quiet=True)["instanceActions"][0]["request_id"]
    for at in ("2.1", "2.51", "2.58", "2.62", "2.84"):
        ask("GET", f"{one}/os-instance-actions/{action}", at=at, shape=True)
        admin("GET", f"{one}/os-instance-actions/{action}", at=at, shape=True)
    ask("GET", f"{one}/os-instance-actions/req-{NOWHERE}")
    for body in ({}, {"metadata": []}, {"metadata": {"a": 1}}, {"metadata": {"b": "c"}}, {"metadata": {"a/": "c"}}):
        ask("POST", f"{one}/metadata", body)
    ask("PUT", f"{one}/metadata", {"metadata": {"x": "y"}})
    ask("PUT", f"{one}/metadata/x", {"meta": {"x": "z"}})
    ask("PUT", f"{one}/metadata/x", {"meta": {"y": "z"}})
    ask("PUT", f"{one}/metadata/x", {"meta": {}})
    ask("DELETE", f"{one}/metadata/x")
    ask("DELETE", f"{one}/metadata/x")
    play.reader.nova("PUT", f"{one}/metadata", {"metadata": {"x": "y"}})
    for tag in ("t3", "t3", "a,b", "x" * 61):
        ask("PUT", f"{one}/tags/{tag}", at="2.26")
    ask("PUT", f"{one}/tags", {"tags": "x"}, at="2.26")
    ask("PUT", f"{one}/tags", {"tags": ["x", "y"]}, at="2.26")
    ask("GET", f"{one}/tags/x", at="2.26")
    ask("GET", f"{one}/tags/nonsense", at="2.26")
    ask("DELETE", f"{one}/tags/nonsense", at="2.26")
    ask("DELETE", f"{one}/tags/x", at="2.26")
    ask("DELETE", f"{one}/tags", at="2.26")
    for body in ({}, {"server": {}}, {"server": {"name": ""}}, {"server": {"nonsense": 1}}, {"server": {"description": "x"}},
                 {"server": {"name": "new"}}, {"server": {"accessIPv4": "192.0.2.9"}}, {"server": {"accessIPv4": "x"}}):  # fmt: skip
        ask("PUT", one, body)
    ask("PUT", one, {"server": {"description": "x"}}, at="2.19")
    ask("PUT", one, {"server": {"hostname": "x"}}, at="2.90")
    play.other.nova("PUT", one, {"server": {"name": "x"}})
    play.reader.nova("PUT", one, {"server": {"name": "x"}})
    _actions(play, one, place)
    play.other.nova("DELETE", one)
    play.reader.nova("DELETE", one)
    ask("DELETE", one)
    play.wait(lambda: ask("GET", one, quiet=True).status == 404)
    ask("GET", one)
    ask("DELETE", one)
    ask("POST", f"{one}/action", {"os-stop": None})
    admin("GET", f"{path}/detail?deleted=true&all_tenants=1&project_id={play.member.project_id}&name=new")
    ask("GET", f"{path}?changes-since=2001-01-01T00:00:00Z", only="servers.0.name")
    ask("DELETE", "/v2.1/os-keypairs/k1", quiet=True)
    place.close()


def _actions(play: Play, one: str, place: Place) -> None:
    """Server actions: bodies that are no action, actions in the wrong state, by the wrong user."""
    ask = play.member.nova

    def act(body: Any, user: User = play.member, at: str | None = None) -> None:
        user.nova("POST", f"{one}/action", body, at=at)

    def settle() -> None:
        place.settled(one.rpartition("/")[2])

    for body in (b"", b"{", [], {}, {"nonsense": None}, {"os-stop": None, "os-start": None}, {"reboot": None}, {"reboot": {}},
                 {"reboot": {"type": "nonsense"}}, {"reboot": {"type": "HARD", "x": 1}}, {"os-start": None},
                 {"os-start": {"x": 1}}, {"resize": {}}, {"resize": {"flavorRef": place.tiny}}, {"resize": {"flavorRef": "nonsense"}},
                 {"confirmResize": None}, {"revertResize": None}, {"unpause": None}, {"resume": None}, {"unlock": None},
                 {"unrescue": None}, {"unshelve": None}, {"restore": None}, {"rebuild": {}}, {"rebuild": {"imageRef": NOWHERE}},
                 {"createImage": {}}, {"changePassword": {}}, {"addSecurityGroup": {"name": "nonsense"}},
                 {"removeSecurityGroup": {"name": "nonsense"}}, {"addSecurityGroup": {}}, {"os-getConsoleOutput": {"length": "x"}},
                 {"addFixedIp": {}}, {"addFloatingIp": {"address": "192.0.2.1"}}):  # fmt: skip
        act(body)
    for body in ({"pause": None}, {"os-resetState": {"state": "active"}}, {"migrate": None}, {"os-migrateLive": {}},
                 {"injectNetworkInfo": None}, {"resetNetwork": None}, {"evacuate": {}}, {"forceDelete": None}):  # fmt: skip
        act(body, play.reader)
        if "os-" in str(body) or "migrate" in str(body):
            act(body)
    act({"os-stop": None}, play.other)
    act({"os-stop": None}, play.reader)
    act({"os-resetState": {"state": "nonsense"}}, play.admin)
    act({"addSecurityGroup": {"name": "default"}})
    act({"os-stop": None})
    settle()
    ask("GET", one)
    act({"os-stop": None})
    act({"reboot": {"type": "SOFT"}})
    act({"pause": None})
    act({"suspend": None})
    act({"os-getConsoleOutput": {}})
    act({"os-start": None})
    settle()
    act({"reboot": {"type": "HARD"}})
    settle()
    ask("GET", one, only="server.status")
    ask("GET", f"{one}/os-instance-actions", shape=True)
