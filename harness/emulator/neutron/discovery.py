"""What the service says of itself: versions, collections, and the extensions that are really served here."""

import orjson
from falcon.asgi import Request, Response

from harness.emulator.http import ApiError, ServiceApp

# Alias, name, date and description as neutron 29.0.0 gives them; only what this emulator does.
EXTENSIONS = tuple(
    {"name": name, "alias": alias, "description": description, "updated": updated, "links": []}
    for alias, name, updated, description in (
        ("agent", "agent", "2013-02-03T10:00:00-00:00", "The agent management extension."),
        ("agent_sort_key", "Agents Sort Key", "2013-02-03T10:00:00-00:00", "Enabling the keyword sort_key for sorting in agents."),
        ("allowed-address-pairs", "Allowed Address Pairs", "2013-07-23T10:00:00-00:00", "Provides allowed address pairs"),
        ("availability_zone", "Availability Zone", "2015-01-01T10:00:00-00:00", "The availability zone extension."),
        ("binding", "Port Binding", "2014-02-03T10:00:00-00:00", "Expose port bindings of a virtual port to external application"),
        ("empty-string-filtering", "Empty String Filtering Extension", "2018-05-01T10:00:00-00:00", "Allow filtering by attributes with empty string value"),
        ("external-net", "Neutron external network", "2013-01-14T10:00:00-00:00", "Adds external network attribute to network resource."),
        ("extra_dhcp_opt", "Neutron Extra DHCP options", "2013-03-17T12:00:00-00:00", "Extra options configuration for DHCP. For example PXE boot options to DHCP clients can be specified (e.g. tftp-server, server-ip-address, bootfile-name)"),
        ("filter-validation", "Filter parameters validation", "2018-07-04T10:00:00-00:00", "Provides validation on filter parameters."),
        ("ip-substring-filtering", "IP address substring filtering", "2017-11-28T09:00:00-00:00", "Provides IP address substring filtering when listing ports"),
        ("net-mtu", "Network MTU", "2015-03-25T10:00:00-00:00", "Provides MTU attribute for a network resource."),
        ("net-mtu-writable", "Network MTU (writable)", "2017-07-12T00:00:00-00:00", "Provides a writable MTU attribute for a network resource."),
        ("network-ip-availability", "Network IP Availability", "2015-09-24T00:00:00-00:00", "Provides IP availability data for each network and subnet."),
        ("network-ip-availability-details", "Network IP Availability Details Extension", "2025-10-31T00:00:00-00:00", "Add ip_availability_details attribute to network-ip-availabilities resource."),
        ("pagination", "Pagination support", "2016-06-12T00:00:00-00:00", "Extension that indicates that pagination is enabled."),
        ("port-mac-address-regenerate", "Neutron Port MAC address regenerate", "2018-05-03T10:00:00-00:00", "Network port MAC address regenerate"),
        ("port-security", "Port Security", "2012-07-23T10:00:00-00:00", "Provides port security"),
        ("port-security-groups-filtering", "Port filtering on security groups", "2018-01-09T09:00:00-00:00", "Provides security groups filtering when listing ports"),
        ("project-id", "project_id field enabled", "2016-09-09T09:09:09-09:09", "Extension that indicates that project_id field is enabled."),
        ("provider", "Provider Network", "2012-09-07T10:00:00-00:00", "Expose mapping of virtual networks to physical networks"),
        ("quota_details", "Quota details management support", "2017-02-10T10:00:00-00:00", "Expose functions for quotas usage statistics per project"),
        ("quotas", "Quota management support", "2012-07-29T10:00:00-00:00", "Expose functions for quotas management per project"),
        ("security-group", "security-group", "2012-10-05T10:00:00-00:00", "The security groups extension."),
        ("security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "2020-07-28T10:00:00-00:00", "Add new field with normalized remote_ip_prefix cidr in SG rule"),
        ("security-groups-rules-belongs-to-default-sg", "Security group rule belongs to the project's default security group", "2023-05-23T10:00:00-00:00", "Flag to determine if the security group rule belongs to the project's default security group"),
        ("sorting", "Sorting support", "2016-06-12T00:00:00-00:00", "Extension that indicates that sorting is enabled."),
        ("standard-attr-description", "standard-attr-description", "2016-02-10T10:00:00-00:00", "Extension to add descriptions to standard attributes"),
        ("standard-attr-revisions", "Resource revision numbers", "2016-04-11T10:00:00-00:00", "This extension will display the revision number of neutron resources."),
        ("standard-attr-tag", "Tag support for resources with standard attribute: port, subnet, network, security_group", "2017-01-01T00:00:00-00:00", "Enables to set tag on resources with standard attribute."),
        ("standard-attr-timestamp", "Resource timestamps", "2016-09-12T10:00:00-00:00", "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes."),
        ("stateful-security-group", "Stateful security group", "2019-11-26T09:00:00-00:00", "Indicates if the security group is stateful or not"),
        ("subnet-external-network", "Subnet belongs to an external network", "2024-02-05T18:00:00-00:00", "Informs if the subnet belongs to an external network"),
        ("subnet-service-types", "Subnet service types", "2016-03-15T18:00:00-00:00", "Provides ability to set the subnet service_types field"),
        ("tag-creation", "Tag creation extension", "2024-23-07T10:00:00-00:00", "Allow to create multiple tags for a resource"),
    )
)  # fmt: skip
_COLLECTIONS = (("network", "networks"), ("subnet", "subnets"), ("port", "ports"))


class Versions:
    """`/`: the versions there are; needs no token."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response) -> None:
        links = [{"rel": "self", "href": f"{_base(req)}/v2.0/"}]
        self._app.json(resp, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})


class Root:
    """`/v2.0/`: the core collections."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response) -> None:
        base = f"{_base(req)}/v2.0"
        resources = [
            {"name": name, "collection": many, "links": [{"rel": "self", "href": f"{base}/{many}"}]}
            for name, many in _COLLECTIONS
        ]
        self._app.json(resp, {"resources": resources})


class Extensions:
    """`/v2.0/extensions`."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response) -> None:
        self._app.json(resp, {"extensions": EXTENSIONS})


class Extension:
    """`/v2.0/extensions/{alias}`."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response, alias: str) -> None:
        found = next((extension for extension in EXTENSIONS if extension["alias"] == alias), None)
        if found is None:
            text = f"The resource could not be found.<br /><br />\nExtension with alias {alias} does not exist\n\n"
            body = orjson.dumps({"message": text, "code": "404 Not Found", "title": "Not Found"})
            raise ApiError(404, body=body)
        self._app.json(resp, {"extension": found})


def _base(req: Request) -> str:
    return f"{req.scheme}://{req.netloc}"
