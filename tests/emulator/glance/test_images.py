"""Images: life, data, visibility, lists. Bodies are those of glance 33.0.0."""

import hashlib
import uuid
from typing import Any

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.keystone.asking import Asker, asker

PATCH = "application/openstack-images-v2.1-json-patch"
DATA = b"some data"


def new_image(ask: Asker, **more: Any) -> str:
    """The id of a new image with formats, so that it can take data."""
    body = {"name": "t", "disk_format": "raw", "container_format": "bare", **more}
    answer = ask("POST", "/v2/images", body)
    assert answer.status == 201, answer.text
    return str(answer.json["id"])


def upload(ask: Asker, image: str, data: bytes = DATA) -> int:
    return ask("PUT", f"/v2/images/{image}/file", data, Content_Type="application/octet-stream").status


def patch(ask: Asker, image: str, *steps: dict[str, Any]) -> Any:
    import json

    return ask("PATCH", f"/v2/images/{image}", json.dumps(steps).encode(), Content_Type=PATCH)


def test_data_makes_an_image_active_and_comes_back_whole(cloud: EmbeddedCloud) -> None:
    demo = asker(cloud, "glance", "demo")
    image = new_image(demo, colour="red", tags=["b", "a"])
    shown = demo("GET", f"/v2/images/{image}").json
    assert (shown["status"], shown["size"], shown["tags"], shown["colour"]) == ("queued", None, ["a", "b"], "red")
    assert demo("GET", f"/v2/images/{image}/file").status == 204
    assert upload(demo, image) == 204
    shown = demo("GET", f"/v2/images/{image}").json
    assert (shown["status"], shown["size"]) == ("active", len(DATA))
    assert shown["checksum"] == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", hashlib.sha512(DATA).hexdigest())
    assert demo("GET", f"/v2/images/{image}/file").body == DATA
    part = demo("GET", f"/v2/images/{image}/file", Range="bytes=1-3")
    assert (part.status, part.body, part.headers["content-range"]) == (206, DATA[1:4], f"bytes 1-3/{len(DATA)}")
    again = demo("PUT", f"/v2/images/{image}/file", DATA, Content_Type="application/octet-stream")
    assert again.text == "409 Conflict\n\nImage status transition from active to saving is not allowed\n\n   "
    assert demo("DELETE", f"/v2/images/{image}").status == 204
    gone = demo("GET", f"/v2/images/{image}")
    assert gone.text == f"404 Not Found\n\nNo image found with ID {image}\n\n   "
    assert demo("POST", "/v2/images", {"id": image}).status == 409


def test_a_megabyte_is_streamed(cloud: EmbeddedCloud) -> None:
    demo = asker(cloud, "glance", "demo")
    image, data = new_image(demo), bytes(range(256)) * 8192
    assert upload(demo, image, data) == 204
    assert demo("GET", f"/v2/images/{image}/file").body == data
    demo("DELETE", f"/v2/images/{image}")


def test_patches_are_checked_step_by_step(cloud: EmbeddedCloud) -> None:
    demo = asker(cloud, "glance", "demo")
    image = new_image(demo)
    changed = patch(demo, image, {"op": "replace", "path": "/name", "value": "new"})
    assert changed.json["name"] == "new"
    assert patch(demo, image, {"op": "add", "path": "/foo", "value": "1"}).json["foo"] == "1"
    assert "foo" not in patch(demo, image, {"op": "remove", "path": "/foo"}).json
    opening = "409 Conflict\n\nThere was a conflict when trying to complete your request.\n\n "
    assert patch(demo, image, {"op": "remove", "path": "/foo"}).text == f"{opening}Property foo does not exist.  "
    for name in ("id", "status", "size"):
        refused = patch(demo, image, {"op": "replace", "path": f"/{name}", "value": "x"})
        assert refused.text == f"403 Forbidden\n\nAttribute '{name}' is read-only.\n\n   "
    public = patch(demo, image, {"op": "replace", "path": "/visibility", "value": "public"})
    assert public.text == "403 Forbidden\n\nYou are not authorized to complete publicize_image action.\n\n   "
    plain = demo("PATCH", f"/v2/images/{image}", [])
    assert (plain.status, plain.headers["accept-patch"].count("json-patch")) == (415, 2)
    patch(demo, image, {"op": "replace", "path": "/protected", "value": True})
    kept = demo("DELETE", f"/v2/images/{image}")
    assert kept.text == f"403 Forbidden\n\nImage {image} is protected and cannot be deleted.\n\n   "


