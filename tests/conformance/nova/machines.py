# ruff: noqa: E501 (tables of requests)
"""Services, hypervisors and zones."""

from tests.conformance.nova.place import LATEST, NOWHERE
from tests.conformance.play import Play


def hosts(play: Play) -> None:
    """What administrators see of the machines."""
    ask, admin = play.member.nova, play.admin.nova
    for path in ("os-services", "os-hypervisors", "os-hypervisors/detail", "os-hypervisors/statistics", "os-aggregates",
                 "os-availability-zone/detail", f"os-hypervisors/{NOWHERE}"):  # fmt: skip
        ask("GET", f"/v2.1/{path}")
    play.reader.nova("GET", "/v2.1/os-services")
    for at in ("2.1", "2.11", "2.53", "2.69", LATEST):
        admin("GET", "/v2.1/os-services?binary=nova-compute", at=at, shape=True)
    admin("GET", "/v2.1/os-services?binary=nonsense")
    admin("GET", "/v2.1/os-services?nonsense=1", shape=True)
    admin("GET", "/v2.1/os-services?nonsense=1", at="2.75")
    for at in ("2.1", "2.28", "2.33", "2.53", "2.88", LATEST):
        admin("GET", "/v2.1/os-hypervisors/detail", at=at, shape=True)
        admin("GET", "/v2.1/os-hypervisors", at=at, shape=True)
        admin("GET", "/v2.1/os-hypervisors/statistics", at=at, shape=True)
    for query in ("limit=1", "limit=x", "marker=nonsense", f"marker={NOWHERE}", "nonsense=1", "limit=0",
                  "hypervisor_hostname_pattern=nonsense", "hypervisor_hostname_pattern=", "with_servers=x"):  # fmt: skip
        admin("GET", f"/v2.1/os-hypervisors?{query}", at="2.53", shape=True)
    admin("GET", f"/v2.1/os-hypervisors/{NOWHERE}", at="2.53")
    admin("GET", "/v2.1/os-hypervisors/nonsense", at="2.53")
    admin("GET", "/v2.1/os-hypervisors/99999")
    admin("GET", "/v2.1/os-hypervisors/nonsense/search")
    admin("GET", "/v2.1/os-hypervisors/nonsense/servers")
    admin("GET", "/v2.1/os-hypervisors/nonsense/uptime")
    found = admin("GET", "/v2.1/os-hypervisors", at="2.53", quiet=True)["hypervisors"]
    one = play.name("hypervisor", next(one for one in found if one["state"] == "up")["id"])
    for at in ("2.53", "2.88"):
        admin("GET", f"/v2.1/os-hypervisors/{one}", at=at, shape=True)
        admin("GET", f"/v2.1/os-hypervisors/{one}?with_servers=true", at=at, shape=True)
    ask("GET", "/v2.1/os-availability-zone", shape=True)
    admin("GET", "/v2.1/os-availability-zone/detail", only="availabilityZoneInfo.1", shape=True)
    admin("GET", "/v2.1/os-aggregates", shape=True)
    admin("GET", "/v2.1/os-aggregates/1")
    admin("PUT", f"/v2.1/os-services/{NOWHERE}", {"status": "disabled"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{NOWHERE}", {}, at="2.53")
    admin("PUT", "/v2.1/os-services/nonsense", {"status": "disabled"}, at="2.53")
    ask("PUT", f"/v2.1/os-services/{NOWHERE}", {"status": "disabled"}, at="2.53")
    admin("PUT", "/v2.1/os-services/disable", {"host": "nonsense", "binary": "nova-compute"})
    admin("PUT", "/v2.1/os-services/nonsense", {"host": "nonsense", "binary": "nova-compute"})
    admin("PUT", "/v2.1/os-services/disable", {})
    admin("DELETE", f"/v2.1/os-services/{NOWHERE}", at="2.53")
    admin("DELETE", "/v2.1/os-services/99999")
    path = "/v2.1/os-services?binary=nova-compute"
    service = next(one for one in admin("GET", path, at="2.53", quiet=True)["services"] if one["state"] == "up")
    which = play.name("service", service["id"])
    play.name("host", service["host"])
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "disabled", "disabled_reason": "conformance"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "enabled", "disabled_reason": "conformance"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "nonsense"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "enabled"}, at="2.53")
