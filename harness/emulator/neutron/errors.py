"""What neutron answers when it refuses: `{"NeutronError": {"type", "message", "detail"}}`, words of neutron 29.0.0.

Each function returns the error to raise. Checked against a running neutron 29 on 2026-11-22.
"""

from collections.abc import Iterable, Sequence

import orjson

from harness.emulator.http import ApiError

_TYPES = {
    400: "HTTPBadRequest",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    413: "HTTPRequestEntityTooLarge",
    500: "HTTPInternalServerError",
    503: "HTTPServiceUnavailable",
}
_TEXTS = {
    404: "The resource could not be found.",
    405: "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    500: "Request Failed: internal server error while processing your request.",
}
PROTOCOLS = (
    "ah", "dccp", "egp", "esp", "gre", "hopopt", "icmp", "igmp", "ip", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-icmp",
    "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp",
)  # fmt: skip


def error_body(status: int, message: str, request_id: str, *, type: str = "", **_fields: object) -> bytes:
    """Body of one error. Args: type: name of neutron's exception; "" for a plain HTTP error."""
    if status == 401:
        text = "The request you have made requires authentication."
        error = {"error": {"code": 401, "title": "Unauthorized", "message": text}}
        return orjson.dumps(error)
    if not type:
        type = _TYPES.get(status, "HTTPBadRequest")
        message = _TEXTS.get(status, message)
    return orjson.dumps({"NeutronError": {"type": type, "message": message, "detail": ""}})


def neutron(status: int, kind: str, message: str) -> ApiError:
    return ApiError(status, message, type=kind)


def bad_request(message: str) -> ApiError:
    """The request is not understood (webob's HTTPBadRequest)."""
    return neutron(400, "HTTPBadRequest", message)


def invalid_attribute(name: str, reason: str) -> ApiError:
    return bad_request(f"Invalid input for {name}. Reason: {reason}")


def invalid_input(message: str) -> ApiError:
    return neutron(400, "InvalidInput", f"Invalid input for operation: {message}.")


def bad_limit(limit: str) -> ApiError:
    text = f"Bad limit request: Limit must be an integer 0 or greater and not '{limit}'."
    return neutron(400, "BadRequest", text)


def forbidden(rule: str) -> ApiError:
    """The policy says no. Args: rule: `rule:create_port`, or `(rule:a and rule:a:b)`."""
    return neutron(403, "PolicyNotAuthorized", f"{rule} is disallowed by policy")


def attribute_forbidden(action: str, names: Iterable[str]) -> ApiError:
    return forbidden("(" + " and ".join([f"rule:{action}", *(f"rule:{action}:{name}" for name in names)]) + ")")


_NOT_FOUND = {
    "network": ("NetworkNotFound", "Network {} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {} could not be found."),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    "port": ("PortNotFound", "Port {} could not be found."),
    "security_group": ("SecurityGroupNotFound", "Security group {} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    "agent": ("AgentNotFound", "Agent {} could not be found."),
    "tag": ("TagNotFound", "Tag {} could not be found."),
    "quota": ("TenantQuotaNotFound", "Quota for project {} could not be found."),
}


def not_found(resource: str, identity: str) -> ApiError:
    kind, text = _NOT_FOUND[resource]
    return neutron(404, kind, text.format(identity))


def over_quota(resources: Sequence[str]) -> ApiError:
    listed = str(list(resources))
    return neutron(409, "OverQuota", f"Quota exceeded for resources: {listed}.")


def no_addresses(network_id: str) -> ApiError:
    return neutron(409, "IpAddressGenerationFailure", f"No more IP addresses available on network {network_id}.")


def address_taken(address: str, subnet_id: str) -> ApiError:
    text = f"IP address {address} already allocated in subnet {subnet_id}"
    return neutron(409, "IpAddressAlreadyAllocated", text)


def mac_taken(network_id: str, mac: str) -> ApiError:
    text = f"Unable to complete operation for network {network_id}. The mac address {mac} is in use."
    return neutron(409, "MacAddressInUse", text)


def address_not_on_network(address: str) -> ApiError:
    text = f"IP address {address} is not a valid IP for any of the subnets on the specified network."
    return neutron(400, "InvalidIpForNetwork", text)


def address_not_on_subnet(address: str) -> ApiError:
    text = f"IP address {address} is not a valid IP for the specified subnet."
    return neutron(400, "InvalidIpForSubnet", text)


def network_in_use(network_id: str, port_ids: Sequence[str]) -> ApiError:
    text = (
        f"Unable to complete operation on network {network_id}. There are one or more ports still in use on the "
        f"network, id for these ports is: {','.join(port_ids)}."
    )
    return neutron(409, "NetworkInUse", text)


def subnet_in_use(subnet_id: str) -> ApiError:
    text = (
        f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP allocation from this subnet."
    )
    return neutron(409, "SubnetInUse", text)


def security_group_in_use(group_id: str) -> ApiError:
    return neutron(409, "SecurityGroupInUse", f"Security Group {group_id} in use.")


def rule_exists(rule_id: str) -> ApiError:
    text = f"Security group rule already exists. Rule id is {rule_id}."
    return neutron(409, "SecurityGroupRuleExists", text)


def invalid_protocol(protocol: object) -> ApiError:
    values = "(None, 'any', " + ", ".join(f"'{name}'" for name in PROTOCOLS) + ")"
    text = (
        f"Security group rule protocol {protocol} not supported. Only protocol values {values} and integer "
        "representations [0 to 255] are supported."
    )
    return neutron(400, "SecurityGroupRuleInvalidProtocol", text)
