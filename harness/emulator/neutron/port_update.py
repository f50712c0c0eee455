"""Changing ports: attributes, addresses, groups, and the binding to a host that nova asks for."""

from typing import Any

import orjson

from harness.emulator import timestamps
from harness.emulator.database import DBDuplicateEntry, Row
from harness.emulator.http import Caller
from harness.emulator.neutron import binding, errors, policy, port_addresses, ports, security_groups
from harness.emulator.neutron.attributes import Values
from harness.emulator.neutron.port_addresses import Chosen
from harness.emulator.neutron.port_create import address_conflict, address_pairs, dhcp_options, plain
from harness.emulator.neutron.retry import StaleDataError
from harness.emulator.neutron.service import Neutron, new_mac

_PLAIN = ("name", "device_id", "device_owner", "description")
_TELLS_AGENTS = frozenset(
    ("admin_state_up", "mac_address", "fixed_ips", "security_groups", "host", "port_security_enabled")
)


async def change(neutron: Neutron, caller: Caller, port_id: str, values: Values) -> dict[str, Any]:
    """Change one port. Raises: ApiError; StaleDataError when it changed in between."""
    row = await ports.get(neutron, caller, port_id, values.get("binding:host_id"))
    _authorize(caller, row, values)
    changes: Values = {name: values[name] for name in _PLAIN if name in values}
    if "admin_state_up" in values:
        changes["admin_state_up"] = int(values["admin_state_up"])
    if "allowed_address_pairs" in values:
        changes["allowed_address_pairs"] = _json(address_pairs(values["allowed_address_pairs"], row["mac_address"]))
    if "extra_dhcp_opts" in values:
        changes["extra_dhcp_opts"] = _json(dhcp_options(values["extra_dhcp_opts"]))
    if "binding:vnic_type" in values:
        changes["vnic_type"] = values["binding:vnic_type"]
    if "binding:profile" in values:
        changes["profile"] = _json(values["binding:profile"] or {})
    if "mac_address" in values:
        changes["mac_address"] = _mac(row, values["mac_address"])
    pairs = changes.get("allowed_address_pairs") or row["allowed_address_pairs"]
    if values.get("port_security_enabled") is False and orjson.loads(pairs):
        text = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise errors.neutron(409, "AddressPairAndPortSecurityRequired", text)
    groups = await _groups(neutron, row, values, changes)
    _bind(neutron, row, values, changes)
    fresh, dropped = await _addresses(neutron, row, values, changes)
    if not (changes or fresh or dropped) and groups is None:
        return ports.view(row, caller)
    changes["updated_at"] = timestamps.utcnow_iso()
    changes["revision_number"] = row["revision_number"] + 1
    await _write(neutron, row, changes, groups, fresh, dropped)
    for fixed in dropped:
        neutron.addresses.release(fixed["subnet_id"], fixed["ip_address"])
    now: Values = {**dict(row), **changes}
    if now["vif_type"] == binding.BOUND and not _TELLS_AGENTS.isdisjoint(changes):
        await neutron.agents.port_update(plain(now), binding.segment(row))
    if row["status"] == "ACTIVE" and now["status"] == "DOWN":
        neutron.nova.status_changed(port_id, row["device_owner"], row["device_id"], "ACTIVE", "DOWN")
    neutron.nova.port_changed(port_id, now["device_owner"], now["device_id"])
    return ports.view(now, caller)


async def remove(neutron: Neutron, caller: Caller, port_id: str) -> None:
    """Delete one port. Raises: ApiError; 403 for a server's port, which is nova's to delete."""
    row = await ports.get(neutron, caller, port_id)
    if not policy.is_global(caller):
        owner = policy.is_member(caller, row["project_id"]) or policy.is_member(caller, row["network_project_id"])
        if not owner or row["device_owner"].startswith(("compute:", "baremetal:", "manila:")):
            raise errors.forbidden("rule:delete_port")
    if not await ports.DELETE.run(neutron.database, which=port_id):
        raise errors.not_found("port", port_id)
    for fixed in orjson.loads(row["fixed_ips"]):
        neutron.addresses.release(fixed["subnet_id"], fixed["ip_address"])
    await neutron.agents.port_delete(port_id)
    neutron.nova.port_deleted(port_id, row["device_owner"], row["device_id"])


def _authorize(caller: Caller, row: Row, values: Values) -> None:
    if policy.is_global(caller):
        if values.get("binding:profile") and not policy.is_service(caller):
            raise errors.attribute_forbidden("update_port", ["binding:profile"])
        return
    if not policy.is_member(caller, row["project_id"]):
        raise errors.forbidden("rule:update_port")
    network_id = row["network_project_id"]
    owner = policy.is_member(caller, network_id)
    refused = []
    for name, value in values.items():
        foreign = name in ("fixed_ips", "port_security_enabled", "allowed_address_pairs") or (
            name == "device_owner" and str(value).startswith("network:")
        )
        if (
            name in ("binding:host_id", "binding:profile")
            or (name == "mac_address" and not policy.is_manager(caller, network_id))
            or (foreign and not owner)
        ):
            refused.append(name)
    if refused:
        raise errors.attribute_forbidden("update_port", refused)


