"""The extensions that are really served here: alias, name, date and description as neutron 29.0.0 gives them."""

from typing import Any


def _extension(alias: str, name: str, updated: str, description: str) -> dict[str, Any]:
    return {"name": name, "alias": alias, "description": description, "updated": updated, "links": []}


EXTENSIONS = (
    _extension(
        "agent",
        "agent",
        "2013-02-03T10:00:00-00:00",
        "The agent management extension.",
    ),
    _extension(
        "agent_sort_key",
        "Agents Sort Key",
        "2013-02-03T10:00:00-00:00",
        "Enabling the keyword sort_key for sorting in agents.",
    ),
    _extension(
        "allowed-address-pairs",
        "Allowed Address Pairs",
        "2013-07-23T10:00:00-00:00",
        "Provides allowed address pairs",
    ),
    _extension(
        "availability_zone",
        "Availability Zone",
        "2015-01-01T10:00:00-00:00",
        "The availability zone extension.",
    ),
    _extension(
        "binding",
        "Port Binding",
        "2014-02-03T10:00:00-00:00",
        "Expose port bindings of a virtual port to external application",
    ),
    _extension(
        "empty-string-filtering",
        "Empty String Filtering Extension",
        "2018-05-01T10:00:00-00:00",
        "Allow filtering by attributes with empty string value",
    ),
    _extension(
        "external-net",
        "Neutron external network",
        "2013-01-14T10:00:00-00:00",
        "Adds external network attribute to network resource.",
    ),
    _extension(
        "extra_dhcp_opt",
        "Neutron Extra DHCP options",
        "2013-03-17T12:00:00-00:00",
        "Extra options configuration for DHCP. For example PXE boot options to DHCP clients can be specified "
        "(e.g. tftp-server, server-ip-address, bootfile-name)",
    ),
    _extension(
        "filter-validation",
        "Filter parameters validation",
        "2018-07-04T10:00:00-00:00",
        "Provides validation on filter parameters.",
    ),
    _extension(
        "ip-substring-filtering",
        "IP address substring filtering",
        "2017-11-28T09:00:00-00:00",
        "Provides IP address substring filtering when listing ports",
    ),
    _extension(
        "net-mtu",
        "Network MTU",
        "2015-03-25T10:00:00-00:00",
        "Provides MTU attribute for a network resource.",
    ),
    _extension(
        "net-mtu-writable",
        "Network MTU (writable)",
        "2017-07-12T00:00:00-00:00",
        "Provides a writable MTU attribute for a network resource.",
    ),
    _extension(
        "network-ip-availability",
        "Network IP Availability",
        "2015-09-24T00:00:00-00:00",
        "Provides IP availability data for each network and subnet.",
    ),
    _extension(
        "network-ip-availability-details",
        "Network IP Availability Details Extension",
        "2025-10-31T00:00:00-00:00",
        "Add ip_availability_details attribute to network-ip-availabilities resource.",
    ),
    _extension(
        "pagination",
        "Pagination support",
        "2016-06-12T00:00:00-00:00",
        "Extension that indicates that pagination is enabled.",
    ),
    _extension(
        "port-mac-address-regenerate",
        "Neutron Port MAC address regenerate",
        "2018-05-03T10:00:00-00:00",
        "Network port MAC address regenerate",
    ),
    _extension(
        "port-security",
        "Port Security",
        "2012-07-23T10:00:00-00:00",
        "Provides port security",
    ),
    _extension(
        "port-security-groups-filtering",
        "Port filtering on security groups",
        "2018-01-09T09:00:00-00:00",
        "Provides security groups filtering when listing ports",
    ),
    _extension(
        "project-id",
        "project_id field enabled",
        "2016-09-09T09:09:09-09:09",
        "Extension that indicates that project_id field is enabled.",
    ),
    _extension(
        "provider",
        "Provider Network",
        "2012-09-07T10:00:00-00:00",
        "Expose mapping of virtual networks to physical networks",
    ),
    _extension(
        "quota_details",
        "Quota details management support",
        "2017-02-10T10:00:00-00:00",
        "Expose functions for quotas usage statistics per project",
    ),
    _extension(
        "quotas",
        "Quota management support",
        "2012-07-29T10:00:00-00:00",
        "Expose functions for quotas management per project",
    ),
    _extension(
        "security-group",
        "security-group",
        "2012-10-05T10:00:00-00:00",
        "The security groups extension.",
    ),
    _extension(
        "security-groups-normalized-cidr",
        "Normalized CIDR field for security group rules",
        "2020-07-28T10:00:00-00:00",
        "Add new field with normalized remote_ip_prefix cidr in SG rule",
    ),
    _extension(
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
        "2023-05-23T10:00:00-00:00",
        "Flag to determine if the security group rule belongs to the project's default security group",
    ),
    _extension(
        "sorting",
        "Sorting support",
        "2016-06-12T00:00:00-00:00",
        "Extension that indicates that sorting is enabled.",
    ),
    _extension(
        "standard-attr-description",
        "standard-attr-description",
        "2016-02-10T10:00:00-00:00",
        "Extension to add descriptions to standard attributes",
    ),
    _extension(
        "standard-attr-revisions",
        "Resource revision numbers",
        "2016-04-11T10:00:00-00:00",
        "This extension will display the revision number of neutron resources.",
    ),
    _extension(
        "standard-attr-tag",
        "Tag support for resources with standard attribute: port, subnet, network, security_group",
        "2017-01-01T00:00:00-00:00",
        "Enables to set tag on resources with standard attribute.",
    ),
    _extension(
        "standard-attr-timestamp",
        "Resource timestamps",
        "2016-09-12T10:00:00-00:00",
        "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.",
    ),
    _extension(
        "stateful-security-group",
        "Stateful security group",
        "2019-11-26T09:00:00-00:00",
        "Indicates if the security group is stateful or not",
    ),
    _extension(
        "subnet-external-network",
        "Subnet belongs to an external network",
        "2024-02-05T18:00:00-00:00",
        "Informs if the subnet belongs to an external network",
    ),
    _extension(
        "subnet-service-types",
        "Subnet service types",
        "2016-03-15T18:00:00-00:00",
        "Provides ability to set the subnet service_types field",
    ),
    _extension(
        "tag-creation",
        "Tag creation extension",
        "2024-23-07T10:00:00-00:00",
        "Allow to create multiple tags for a resource",
    ),
)
