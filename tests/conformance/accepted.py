"""Differences from the real services that are there on purpose, each with its reason; and those still to be done."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conformance.compare import Difference


@dataclass(frozen=True, slots=True)
class Accepted:
    """Differences whose script, call and place match these patterns (whole, regular expressions)."""

    script: str
    call: str
    where: str
    reason: str

    def covers(self, one: Difference) -> bool:
        pairs = ((self.script, one.script), (self.call, one.call), (self.where, one.where))
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in pairs)


_CRASH = "keystone 30 dies of this request and closes the connection; a refusal is more use to a client"
ACCEPTED = [
    Accepted(
        "keystone.*",
        r".*(POST keystone/v3/(projects|services) \{\}|\"enabled\": \"yes\".*|PATCH .*\"name\": \"conformance\".*|"
        r"limit=nonsense.*|access_rules.*)",
        "status",
        _CRASH,
    ),
    Accepted("keystone.catalog", r".*POST keystone/v3/endpoints \{\}", ".*", "keystone shows a bug of its own code"),
    Accepted(
        "keystone.users",
        r".*name__startswith.*limit=1",
        ".*",
        "keystone cuts the page before it filters: a bug of its own",
    ),
    Accepted(
        "keystone.tokens",
        r"nobody: GET keystone/v3/auth/projects X_Auth_Token=<token> #2",
        "status",
        "keystone's processes learn of a revocation some seconds late, by chance; here it counts at once",
    ),
    Accepted(
        "keystone.application_credentials",
        r".*(GET keystone/v3/auth/projects X_Auth_Token=<token of one>|application_credentials)",
        ".*",
        "a token of a deleted credential is plainly refused; and see the crash above, which makes one more credential",
    ),
    Accepted("glance.create", r".*POST glance/v2/images \[\]", "status", "glance fails with 500"),
    Accepted("neutron.*", ".*", r".*standard_attr_id", "a number of neutron's own tables that leaks into its answers"),
    Accepted(
        "neutron.networks", r".*marker=(<uuid>|nonsense)", r".*name", "without a sort key the order is by random ids"
    ),
    Accepted("neutron.quotas", r".*PUT .* \{\}", "status", "neutron fails with 500; a refusal is more use to a client"),
    Accepted("neutron.discovery", r".*auto-allocated-topology", "status", "neutron fails with 500 where there is none"),
    Accepted(
        "neutron.discovery",
        r".*(service-providers|default-security-group-rules)",
        ".*",
        "routers and templates of default rules are no part of this cloud",
    ),
    Accepted(
        "nova.one_server", "admin.*", r".*root_device_name", "the real control plane had fake hypervisors (/dev/sda)"
    ),
    Accepted(
        "nova.hosts", ".*", r"body\.(0\.)?hosts.*|body\..*", "hosts are named otherwise, and their number differs"
    ),
    Accepted(
        "nova.many_servers",
        r".*neutron/v2.0/ports/.*",
        r".*vif_details.*",
        "ports are bound as Open vSwitch binds them",
    ),
    Accepted("nova.discovery", r".*extensions.*", "status", "the list of extensions is frozen and of no use since 2.1"),
    Accepted("nova.gone", r".*os-(networks|hosts|instance_usage_audit_log).*", "status", "proxies and retired reports"),
    Accepted(
        "nova.one_server",
        r".*action \{\"(resize|confirmResize|revertResize|rebuild|createImage|changePassword|un|restore).*",
        ".*",
        "resize, rebuild, shelve and rescue are no part of this cloud",
    ),
    Accepted(
        "nova.one_server",
        r".*action \{\"os-getConsoleOutput\": \{\}\}",
        "status",
        "the hypervisors of this cloud have no console; the answer is that of a driver without one",
    ),
    Accepted(
        "nova.create_refused",
        "member: GET nova/v2.1/servers",
        r"body\.servers\.[012]\.name",
        "three servers of one request, in an order that hangs on the second in which each was made",
    ),
    Accepted("nova.many_servers", r".*os-interface.*", ".*", "hot-plug of ports is no part of this cloud"),
    Accepted(
        "glance.lists", r".*(limit=100000|deleted=true)", "body", "images of one second, in an order by random ids"
    ),
    Accepted("glance.lists", r".*cirros-fake", r".*owner_specified.*", "written by the client that made that image"),
    Accepted("glance.discovery", r".*schemas/.*", r".*locations", "locations of images are never shown here"),
    Accepted("placement.candidates", r".*VCPU:1,VCPU:2.*", ".*", "other hosts than those of the recorded cloud"),
    Accepted("placement.providers", r".*name= @.*", ".*", "other hosts than those of the recorded cloud"),
    Accepted("placement.inventories", r".*POST .*VCPU\", \"total\": 1\}", r".*detail", "another database's words"),
    Accepted("placement.*", ".* (0|1) bytes", r".*detail", "another JSON parser words its complaint otherwise"),
]
OPEN = Path(__file__).parent / "open.txt"


def reason(one: Difference) -> str | None:
    """Why this difference is accepted; None when it is not."""
    return next((accepted.reason for accepted in ACCEPTED if accepted.covers(one)), None)


def key(one: Difference) -> str:
    """One line that names a difference."""
    return f"{one.script} | {one.call} | {one.where}"


@cache
def still_open() -> frozenset[str]:
    """Differences that nobody has accepted, and that are still to be done."""
    return frozenset(OPEN.read_text().splitlines())
