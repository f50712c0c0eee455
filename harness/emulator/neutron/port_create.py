"""Making ports: one read of all that the port depends on, one write of the port, its addresses and its groups."""

import ipaddress
import re
from typing import Any

import orjson

from harness.emulator import timestamps
from harness.emulator.database import DBDuplicateEntry, Row
from harness.emulator.http import Caller
from harness.emulator.neutron import binding, errors, networks, policy, port_addresses, ports, quotas, security_groups
from harness.emulator.neutron.attributes import Values
from harness.emulator.neutron.port_addresses import Chosen
from harness.emulator.neutron.service import Neutron, new_id, new_mac

_MAC_CONSTRAINT = "uniq_ports0network_id0mac_address"
_ONE_LINE = re.compile(r"[^\r\n]+")
_OWNER_ONLY = ("mac_address", "port_security_enabled", "allowed_address_pairs")


async def create(neutron: Neutron, caller: Caller, values: Values) -> dict[str, Any]:
    """Make one port.

    Raises: ApiError; DBDuplicateEntry when somebody else took the address first, and the other errors that
    `Neutron.retrying` takes up.
    """
    network_id, project_id = values["network_id"], values["project_id"]
    rows = await neutron.database.fetch(ports.FOR_CREATE, id=network_id, port_project=project_id)
    if not rows or not networks.sees(caller, rows[0]):
        raise errors.not_found("network", network_id)
    network = rows[0]
    _authorize(caller, network, values)
    limit = network["limit"]
    if limit is None:
        limit = neutron.settings.neutron.quota_port
    if limit >= 0:
        async with quotas.reserved(neutron, project_id, "port", limit=limit):
            return await _create(neutron, caller, rows, values)
    return await _create(neutron, caller, rows, values)


async def _create(neutron: Neutron, caller: Caller, rows: list[Row], values: Values) -> dict[str, Any]:
    network = rows[0]
    secured, groups = await _security(neutron, network, values)
    mac = values.get("mac_address") or new_mac()
    chosen = await port_addresses.choose(neutron, rows, values.get("fixed_ips"), mac)
    now = timestamps.utcnow_iso()
    row: Values = {
        "id": new_id(),
        "project_id": values["project_id"],
        "network_id": values["network_id"],
        "name": values["name"],
        "mac_address": mac,
        "admin_state_up": int(values["admin_state_up"]),
        "status": "DOWN",
        "device_id": values["device_id"],
        "device_owner": values["device_owner"],
        "fixed_ips": port_addresses.fixed_ips(chosen),
        "security_groups": orjson.dumps(groups).decode(),
        "allowed_address_pairs": _json_or_empty(address_pairs(values.get("allowed_address_pairs"), mac)),
        "extra_dhcp_opts": _json_or_empty(dhcp_options(values.get("extra_dhcp_opts"))),
        "port_security_enabled": int(secured),
        "host": "",
        "vnic_type": values["binding:vnic_type"],
        "vif_type": binding.UNBOUND,
        "vif_details": "{}",
        "profile": orjson.dumps(values.get("binding:profile") or {}).decode(),
        "description": values["description"],
        "tags": "[]",
        "created_at": now,
        "updated_at": now,
        "revision_number": 1,
    }
    host = values.get("binding:host_id")
    if host:
        row.update(await binding.bind(neutron, host))
    await _insert(neutron, row, chosen, groups, mac_given=bool(values.get("mac_address")))
    view = ports.view(row, caller)
    if row["vif_type"] == binding.BOUND:
        await neutron.agents.port_update(plain(row), binding.segment(network))
    return view


def plain(row: Row | Values) -> dict[str, Any]:
    """A port as it travels to the agents."""
    return {
        "id": row["id"],
        "network_id": row["network_id"],
        "mac_address": row["mac_address"],
        "admin_state_up": bool(row["admin_state_up"]),
        "status": row["status"],
        "device_id": row["device_id"],
        "device_owner": row["device_owner"],
        "binding:host_id": row["host"],
        "binding:vif_type": row["vif_type"],
        "binding:vnic_type": row["vnic_type"],
    }


def address_pairs(pairs: list[Any] | None, mac: str) -> list[dict[str, str]]:
    """allowed_address_pairs, each with a MAC address. Raises: ApiError 400."""
    found = []
    for pair in pairs or ():
        if not isinstance(pair, dict) or not pair.get("ip_address"):
            raise errors.neutron(400, "AllowedAddressPairsMissingIP", "AllowedAddressPair must contain ip_address")
        if _is_no_range(pair["ip_address"]):
            raise errors.bad_request(f"'{pair['ip_address']}' is not a valid IP address")
        found.append({"mac_address": pair.get("mac_address") or mac, "ip_address": pair["ip_address"]})
    return found


