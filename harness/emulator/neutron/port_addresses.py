"""Which addresses a port gets: those asked for, or one of each IP version of its network."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from harness.emulator.database import Row
from harness.emulator.http import ApiError
from harness.emulator.neutron import errors
from harness.emulator.neutron.addresses import Exhausted, Subnet
from harness.emulator.neutron.service import Neutron

_SLAAC = ("slaac", "dhcpv6-stateless")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One address for a port.

    `guarded`: its row in `ipallocations` is written, whose key lets only one port have it.
    """

    subnet: Subnet
    address: str
    picked: bool  # by us, not by the user: a conflict is worth another try
    guarded: bool = True

    @property
    def in_pool(self) -> int:
        """1 when the address lies in an allocation pool of its subnet, else 0."""
        return int(self.picked or self.subnet.has_in_pool(self.address))


def subnets_of(rows: Sequence[Row]) -> list[tuple[Subnet, Row]]:
    """The subnets in rows of a network joined with its subnets, in order of their ids."""
    found = []
    for row in rows:
        if row["subnet_id"] is not None:
            pools = tuple((pool["start"], pool["end"]) for pool in orjson.loads(row["allocation_pools"]))
            found.append((Subnet(row["subnet_id"], row["id"], row["cidr"], pools), row))
    return found


def fixed_ips(chosen: Sequence[Chosen]) -> str:
    """The column `fixed_ips`."""
    return orjson.dumps([{"subnet_id": one.subnet.id, "ip_address": one.address} for one in chosen]).decode()


async def choose(neutron: Neutron, rows: Sequence[Row], wanted: list[dict[str, Any]] | None, mac: str) -> list[Chosen]:
    """Addresses for a port. Each picked one is to be kept or released afterwards (`settle`).

    Args: rows: the network joined with its subnets. wanted: fixed_ips of the request; None: neutron's choice.
    Raises: ApiError; nothing stays taken then.
    """
    subnets = subnets_of(rows)
    chosen: list[Chosen] = []
    try:
        if wanted is None:
            await _one_of_each_version(neutron, subnets, mac, chosen)
        else:
            for fixed in wanted:
                chosen.append(await _asked_for(neutron, subnets, fixed, mac))
    except (ApiError, Exhausted) as error:
        settle(neutron, chosen, kept=False)
        if isinstance(error, Exhausted):
            raise errors.no_addresses(rows[0]["id"]) from None
        raise
    return chosen


def settle(neutron: Neutron, chosen: Sequence[Chosen], *, kept: bool) -> None:
    """Say what became of addresses: in the database, or free again."""
    for one in chosen:
        if not one.guarded:
            continue
        if kept:
            neutron.addresses.keep(one.subnet.id, one.address)
        elif one.picked:
            neutron.addresses.release(one.subnet.id, one.address)


async def _one_of_each_version(
    neutron: Neutron, subnets: list[tuple[Subnet, Row]], mac: str, chosen: list[Chosen]
) -> None:
    for version in (4, 6):
        candidates = [(s, row) for s, row in subnets if row["ip_version"] == version]
        automatic = [s for s, row in candidates if row["ipv6_address_mode"] in _SLAAC]
        chosen.extend(Chosen(s, _from_mac(s.cidr, mac), picked=False) for s in automatic)
        others = [s for s, row in candidates if row["ipv6_address_mode"] not in _SLAAC]
        for number, subnet in enumerate(others):
            try:
                chosen.append(await _pick(neutron, subnet))
            except Exhausted:
                if number == len(others) - 1:
                    raise
            else:
                break


async def _pick(neutron: Neutron, subnet: Subnet) -> Chosen:
    if neutron.runtime.strikes("duplicate_fixed_address"):
        taken = await neutron.addresses.in_use(subnet)
        if taken is not None:
            return Chosen(subnet, taken, picked=True, guarded=False)
    return Chosen(subnet, await neutron.addresses.allocate(subnet), picked=True)


async def _asked_for(neutron: Neutron, subnets: list[tuple[Subnet, Row]], fixed: dict[str, Any], mac: str) -> Chosen:
    subnet_id, address = fixed.get("subnet_id"), fixed.get("ip_address")
    if subnet_id is None and address is None:
        raise errors.invalid_input("IP allocation requires subnet_id or ip_address")
    if subnet_id is not None:
        found = next(((s, row) for s, row in subnets if s.id == subnet_id), None)
        if found is None:
            raise errors.not_found("subnet", subnet_id)
        subnet, row = found
        if address is None:
            if row["ipv6_address_mode"] in _SLAAC:
                return Chosen(subnet, _from_mac(subnet.cidr, mac), picked=False)
            return await _pick(neutron, subnet)
        if not _is_host(subnet.cidr, address):
            raise errors.address_not_on_subnet(address)
        return Chosen(subnet, str(ipaddress.ip_address(address)), picked=False)
    assert address is not None
    for subnet, _row in subnets:
        if _is_host(subnet.cidr, address):
            return Chosen(subnet, str(ipaddress.ip_address(address)), picked=False)
    raise errors.address_not_on_network(address)


def _is_host(cidr: str, address: str) -> bool:
    network, parsed = ipaddress.ip_network(cidr), ipaddress.ip_address(address)
    if parsed.version != network.version or parsed not in network:
        return False
    if network.version == 4 and network.prefixlen < 31:
        return parsed not in (network.network_address, network.broadcast_address)
    return True


def _from_mac(cidr: str, mac: str) -> str:
    """The address that SLAAC gives an interface: EUI-64 (RFC 4291, appendix A)."""
    parts = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([parts[0] ^ 2]) + parts[1:3] + b"\xff\xfe" + parts[3:]
    return str(ipaddress.ip_network(cidr).network_address + int.from_bytes(identifier, "big"))