def _mac(row: Row, wanted: str | None) -> str:
    mac = wanted or new_mac()
    if mac != row["mac_address"] and row["vif_type"] not in (binding.UNBOUND, binding.FAILED):
        text_ = (
            f"Unable to complete operation on port {row['id']}, port is already bound, port type: {row['vif_type']}, "
            f"old_mac {row['mac_address']}, new_mac {mac}."
        )
        raise errors.neutron(409, "PortBound", text_)
    return mac


async def _groups(neutron: Neutron, row: Row, values: Values, changes: Values) -> list[str] | None:
    """The port's new security groups, None when they stay."""
    secured = values.get("port_security_enabled", bool(row["port_security_enabled"]))
    if "port_security_enabled" in values:
        changes["port_security_enabled"] = int(secured)
    if "security_groups" not in values:
        if not secured and row["security_groups"] != "[]" and "port_security_enabled" in values:
            text_ = "Port has security group associated. Cannot disable port security or IP address until security group is removed."  # noqa: E501
            raise errors.neutron(409, "PortSecurityPortHasSecurityGroup", text_)
        return None
    groups: list[str] = list(values["security_groups"])
    if groups and not secured:
        text_ = "Port security must be enabled and port must have an IP address in order to use security groups."
        raise errors.neutron(400, "PortSecurityAndIPRequiredForSecurityGroups", text_)
    if groups:
        await security_groups.check_usable(neutron, row["project_id"], groups)
    changes["security_groups"] = _json(groups)
    return groups


def _bind(neutron: Neutron, row: Row, values: Values, changes: Values) -> None:
    """Bind, when the host is new or an earlier attempt failed."""
    if "binding:host_id" not in values:
        return
    host = values["binding:host_id"] or ""
    if host != row["host"] or row["vif_type"] == binding.FAILED:
        changes.update(binding.bound(neutron, host, row["agent_heartbeat"] if host else None))


async def _addresses(
    neutron: Neutron, row: Row, values: Values, changes: Values
) -> tuple[list[Chosen], list[dict[str, str]]]:
    """The addresses that the port gets, and those it loses."""
    if "fixed_ips" not in values:
        return [], []
    had: list[dict[str, str]] = orjson.loads(row["fixed_ips"])
    rows = await neutron.database.fetch(ports.FOR_CREATE, id=row["network_id"], port_project=row["project_id"])
    if not rows:
        raise errors.not_found("network", row["network_id"])
    stay: list[dict[str, str]] = []
    wanted = []
    for fixed in values["fixed_ips"]:
        same = next((old for old in had if old not in stay and fixed.items() <= old.items()), None)
        if same is not None:
            stay.append(same)
        else:
            wanted.append(fixed)
    fresh = await port_addresses.choose(neutron, rows, wanted, row["mac_address"])
    changes["fixed_ips"] = _json([*stay, *orjson.loads(port_addresses.fixed_ips(fresh))])
    return fresh, [old for old in had if old not in stay]


async def _write(
    neutron: Neutron,
    row: Row,
    changes: Values,
    groups: list[str] | None,
    fresh: list[Chosen],
    dropped: list[dict[str, str]],
) -> None:
    which, was = row["id"], row["revision_number"]
    if groups is None and not fresh and not dropped:
        try:
            if not await neutron.database.execute(ports.UPDATE, which=which, was=was, **changes):
                raise StaleDataError(which)
        except DBDuplicateEntry:
            raise errors.mac_taken(row["network_id"], changes["mac_address"]) from None
        return
    try:
        async with neutron.database.transaction() as transaction:
            if not await transaction.execute(ports.UPDATE, which=which, was=was, **changes):
                raise StaleDataError(which)
            if groups is not None:
                await transaction.execute(ports.DROP_GROUPS, which=which)
                for group in groups:
                    await transaction.execute(ports.ADD_GROUP, port_id=which, security_group_id=group)
            for old in dropped:
                await transaction.execute(
                    ports.DROP_ADDRESS, which=which, subnet=old["subnet_id"], ip=old["ip_address"]
                )
            for one in fresh:
                if one.guarded:
                    await transaction.execute(
                        ports.ADD_ADDRESS,
                        subnet_id=one.subnet.id,
                        ip_address=one.address,
                        port_id=which,
                        network_id=row["network_id"],
                        in_pool=one.in_pool,
                    )
    except DBDuplicateEntry:
        await address_conflict(neutron, fresh)
        raise
    except BaseException:
        port_addresses.settle(neutron, fresh, kept=False)
        raise
    port_addresses.settle(neutron, fresh, kept=True)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
