"""Resources of which this network has none: lists are empty, and each one asked for is not found.

Checked against neutron 29.0.0; making one is not possible here.
"""

from falcon.asgi import Request, Response

from harness.emulator.http import ServiceApp
from harness.emulator.neutron import errors, policy

ABSENT = (
    ("rbac_policy", "rbac_policies"),
    ("address_group", "address_groups"),
    ("subnetpool", "subnetpools"),
    ("router", "routers"),
    ("floatingip", "floatingips"),
    ("address_scope", "address_scopes"),
    ("flavor", "flavors"),
)
_EXCEPTIONS = {
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy of type {} could not be found."),
    "address_group": ("AddressGroupNotFound", "Address group {} could not be found."),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    "router": ("RouterNotFound", "Router {} could not be found"),
    "floatingip": ("FloatingIPNotFound", "Floating IP {} could not be found"),
    "address_scope": ("AddressScopeNotFound", "Address scope {} could not be found"),
    "flavor": ("FlavorNotFound", "Flavor {} could not be found."),
}


class Absent:
    """The list; making one is refused."""

    def __init__(self, app: ServiceApp, singular: str, collection: str) -> None:
        self._app = app
        self._singular = singular
        self._collection = collection

    async def on_get(self, req: Request, resp: Response) -> None:
        self._app.json(resp, {self._collection: []})

    async def on_post(self, req: Request, resp: Response) -> None:
        policy.require_member(req.context.caller, req.context.caller.project_id, f"create_{self._singular}")
        raise errors.neutron(501, "HTTPNotImplemented", f"This cloud has no {self._collection.replace('_', ' ')}.")


class AbsentItem:
    """One of them."""

    def __init__(self, singular: str) -> None:
        self._exception = _EXCEPTIONS[singular]

    async def on_get(self, req: Request, resp: Response, identity: str) -> None:
        kind, text = self._exception
        raise errors.neutron(404, kind, text.format(identity))

    on_put = on_get
    on_delete = on_get