def test_private_images_do_not_exist_for_others(cloud: EmbeddedCloud) -> None:
    admin, demo = asker(cloud, "glance", "admin"), asker(cloud, "glance", "demo")
    image = new_image(admin, visibility="private")
    assert demo("GET", f"/v2/images/{image}").status == 404
    assert image not in {one["id"] for one in demo("GET", "/v2/images").json["images"]}
    assert demo("DELETE", f"/v2/images/{image}").text == (
        f"404 Not Found\n\nFailed to find image {image} to delete\n\n   "
    )


def test_a_shared_image_is_seen_by_its_members_and_listed_once_accepted(cloud: EmbeddedCloud) -> None:
    admin, demo = asker(cloud, "glance", "admin"), asker(cloud, "glance", "demo")
    project = asker(cloud, "keystone", "demo")("GET", "/v3/auth/projects").json["projects"][0]["id"]
    image = new_image(admin, visibility="shared", name=f"s-{uuid.uuid4().hex[:6]}")
    assert demo("GET", f"/v2/images/{image}").status == 404
    assert admin("POST", f"/v2/images/{image}/members", {"member": project}).json["status"] == "pending"
    shown = demo("GET", f"/v2/images/{image}").json
    assert demo("GET", f"/v2/images?name={shown['name']}").json["images"] == []
    accepted = demo("PUT", f"/v2/images/{image}/members/{project}", {"status": "accepted"})
    assert accepted.json["status"] == "accepted"
    assert len(demo("GET", f"/v2/images?name={shown['name']}").json["images"]) == 1
    assert demo("DELETE", f"/v2/images/{image}").status == 403


def test_deactivated_data_is_kept_back(cloud: EmbeddedCloud) -> None:
    demo = asker(cloud, "glance", "demo")
    image = new_image(demo)
    upload(demo, image)
    assert demo("POST", f"/v2/images/{image}/actions/deactivate").status == 204
    assert demo("GET", f"/v2/images/{image}/file").status == 403
    assert demo("POST", f"/v2/images/{image}/actions/reactivate").status == 204
    assert demo("GET", f"/v2/images/{image}/file").body == DATA


def test_lists_are_sorted_filtered_and_paged(cloud: EmbeddedCloud) -> None:
    demo, mark = asker(cloud, "glance", "demo"), uuid.uuid4().hex[:8]
    names = [f"{mark}-{letter}" for letter in "cab"]
    for name in names:
        new_image(demo, name=name, tags=[mark])
    path: str | None = f"/v2/images?tag={mark}&sort=name:asc&limit=2"
    seen: list[str] = []
    while path:
        page = demo("GET", path).json
        seen += [one["name"] for one in page["images"]]
        path = page.get("next")
    assert seen == sorted(names)
    newest_first = demo("GET", f"/v2/images?tag={mark}").json["images"]
    assert [one["name"] for one in newest_first] == names[::-1]
    either = demo("GET", f"/v2/images?name=in:{names[0]},{names[1]}").json["images"]
    assert {one["name"] for one in either} == set(names[:2])


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=x", "limit param must be an integer"),
        ("limit=-1", "limit param must be positive"),
        ("marker=nope", "No image found with ID nope"),
        ("sort_dir=x", "Invalid sort direction: x"),
        ("visibility=nope", "Invalid visibility value: nope"),
        ("size_min=x", "Unable to filter on a range with a non-numeric value."),
    ],
)
def test_bad_queries_are_named(cloud: EmbeddedCloud, query: str, sentence: str) -> None:
    answer = asker(cloud, "glance", "demo")("GET", f"/v2/images?{query}")
    assert answer.text == f"400 Bad Request\n\n{sentence}\n\n   "
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"


def test_versions_and_schemas(cloud: EmbeddedCloud) -> None:
    anonymous, demo = Asker(cloud, "glance"), asker(cloud, "glance", "demo")
    assert anonymous("GET", "/").status == 300
    assert anonymous("GET", "/versions").json["versions"][0]["status"] == "CURRENT"
    refused = anonymous("GET", "/v2/images")
    assert refused.status == 401
    assert refused.text.startswith("401 Unauthorized\n\nThis server could not verify")
    assert demo("GET", "/v2/schemas/image").json["name"] == "image"
    assert "glance-direct" in demo("GET", "/v2/info/import").json["import-methods"]["value"]
