"""Image v2."""

from typing import Any

from tests.conformance.play import Play

NOWHERE = "00000000-0000-4000-8000-000000000000"
PATCH = "application/openstack-images-v2.1-json-patch"


def discovery(play: Play) -> None:
    ask = play.nobody.glance
    for path in ("/", "/versions", "/v2", "/v2/", "/v1", "/v2/images", "/nonsense", "/v2/nonsense"):
        ask("GET", path)
    ask("GET", "/v2/images", X_Auth_Token="nonsense")
    ask = play.member.glance
    for path in (
        "/v2",
        "/v2.0/images?name=nothing",
        "/v2.15/images?name=nothing",
        "/v2.99/images",
        "/v2/nonsense",
        "/v3",
    ):
        ask("GET", path)
    for path in ("image", "images", "member", "members", "nonsense"):
        ask("GET", f"/v2/schemas/{path}", shape=True)
    ask("DELETE", "/v2/images")
    ask("PUT", "/v2/images", {})
    ask("POST", f"/v2/images/{NOWHERE}", {})
    ask("HEAD", "/v2/images")
    for path in (
        "info/import",
        "info/stores",
        "tasks",
        f"tasks/{NOWHERE}",
        "info/usage",
        "metadefs/namespaces",
        "cache",
    ):
        ask("GET", f"/v2/{path}", shape=True)
    play.admin.glance("GET", "/v2/tasks")


def create(play: Play) -> None:
    ask = play.member.glance
    for body in (
        b"",
        b"{",
        [],
        {"name": 1},
        {"name": "x" * 256},
        {"visibility": "nonsense"},
        {"visibility": "public"},
        {"visibility": "community", "name": "conformance-community"},
        {"disk_format": "nonsense"},
        {"container_format": "nonsense"},
        {"min_ram": -1},
        {"min_disk": "x"},
        {"tags": "x"},
        {"tags": ["x" * 256]},
        {"protected": "yes"},
        {"id": "nonsense"},
        {"owner": play.other.project_id},
        {"status": "active"},
        {"checksum": "x"},
        {"size": 1},
        {"created_at": "x"},
        {"self": "x"},
        {"extra": 1},
        {"os_hidden": "x"},
    ):
        made = ask("POST", "/v2/images", body)
        if made.status == 201:
            ask("DELETE", f"/v2/images/{made['id']}", quiet=True)
    play.reader.glance("POST", "/v2/images", {"name": "conformance-reader"})
    body = {"name": "conformance-one", "disk_format": "raw", "container_format": "bare", "tags": ["b", "a"],
            "extra": "x", "min_ram": 1}  # fmt: skip
    one = play.name("one", ask("POST", "/v2/images", body)["id"])
    ask("POST", "/v2/images", {"id": one})
    ask("GET", f"/v2/images/{one}")
    ask("HEAD", f"/v2/images/{one}")
    ask("GET", f"/v2/images/{one}/file")
    ask("PUT", f"/v2/images/{one}/file", b"data", Content_Type="application/json")
    ask("PUT", f"/v2/images/{one}/file", b"data", Content_Type=None)
    play.other.glance("PUT", f"/v2/images/{one}/file", b"data", Content_Type="application/octet-stream")
    play.reader.glance("PUT", f"/v2/images/{one}/file", b"data", Content_Type="application/octet-stream")
    ask("PUT", f"/v2/images/{one}/file", b"data", Content_Type="application/octet-stream")
    ask("GET", f"/v2/images/{one}")
    ask("PUT", f"/v2/images/{one}/file", b"data", Content_Type="application/octet-stream")
    ask("GET", f"/v2/images/{one}/file")
    ask("GET", f"/v2/images/{one}/file", Range="bytes=1-2")
    ask("GET", f"/v2/images/{one}/file", Range="bytes=10-")
    ask("PUT", f"/v2/images/{NOWHERE}/file", b"data", Content_Type="application/octet-stream")
    ask("GET", f"/v2/images/{NOWHERE}/file")
    play.other.glance("GET", f"/v2/images/{one}")
    play.reader.glance("GET", f"/v2/images/{one}", only="name")
    play.admin.glance("GET", f"/v2/images/{one}", only="name")
    play.other.glance("DELETE", f"/v2/images/{one}")
    play.reader.glance("DELETE", f"/v2/images/{one}")
    ask("POST", f"/v2/images/{one}/actions/deactivate")
    play.admin.glance("POST", f"/v2/images/{one}/actions/deactivate")
    ask("GET", f"/v2/images/{one}/file")
    play.admin.glance("POST", f"/v2/images/{one}/actions/reactivate")
    ask("POST", f"/v2/images/{one}/import", {"method": {"name": "glance-direct"}})
    ask("POST", f"/v2/images/{one}/import", {})
    ask("PUT", f"/v2/images/{one}/stage", b"data", Content_Type="application/octet-stream")
    ask("GET", f"/v2/images/{one}/locations")
    ask("GET", f"/v2/images/{one}/tasks", shape=True)
    ask("DELETE", f"/v2/images/{one}")
    ask("DELETE", f"/v2/images/{one}")
    ask("GET", f"/v2/images/{one}")
    ask("GET", "/v2/images/nonsense")


