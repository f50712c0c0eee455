"""Bodies that are no JSON, or the wrong JSON: the status and the words of each service.

Statuses compared with keystone 30.0.0, glance 33.0.0, placement 16.0.0, nova 34.0.0 and neutron 29.0.0 on MariaDB on
2026-11-30. Where one of them fails (500, or a connection that ends without an answer: marked F) the answer here is 400;
where MariaDB stores a NUL, which PostgreSQL cannot (marked N), too.
"""

import json

import pytest

from tests.emulator.http.raw import COLLECTIONS, SERVICES, Wire, shape

WRAPPERS = {"keystone": "user", "glance": "", "placement": "", "nova": "server", "neutron": "network"}
MALFORMED = {
    "keystone": "Expecting to find valid JSON in request body.",
    "glance": "Malformed JSON in request body.",
    "placement": "Malformed JSON: ",
    "nova": "Malformed request body",
    "neutron": "Body contains invalid data",
}
NOT_JSON = {
    "cut short": b'{"name": "x',
    "words": b"hello",
    "comment": b"/* */ {}",
    "single quotes": b"{'a': 1}",
    "something after it": b"{} x",
    "raw NUL": b'{"name": "a\0b"}',
    "raw line break": b'{"name": "a\nb"}',
    "no UTF-8": b'{"name": "\xff\xfe"}',  # F nova
    "UTF-8 cut short": b'{"name": "a\xc3"}',  # F nova
    "UTF-16": '{"name": "a"}'.encode("utf-16"),  # F nova; keystone takes it
    "lone surrogate": b'{"name": "\\ud800"}',  # F keystone, glance, placement
    "deep list": b"[" * 5000 + b"]" * 5000,  # F all
    "deep object": b'{"a":' * 5000 + b"1" + b"}" * 5000,  # F all
    "never closed": b"[" * 100_000,  # F all
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("what", NOT_JSON)
def test_what_is_no_json_is_400_in_the_words_of_the_service(wire: Wire, service: str, what: str) -> None:
    reply = wire.post(service, NOT_JSON[what])
    assert (reply.status, reply.is_closed) == (400, False)
    assert MALFORMED[service] in shape(service, reply)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("document", [b"[]", b'"x"', b"7", b"null", b"true", b"[[]]", b""])
def test_json_of_the_wrong_kind_is_400(wire: Wire, service: str, document: bytes) -> None:
    reply = wire.post(service, document)
    assert reply.status == 400
    assert shape(service, reply)


@pytest.mark.parametrize("service", ["keystone", "nova", "neutron"])
@pytest.mark.parametrize(
    "inner", ["[]", "null", '"x"', "7", '{"name": 5}', '{"name": {}}', '{"name": "a", "name": []}']
)
def test_the_wrong_kind_under_the_right_name_is_400(wire: Wire, service: str, inner: str) -> None:
    reply = wire.post(service, f'{{"{WRAPPERS[service]}": {inner}}}'.encode())
    assert reply.status == 400
    assert shape(service, reply)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("number", ["1" + "0" * 400, "1" + "0" * 5000, "1e999", "-0.0"])
def test_a_number_of_any_size_is_a_wrong_name(wire: Wire, service: str, number: str) -> None:
    name = WRAPPERS[service]
    inner = f'{{"name": {number}}}'
    assert wire.post(service, (f'{{"{name}": {inner}}}' if name else inner).encode()).status == 400


@pytest.mark.parametrize("service", SERVICES)
def test_a_nul_in_a_text_is_400(wire: Wire, service: str) -> None:  # N keystone, glance, placement: 201
    name = WRAPPERS[service]
    inner = r'{"name": "a\u0000b"}'
    assert wire.post(service, (f'{{"{name}": {inner}}}' if name else inner).encode()).status == 400
    escaped = r'{"name": "fuzz-\\u0000"}'  # six letters, no NUL
    status = wire.post(service, (f'{{"{name}": {escaped}}}' if name else escaped).encode()).status
    assert status == (400 if service == "nova" else 201)


@pytest.mark.parametrize("service", SERVICES)
def test_only_keystone_and_nova_have_a_limit_of_their_own(wire: Wire, service: str) -> None:
    """The others' paste pipelines lack oslo.middleware's sizelimit."""
    just, over = (b'{"name": "' + b"x" * (size - 12) + b'"}' for size in (114_688, 114_689))
    assert wire.post(service, just).status == 400
    reply = wire.post(service, over)
    if service not in ("keystone", "nova"):
        assert reply.status == 400
        return
    assert (reply.status, reply.is_closed) == (413, True)
    assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
    assert reply.body == (
        b"413 Request Entity Too Large\n\nRequest is too large. Larger than max_request_body_size (%s).\n\n   "
    )


@pytest.mark.parametrize("service", SERVICES)
def test_too_large_comes_before_the_token_where_there_is_a_limit(wire: Wire, service: str) -> None:
    body = b"x" * 120_000
    head = f"POST {COLLECTIONS[service]} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    reply = wire.send(service, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert reply.status == (413 if service in ("keystone", "nova") else 401)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("kind", "refused_by"),
    [
        ("", ()),
        ("application/json; charset=utf-16", ()),
        ("text/plain", ("placement",)),
        ("text/html", ("placement", "nova")),
        ("application/x-www-form-urlencoded", ("placement", "nova")),
        ("multipart/form-data", ("placement", "nova")),  # F glance, nova, neutron
        ("Application/JSON", ("placement", "nova")),
        ("zzz", ("placement", "nova")),
    ],
)
def test_content_types(wire: Wire, service: str, kind: str, refused_by: tuple[str, ...]) -> None:
    name = WRAPPERS[service]
    reply = wire.post(service, b'{"%s": {"name": 5}}' % name.encode() if name else b'{"name": 5}', kind=kind)
    assert reply.status == (415 if service in refused_by else 400)


