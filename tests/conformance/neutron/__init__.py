"""Networking v2.0."""

from tests.conformance.neutron.attachments import ports, security_groups
from tests.conformance.neutron.entry import discovery, quotas
from tests.conformance.neutron.spaces import networks, subnets

SCRIPTS = (
    discovery,
    networks,
    subnets,
    ports,
    security_groups,
    quotas,
)
