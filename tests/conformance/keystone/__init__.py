"""Identity v3."""

from tests.conformance.keystone.entities import application_credentials, projects, roles, users
from tests.conformance.keystone.entry import catalog, outside
from tests.conformance.keystone.sessions import discovery, token_bodies, token_scopes, tokens, who_may

SCRIPTS = (
    discovery,
    token_bodies,
    token_scopes,
    tokens,
    who_may,
    projects,
    users,
    roles,
    application_credentials,
    catalog,
    outside,
)