WRONG_VALUES = [None, True, 7, -1, 1.5, 10**30, "zz", "", [], [None], [[]], ["x"], [{}], {}, {"a": None}, "x" * 5000]
_ABSENT = "5b0b1f2e-0000-4000-8000-0000000000ff"
_ALLOCATION = {
    "allocations": {_ABSENT: {"resources": {"VCPU": 1}}}, "project_id": "p", "user_id": "u",
    "consumer_generation": None, "consumer_type": "INSTANCE",
}  # fmt: skip
# Service, method and path, the body's wrapper, a body that is refused for what it names, its fields.
RESOURCES = [
    ("nova", "POST", "/v2.1/servers", "server", {"name": "x", "flavorRef": "none"},
     "name flavorRef imageRef networks min_count max_count metadata key_name availability_zone config_drive user_data "
     "personality security_groups block_device_mapping_v2 OS-DCF:diskConfig accessIPv4 adminPass host tags description "
     "hostname trusted_image_certificates"),
    ("neutron", "POST", "/v2.0/networks", "network", {"name": "x", "shared": "none"},
     "name admin_state_up shared router:external provider:network_type tenant_id project_id mtu port_security_enabled "
     "availability_zone_hints description status subnets"),
    ("neutron", "POST", "/v2.0/ports", "port", {"network_id": _ABSENT},
     "network_id name admin_state_up mac_address fixed_ips device_id device_owner tenant_id project_id security_groups "
     "allowed_address_pairs extra_dhcp_opts binding:host_id binding:profile binding:vnic_type description dns_name"),
    ("neutron", "POST", "/v2.0/subnets", "subnet", {"network_id": _ABSENT, "ip_version": 4, "cidr": "10.9.0.0/24"},
     "network_id name ip_version cidr gateway_ip allocation_pools dns_nameservers host_routes enable_dhcp tenant_id"),
    ("neutron", "POST", "/v2.0/security-group-rules", "security_group_rule",
     {"security_group_id": _ABSENT, "direction": "ingress"},
     "security_group_id direction ethertype protocol port_range_min port_range_max remote_ip_prefix remote_group_id"),
    ("glance", "POST", "/v2/images", "", {"visibility": "none"},
     "name visibility container_format disk_format min_disk min_ram tags protected id owner os_hidden status size"),
    ("keystone", "POST", "/v3/users", "user", {"name": "x", "domain_id": "none"},
     "name password domain_id default_project_id enabled email description options zzz"),
    ("keystone", "POST", "/v3/projects", "project", {"name": "x", "domain_id": "none"},
     "name domain_id parent_id enabled description is_domain tags options"),
    ("keystone", "POST", "/v3/groups", "group", {"name": "x", "domain_id": "none"}, "name domain_id description"),
    ("placement", "POST", "/resource_providers", "", {"name": ""}, "name uuid parent_provider_uuid zzz"),
    ("placement", "PUT", f"/allocations/{_ABSENT}", "", _ALLOCATION,
     "allocations project_id user_id consumer_generation consumer_type mappings"),
]  # fmt: skip


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource[2])
def test_no_field_of_any_type_is_more_than_a_refusal(
    wire: Wire, resource: tuple[str, str, str, str, dict, str]
) -> None:
    """Each field in turn holds each value; real and ours were compared status by status when this was written."""
    service, method, path, wrapper, valid, fields = resource
    version = {"nova": "compute 2.96", "placement": "placement 1.39"}.get(service, "none 1.0")
    for field in fields.split():
        for value in WRONG_VALUES:
            document = {**valid, field: value}
            body = json.dumps({wrapper: document} if wrapper else document).encode()
            head = wire.head(
                method, path, f"Content-Length: {len(body)}", "Content-Type: application/json",
                f"OpenStack-API-Version: {version}", "Connection: close",
            )  # fmt: skip
            reply = wire.send(service, head + b"\r\n" + body)
            assert 200 <= reply.status < 500, (field, value, reply)
            if reply.status >= 400:
                assert shape(service, reply), (field, value, reply)