def _is_no_range(value: Any) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return True
    return False


def dhcp_options(options: list[Any] | None) -> list[dict[str, Any]]:
    """extra_dhcp_opts with their IP version. Raises: ApiError 400."""
    found = []
    for option in options or ():
        name = option.get("opt_name") if isinstance(option, dict) else None
        if not isinstance(name, str) or not _ONE_LINE.fullmatch(name):
            raise errors.invalid_attribute("extra_dhcp_opts", f"Invalid data format for extra DHCP option: '{option}'.")
        if option.get("opt_value") is not None:
            found.append(
                {"opt_name": name, "opt_value": option["opt_value"], "ip_version": int(option.get("ip_version", 4))}
            )
    return found


def _authorize(caller: Caller, network: Row, values: Values) -> None:
    if policy.is_global(caller):
        if values.get("binding:profile") and not policy.is_service(caller):
            raise errors.attribute_forbidden("create_port", ["binding:profile"])
        return
    owner = policy.is_member(caller, network["project_id"])
    if not owner and not network["shared"]:
        raise errors.forbidden("rule:create_port")
    refused = []
    for name, value in values.items():
        foreign = (
            name in _OWNER_ONLY
            or (name == "device_owner" and str(value).startswith("network:"))
            or (name == "fixed_ips" and any("ip_address" in fixed for fixed in value or ()))
        )
        if name in ("binding:host_id", "binding:profile") or (foreign and not owner):
            refused.append(name)
    if refused:
        raise errors.attribute_forbidden("create_port", refused)


async def _security(neutron: Neutron, network: Row, values: Values) -> tuple[bool, list[str]]:
    """Whether port security is on, and the port's security groups."""
    given = values.get("security_groups")
    # Ports of the network service itself are never filtered.
    trusted = values["device_owner"].startswith("network:")
    secured = values.get("port_security_enabled", bool(network["port_security_enabled"]) and not trusted)
    if given:
        if not secured:
            text_ = "Port security must be enabled and port must have an IP address in order to use security groups."
            raise errors.neutron(400, "PortSecurityAndIPRequiredForSecurityGroups", text_)
        await security_groups.check_usable(neutron, values["project_id"], given)
        return True, list(given)
    if given is not None or not secured:
        return bool(secured), []
    default = network["security_group_id"] or await security_groups.ensure_default(neutron, values["project_id"])
    return True, [default] if default else []


async def _insert(neutron: Neutron, row: Values, chosen: list[Chosen], groups: list[str], *, mac_given: bool) -> None:
    guarded = [one for one in chosen if one.guarded]
    params = dict(row)
    for n, one in enumerate(guarded):
        params[f"subnet_id{n}"] = one.subnet.id
        params[f"ip_address{n}"] = one.address
        params[f"in_pool{n}"] = one.in_pool
    for n, group in enumerate(groups):
        params[f"group{n}"] = group
    try:
        await ports.insert_statement(len(guarded), len(groups)).run(neutron.database, **params)
    except DBDuplicateEntry as error:
        if _MAC_CONSTRAINT in error.constraint:
            port_addresses.settle(neutron, chosen, kept=False)
            if mac_given:
                raise errors.mac_taken(row["network_id"], row["mac_address"]) from None
            raise  # a new one at the next try
        await address_conflict(neutron, chosen)
        raise
    except BaseException:
        port_addresses.settle(neutron, chosen, kept=False)
        raise
    port_addresses.settle(neutron, chosen, kept=True)


async def address_conflict(neutron: Neutron, chosen: list[Chosen]) -> None:
    """Somebody else has one of these addresses: 409 when the user asked for it, else learn and try again."""
    port_addresses.settle(neutron, chosen, kept=False)
    asked = [one for one in chosen if not one.picked]
    for one in asked:
        if await neutron.addresses.is_used(one.subnet.id, one.address):
            raise errors.address_taken(one.address, one.subnet.id) from None
    for one in chosen:
        if one.picked and one.guarded and await neutron.addresses.is_used(one.subnet.id, one.address):
            await neutron.addresses.conflict(one.subnet, one.address)


def _json_or_empty(value: list[Any]) -> str:
    return orjson.dumps(value).decode() if value else "[]"