def patch(play: Play) -> None:
    ask = play.member.glance
    one = play.name("one", ask("POST", "/v2/images", {"name": "conformance-one", "old": "x"})["id"])
    path = f"/v2/images/{one}"

    def change(body: Any, kind: str | None = PATCH, user: Any = ask) -> None:
        user("PATCH", path, body, Content_Type=kind)

    change([], "application/json")
    change([], None)
    change([], "application/openstack-images-v2.0-json-patch")
    change({})
    change(b"{")
    change([])
    change([{}])
    change([1])
    change([{"op": "replace"}])
    change([{"op": "replace", "path": "name"}])
    change([{"op": "nonsense", "path": "/name", "value": "x"}])
    change([{"op": "replace", "path": "/name"}])
    change([{"op": "replace", "path": "/name", "value": 1}])
    change([{"op": "replace", "path": "/nonsense", "value": "x"}])
    change([{"op": "remove", "path": "/nonsense"}])
    change([{"op": "remove", "path": "/name"}])
    change([{"op": "replace", "path": "/status", "value": "active"}])
    change([{"op": "replace", "path": "/id", "value": NOWHERE}])
    change([{"op": "replace", "path": "/visibility", "value": "public"}])
    change([{"op": "replace", "path": "/owner", "value": play.other.project_id}])
    change([{"op": "add", "path": "/a/b", "value": "x"}])
    change([{"op": "replace", "path": "/name", "value": "x"}], user=play.other.glance)
    change([{"op": "replace", "path": "/name", "value": "x"}], user=play.reader.glance)
    change([
        {"op": "replace", "path": "/name", "value": "conformance-two"},
        {"op": "add", "path": "/new", "value": "y"},
        {"op": "remove", "path": "/old"},
        {"op": "replace", "path": "/tags", "value": ["c", "c"]},
        {"op": "replace", "path": "/protected", "value": True},
    ])  # fmt: skip
    ask("DELETE", path)
    change([{"op": "replace", "path": "/protected", "value": False}])
    ask("PUT", f"{path}/tags/green")
    ask("PUT", f"{path}/tags/{'x' * 256}")
    ask("DELETE", f"{path}/tags/green")
    ask("DELETE", f"{path}/tags/green")
    play.other.glance("PUT", f"{path}/tags/green")
    ask("DELETE", path)
    ask("PATCH", path, [], Content_Type=PATCH)


def members(play: Play) -> None:
    ask, other = play.member.glance, play.other.glance
    one = play.name("one", ask("POST", "/v2/images", {"name": "conformance-one"})["id"])
    path, who = f"/v2/images/{one}/members", play.other.project_id
    ask("GET", path)
    ask("POST", path, {"member": who})
    other("GET", f"/v2/images/{one}", only="name")
    ask("POST", path, {"member": who})
    ask("POST", path, {})
    ask("POST", path, {"member": ""})
    ask("POST", path, b"{")
    ask("GET", path)
    ask("GET", f"{path}/{who}")
    ask("GET", f"{path}/nonsense")
    other("GET", path)
    other("GET", "/v2/images?visibility=shared&member_status=pending", only="images.0.name")
    ask("PUT", f"{path}/{who}", {"status": "accepted"})
    other("PUT", f"{path}/{who}", {"status": "nonsense"})
    other("PUT", f"{path}/{who}", {})
    other("PUT", f"{path}/{who}", {"status": "accepted"})
    other("GET", "/v2/images?visibility=shared", only="images.0.name")
    other("POST", path, {"member": who})
    other("DELETE", f"{path}/{who}")
    play.reader.glance("POST", path, {"member": who})
    ask("DELETE", f"{path}/{who}")
    ask("DELETE", f"{path}/{who}")
    ask(
        "PATCH", f"/v2/images/{one}", [{"op": "replace", "path": "/visibility", "value": "private"}], Content_Type=PATCH
    )
    ask("POST", path, {"member": who})
    ask("GET", path)
    ask("GET", f"/v2/images/{NOWHERE}/members")
    ask("DELETE", f"/v2/images/{one}")


def lists(play: Play) -> None:
    ask = play.member.glance
    made = [
        play.name(
            name,
            ask(
                "POST",
                "/v2/images",
                {"name": f"conformance-{name}", "disk_format": "raw", "tags": [name], "container_format": "bare"},
                quiet=True,
            )["id"],
        )
        for name in ("a", "b", "c")
    ]
    mine = f"/v2/images?owner={play.member.project_id}"
    ask("GET", f"{mine}&sort_key=name&sort_dir=asc&limit=2")
    ask("GET", f"{mine}&sort=name:desc&limit=1")
    ask("GET", f"{mine}&sort_key=name&sort_dir=asc&limit=2&marker={made[1]}")
    for query in (
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=100000",
        f"marker={NOWHERE}",
        "marker=nonsense",
        "sort_key=nonsense",
        "sort_dir=nonsense",
        "sort=name:nonsense",
        "sort=name&sort_key=name",
        "visibility=nonsense",
        "visibility=private",
        "member_status=nonsense",
        "status=nonsense",
        "nonsense=x",
        "name=conformance-a",
        "name=in:conformance-a,conformance-b&sort=name:asc",
        "tag=a",
        "tag=a&tag=b",
        "size_min=x",
        "size_min=1",
        "created_at=gt:nonsense",
        "created_at=gt:2001-01-01T00:00:00Z&name=conformance-a",
        "protected=x",
        "protected=true",
        "os_hidden=true",
        "os_hidden=x",
        "deleted=true",
        "disk_format=raw,iso",
        f"id=in:{made[0]},{made[1]}&sort=name:asc",
    ):
        ask("GET", f"{mine}&{query}", only="images.0.name" if "sort" not in query else None)
    ask("GET", "/v2/images?visibility=public&name=cirros-fake", shape=True)
    for image in made:
        ask("DELETE", f"/v2/images/{image}", quiet=True)
