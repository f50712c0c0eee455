"""How a handler says no."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer other than success, rendered by the service's own `error_body`.

    Args:
        status: HTTP status. message: what the user reads.
        headers: added to the answer.
        body, content_type: the whole body, where one answer of the real service looks unlike its others.
        fields: what only one service's body has (`code` of placement, `type` of neutron, `title` of keystone);
            they reach `error_body` as keyword arguments.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        **fields: Any,
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.body = body
        self.content_type = content_type
        self.fields = fields


def require(allowed: bool, rule: str) -> None:
    """Refuse with 403, in oslo.policy's words, unless `allowed`.

    Args: rule: the policy's name, "os_compute_api:os-hypervisors:list".
    """
    if not allowed:
        raise ApiError(403, f"Policy doesn't allow {rule} to be performed.")
