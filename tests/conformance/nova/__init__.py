"""Compute v2.1 to 2.104."""

from tests.conformance.nova.catalog import flavors, keypairs, quotas, server_groups
from tests.conformance.nova.creation import create_refused
from tests.conformance.nova.entry import discovery, gone
from tests.conformance.nova.machines import hosts
from tests.conformance.nova.several import many_servers
from tests.conformance.nova.single import one_server

SCRIPTS = (  # in this order: a project that has had servers shows them in its usage
    discovery,
    gone,
    keypairs,
    flavors,
    quotas,
    hosts,
    create_refused,
    one_server,
    many_servers,
    server_groups,
)
