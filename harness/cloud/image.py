"""Glance's part. Images carry the run's mark as the start of their name. Checked against glance 33.0.0 (2026.2)."""

from collections.abc import Iterator
from typing import Any

from harness.cloud.api import Answer, Api


def list_images(api: Api, **filters: Any) -> list[dict[str, Any]]:
    """One page, as long as the cloud pages."""
    return list(api.call("image", "GET", "/images", params=filters or None).body["images"])


def all_images(api: Api, **filters: Any) -> Iterator[dict[str, Any]]:
    """Every image, following Glance's own `next`, which it gives only where there is more."""
    path = "/images"
    params: dict[str, Any] | None = filters or None
    while path:
        body = api.call("image", "GET", "/images", path, params=params).body
        yield from body["images"]
        # `next` starts with the version, which the endpoint has already.
        path, params = str(body.get("next") or "").removeprefix("/v2"), None


def delete_image(api: Api, image_id: str) -> Answer:
    return api.call("image", "DELETE", "/images/{id}", f"/images/{image_id}", accept=(404,))
