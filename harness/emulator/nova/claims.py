"""Claiming an instance's resources in placement, as nova's report client does for scheduler and conductor alike."""

import logging
from collections.abc import Mapping
from typing import Any

from harness.emulator.http.service import ServiceClient

log = logging.getLogger("squall.nova.claims")
TRIES = 4  # a provider's generation moves when another claim is faster: then the claim is made anew


async def claim_resources(
    placement: ServiceClient,
    uuid: str,
    allocations: Mapping[str, Any],
    spec: Mapping[str, Any],
    *,
    microversion: str,
    request_id: str | None = None,
) -> bool:
    """Whether placement gave the instance what one of its allocation requests asks for.

    Args: allocations: by provider, as in an allocation request. spec: the request spec; its project and user own them.
    Raises: HTTPConnectionError.
    """
    body = {
        "allocations": allocations,
        "consumer_generation": None,
        "project_id": spec["project_id"],
        "user_id": spec["user_id"],
    }
    for _ in range(TRIES):
        response = await placement.put(
            f"/allocations/{uuid}", json=body, microversion=microversion, request_id=request_id
        )
        if response.status == 204:
            return True
        if response.status != 409 or b"concurrent_update" not in response.body:
            log.warning("claim of %s refused: %s %s", uuid, response.status, response.body[:200])
            return False
    return False
