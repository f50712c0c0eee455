# ruff: noqa: E501 (tables of requests)
"""Version documents, paths and headers; what is gone."""

from tests.conformance.nova.place import LATEST, NOWHERE
from tests.conformance.play import Play


def discovery(play: Play) -> None:
    nobody, ask = play.nobody.nova, play.member.nova
    for path in (
        "/",
        "/v2",
        "/v2/",
        "/v2.1",
        "/v2.1/",
        "/v3",
        "/nonsense",
        "/v2.1/servers",
        "/v2.1/nonsense",
        "/v2/servers",
    ):
        nobody("GET", path)
    nobody("GET", "/v2.1/servers", X_Auth_Token="nonsense")
    nobody("GET", "/v2.1", at="2.99")
    for at in ("2.1", "2.100", LATEST, "latest", "2.105", "2.0", "1.1", "3.0", "x", "2", "2.x", "2.1.1", "2.01", ""):
        ask("GET", "/v2.1/os-keypairs", at=at)
    ask("GET", "/v2.1/os-keypairs", X_OpenStack_Nova_API_Version="2.10")
    ask("GET", "/v2.1/os-keypairs", X_OpenStack_Nova_API_Version="2.999")
    ask("GET", "/v2.1/os-keypairs", OpenStack_API_Version="volume 3.1, compute 2.50")
    ask("GET", "/v2.1/os-keypairs", OpenStack_API_Version="volume 3.1")
    ask("GET", "/v2.1/os-keypairs", OpenStack_API_Version="compute")
    for path in ("/v2.1/nonsense", "/v2.1/servers/", "/v2.1/servers/detail/", f"/v2.1/{play.member.project_id}/os-keypairs",
                 f"/v2.1/{play.other.project_id}/os-keypairs", "/v2.1/nonsense/os-keypairs", "/v2/os-keypairs",
                 f"/v2/{play.member.project_id}/os-keypairs", "/v2.1//os-keypairs", "/v2.1/os-keypairs.json"):  # fmt: skip
        ask("GET", path)
    ask("PUT", "/v2.1/servers", {})
    ask("DELETE", "/v2.1/os-keypairs")
    ask("PATCH", f"/v2.1/servers/{NOWHERE}", {})
    ask("POST", "/v2.1/limits", {})
    ask("HEAD", "/v2.1/servers")
    ask("GET", "/v2.1/os-keypairs", Accept="text/html")
    ask("GET", "/v2.1/os-keypairs", Accept="application/xml")
    ask("GET", "/v2.1/os-keypairs", Content_Type="text/html")
    for path in ("extensions", "extensions/os-keypairs", "extensions/nonsense"):
        ask("GET", f"/v2.1/{path}", shape=True)


def gone(play: Play) -> None:
    """Proxies and services of old, admin-only lists, and what the cloud of this project does not have."""
    for user in (play.member, play.admin):
        for path in ("os-networks", "os-floating-ips", "os-floating-ip-pools", "os-security-groups", "os-fping", "images",
                     "os-volumes", "os-snapshots", "os-cells", "os-certificates/root", "os-cloudpipe", "os-agents",
                     "os-tenant-networks", "os-baremetal-nodes", "os-virtual-interfaces", "os-fixed-ips/1.2.3.4",
                     "os-hosts", "os-migrations", "os-assisted-volume-snapshots", "os-aggregates", "os-console-auth-tokens/x",
                     "os-instance_usage_audit_log", "os-quota-class-sets/default", "os-server-password"):  # fmt: skip
            user.nova("GET", f"/v2.1/{path}", at="2.104", only="x")
    for path in ("os-agents", "os-fping", "os-cells", "os-networks", "os-hosts", "os-quota-class-sets/default"):
        play.admin.nova("GET", f"/v2.1/{path}", shape=True)
