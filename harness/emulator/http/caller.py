"""Who asks: what a validated token says."""

from collections.abc import Mapping
from typing import Any


class Caller:
    """User, project and roles behind one request. Empty strings where the token has none (unscoped, domain scope)."""

    __slots__ = (
        "domain_id",
        "expires_at",
        "project_domain_id",
        "project_id",
        "project_name",
        "request_id",
        "roles",
        "token",
        "user_domain_id",
        "user_id",
        "user_name",
    )

    def __init__(
        self,
        *,
        user_id: str,
        project_id: str = "",
        roles: frozenset[str] = frozenset(),
        user_name: str = "",
        user_domain_id: str = "",
        project_name: str = "",
        project_domain_id: str = "",
        domain_id: str = "",
        token: str = "",
        expires_at: str = "",
        request_id: str = "",
    ) -> None:
        self.user_id = user_id
        self.project_id = project_id
        self.roles = roles
        self.user_name = user_name
        self.user_domain_id = user_domain_id
        self.project_name = project_name
        self.project_domain_id = project_domain_id
        self.domain_id = domain_id
        self.token = token
        self.expires_at = expires_at
        self.request_id = request_id

    @classmethod
    def from_token(cls, token: str, body: Mapping[str, Any]) -> "Caller":
        """Read keystone's answer to a validation. Args: body: the object under "token"."""
        project = body.get("project") or {}
        user = body["user"]
        return cls(
            user_id=user["id"],
            user_name=user.get("name", ""),
            user_domain_id=(user.get("domain") or {}).get("id", ""),
            project_id=project.get("id", ""),
            project_name=project.get("name", ""),
            project_domain_id=(project.get("domain") or {}).get("id", ""),
            domain_id=(body.get("domain") or {}).get("id", ""),
            roles=frozenset(role["name"] for role in body.get("roles") or ()),
            token=token,
            expires_at=body.get("expires_at", ""),
        )

    def for_request(self, request_id: str) -> "Caller":
        """The same caller, on one request."""
        copy = Caller.__new__(Caller)
        copy.user_id = self.user_id
        copy.project_id = self.project_id
        copy.roles = self.roles
        copy.user_name = self.user_name
        copy.user_domain_id = self.user_domain_id
        copy.project_name = self.project_name
        copy.project_domain_id = self.project_domain_id
        copy.domain_id = self.domain_id
        copy.token = self.token
        copy.expires_at = self.expires_at
        copy.request_id = request_id
        return copy

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    @property
    def is_manager(self) -> bool:
        return not self.roles.isdisjoint(("admin", "manager"))

    @property
    def is_member(self) -> bool:
        return not self.roles.isdisjoint(("admin", "manager", "member"))

    @property
    def is_reader(self) -> bool:
        return not self.roles.isdisjoint(("admin", "manager", "member", "reader"))

    @property
    def is_service(self) -> bool:
        return "service" in self.roles

    def owns(self, project_id: str) -> bool:
        """Whether a resource of that project is the caller's, or the caller is an admin."""
        return project_id == self.project_id or self.is_admin