def test_what_only_the_fuzzer_thought_of(wire: Wire) -> None:
    """Each of these was a 500 once."""
    flavor = {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}
    for factor, status in ((1e308, 400), ("=", 400), (0, 400), ("-1", 400)):
        body = json.dumps({"flavor": {**flavor, "rxtx_factor": factor}}).encode()
        assert wire.post("nova", body, target="/v2.1/flavors").status == status
    for number in ("1e308", "-1e308", "0.5"):
        body = f'{{"extra_specs": {{"hw:numa_nodes": {number}}}}}'.encode()
        assert wire.post("nova", body, target="/v2.1/flavors/none/os-extra_specs").status in (200, 400, 404)
    for filtered in ("launch_index=zz", "power_state=%D9%A3", "power_state=" + "9" * 30, "launch_index="):
        reply = wire.get("nova", f"/v2.1/servers?{filtered}")
        assert (reply.status, json.loads(reply.body)) == (200, {"servers": []})
    for number in ("9" * 5000, "%C2%B2", "-1", "zz"):
        for service in SERVICES:
            path = "/allocation_candidates" if service == "placement" else COLLECTIONS[service]
            reply = wire.get(
                service, f"{path}?limit={number}&resources=VCPU:1", "OpenStack-API-Version: placement 1.39"
            )
            assert reply.status in (200, 400), (service, number)
        assert wire.get("nova", f"/v2.1/os-server-groups?offset={number}").status in (200, 400)
    for inner in ([{}], [1], True, None, 1.5, "x"):
        for name in ("network", "port", "agent", "subnet"):
            body = json.dumps({name: inner}).encode()
            head = wire.head("PUT", f"/v2.0/{name}s/{_ABSENT}", f"Content-Length: {len(body)}")
            assert wire.send("neutron", head + b"\r\n" + body).status == 400


def test_addresses_of_a_network_may_be_more_than_64_bits_count(wire: Wire) -> None:
    made = wire.post("neutron", b'{"network": {"name": "wide"}}')
    network = json.loads(made.body)["network"]["id"]
    for cidr in ("fd00::/32", "fd01::/32"):  # neutron counts no more than 2 ** 64 - 1 of one subnet
        subnet = {"network_id": network, "ip_version": 6, "cidr": cidr}
        assert wire.post("neutron", json.dumps({"subnet": subnet}).encode(), target="/v2.0/subnets").status == 201
    for path in ("", f"/{network}", f"?network_id={network}"):
        reply = wire.get("neutron", f"/v2.0/network-ip-availabilities{path}")
        assert reply.status == 200
        assert f'"total_ips": {2 * (2**64 - 1)}' in reply.body.decode()
