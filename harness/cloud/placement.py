"""Placement's part; all of it needs an admin. Checked against placement 16.0.0 (2026.2)."""

from typing import Any

from harness.cloud.api import Api

MICROVERSION = "1.29"


def list_providers(api: Api) -> list[dict[str, Any]]:
    """All resource providers; placement does not page."""
    return list(_get(api, "/resource_providers", "/resource_providers")["resource_providers"])


def provider_summaries(api: Api) -> dict[str, dict[str, dict[str, int]]]:
    """Capacity and use of every provider with a VCPU to spare, by uuid and resource class, in one request."""
    found = _get(api, "/allocation_candidates", "/allocation_candidates?resources=VCPU:1")["provider_summaries"]
    return {uuid: dict(each["resources"]) for uuid, each in found.items()}


def inventories(api: Api, provider: str) -> dict[str, dict[str, Any]]:
    path = f"/resource_providers/{provider}/inventories"
    return dict(_get(api, "/resource_providers/{uuid}/inventories", path)["inventories"])


def usages(api: Api, provider: str) -> dict[str, int]:
    path = f"/resource_providers/{provider}/usages"
    return dict(_get(api, "/resource_providers/{uuid}/usages", path)["usages"])


def allocations(api: Api, provider: str) -> dict[str, dict[str, int]]:
    """By consumer: what it holds of this provider."""
    path = f"/resource_providers/{provider}/allocations"
    found = _get(api, "/resource_providers/{uuid}/allocations", path)["allocations"]
    return {consumer: dict(held["resources"]) for consumer, held in found.items()}


def project_usages(api: Api, project_id: str) -> dict[str, int]:
    return dict(_get(api, "/usages", f"/usages?project_id={project_id}")["usages"])


def _get(api: Api, route: str, path: str) -> dict[str, Any]:
    # The header is set here because openstacksdk's placement proxy is a bare adapter without microversion discovery.
    return dict(api.call("placement", "GET", route, path, microversion=MICROVERSION).body)
