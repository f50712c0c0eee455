"""Requests that the services accept, for the fuzzer to begin with. Names in capitals stand for ids that it has seen."""

from typing import Any

_SPACE = {"VCPU": 1, "MEMORY_MB": 64}
_SERVER = {"name": "fuzz", "flavorRef": "FLAVOR", "imageRef": "IMAGE", "networks": "none"}
_USER = {"name": "NEW", "password": "secret", "domain_id": "default", "enabled": True, "options": {}}
_PASSWORD = {"user": {"name": "demo", "domain": {"id": "default"}, "password": "no"}}
_RULE = {
    "security_group_id": "ID", "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
    "port_range_min": 80, "port_range_max": 90, "remote_ip_prefix": "10.0.0.0/8",
}  # fmt: skip
_PORT = {
    "network_id": "NETWORK", "name": "fuzz", "fixed_ips": [{"ip_address": "10.9.0.7", "subnet_id": "ID"}],
    "mac_address": "fa:16:3e:00:00:01", "security_groups": ["ID"], "device_id": "x", "device_owner": "compute:nova",
    "binding:host_id": "compute-00001", "admin_state_up": True, "allowed_address_pairs": [], "binding:profile": {},
}  # fmt: skip
_ALLOCATION = {
    "allocations": {"PROVIDER": {"resources": _SPACE}}, "project_id": "p", "user_id": "u", "consumer_generation": None,
    "consumer_type": "INSTANCE",
}  # fmt: skip
_STOCK = {"total": 10, "reserved": 0, "min_unit": 1, "max_unit": 10, "step_size": 1, "allocation_ratio": 1.0}

# Service, method, path -> bodies.
BODIES: dict[tuple[str, str, str], list[Any]] = {
    ("keystone", "POST", "/v3/auth/tokens"): [
        {"auth": {"identity": {"methods": ["password"], "password": _PASSWORD}, "scope": {"project": {"id": "ID"}}}},
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "ID"}}, "scope": {"domain": {"id": "default"}}}},
        {"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "ID"}}}},
    ],
    ("keystone", "POST", "/v3/users"): [{"user": _USER}],
    ("keystone", "PATCH", "/v3/users/{user_id}"): [{"user": {"name": "NEW", "email": "a@b", "enabled": False}}],
    ("keystone", "POST", "/v3/projects"): [
        {"project": {"name": "NEW", "domain_id": "default", "tags": ["a"], "parent_id": "default", "enabled": True}}
    ],
    ("keystone", "PATCH", "/v3/projects/{project_id}"): [{"project": {"name": "NEW", "tags": ["b"], "enabled": True}}],
    ("keystone", "POST", "/v3/domains"): [{"domain": {"name": "NEW", "enabled": False, "description": "x"}}],
    ("keystone", "POST", "/v3/groups"): [{"group": {"name": "NEW", "domain_id": "default", "description": "x"}}],
    ("keystone", "POST", "/v3/roles"): [{"role": {"name": "NEW", "description": "x", "options": {}}}],
    ("keystone", "POST", "/v3/services"): [{"service": {"type": "NEW", "name": "x", "enabled": True}}],
    ("keystone", "POST", "/v3/endpoints"): [
        {"endpoint": {"interface": "public", "url": "http://x/$(project_id)s", "service_id": "ID", "region_id": "ID"}}
    ],
    ("keystone", "POST", "/v3/regions"): [{"region": {"id": "NEW", "description": "x", "parent_region_id": None}}],
    ("keystone", "POST", "/v3/users/{user_id}/password"): [{"user": {"password": "a", "original_password": "b"}}],
    ("keystone", "POST", "/v3/users/{user_id}/application_credentials"): [
        {"application_credential": {"name": "NEW", "roles": [{"name": "member"}], "expires_at": "2030-01-01T00:00:00"}}
    ],
    ("glance", "POST", "/v2/images"): [
        {"name": "fuzz", "disk_format": "raw", "container_format": "bare", "min_ram": 1, "tags": ["a"], "extra": "x"}
    ],
    ("glance", "PATCH", "/v2/images/{image_id}"): [
        [{"op": "replace", "path": "/name", "value": "y"}, {"op": "add", "path": "/extra", "value": "z"}],
        [{"op": "add", "path": "/tags/-", "value": "t"}, {"op": "remove", "path": "/extra"}],
    ],
    ("glance", "POST", "/v2/images/{image_id}/members"): [{"member": "ID"}],
    ("glance", "PUT", "/v2/images/{image_id}/members/{member_id}"): [{"status": "accepted"}],
    ("placement", "POST", "/resource_providers"): [{"name": "NEW", "parent_provider_uuid": None}],
    ("placement", "PUT", "/resource_providers/{uuid}"): [{"name": "NEW"}],
    ("placement", "POST", "/resource_classes"): [{"name": "CUSTOM_FUZZ"}],
    ("placement", "PUT", "/resource_providers/{uuid}/inventories"): [
        {"resource_provider_generation": 1, "inventories": {"VCPU": _STOCK, "CUSTOM_FUZZ": _STOCK}}
    ],
    ("placement", "POST", "/resource_providers/{uuid}/inventories"): [{"resource_class": "VCPU", **_STOCK}],
    ("placement", "PUT", "/resource_providers/{uuid}/inventories/{resource_class}"): [
        {"resource_provider_generation": 1, **_STOCK}
    ],
    ("placement", "PUT", "/resource_providers/{uuid}/traits"): [
        {"resource_provider_generation": 1, "traits": ["HW_CPU_X86_AVX", "CUSTOM_X"]}
    ],
    ("placement", "PUT", "/resource_providers/{uuid}/aggregates"): [
        {"resource_provider_generation": 1, "aggregates": ["5b0b1f2e-0000-4000-8000-000000000000"]}
    ],
    ("placement", "PUT", "/allocations/{consumer}"): [_ALLOCATION],
    ("placement", "POST", "/allocations"): [{"5b0b1f2e-0000-4000-8000-000000000000": _ALLOCATION}],
    ("placement", "POST", "/reshaper"): [{"inventories": {}, "allocations": {}}],
    ("nova", "POST", "/v2.1/servers"): [
        {"server": _SERVER},
        {"server": {**_SERVER, "networks": "auto", "min_count": 1, "max_count": 2, "metadata": {"a": "b"}}},
        {"server": {**_SERVER, "networks": [{"uuid": "NETWORK"}], "tags": ["a"], "description": "x"}},
        {"server": {**_SERVER, "security_groups": [{"name": "default"}], "availability_zone": "nova", "user_data": ""},
         "os:scheduler_hints": {"group": "ID"}},
    ],
    ("nova", "PUT", "/v2.1/servers/{server_id}"): [{"server": {"name": "y", "accessIPv4": "1.2.3.4"}}],
    ("nova", "POST", "/v2.1/servers/{server_id}/action"): [
        {"os-stop": None}, {"os-start": None}, {"reboot": {"type": "SOFT"}}, {"resize": {"flavorRef": "FLAVOR"}},
        {"os-getConsoleOutput": {"length": 5}}, {"createImage": {"name": "x"}}, {"rebuild": {"imageRef": "IMAGE"}},
        {"addSecurityGroup": {"name": "default"}}, {"os-resetState": {"state": "error"}}, {"lock": None},
        {"forceDelete": None}, {"pause": None}, {"os-migrateLive": {"host": None, "block_migration": "auto"}},
    ],
    ("nova", "POST", "/v2.1/servers/{server_id}/metadata"): [{"metadata": {"a": "b"}}],
    ("nova", "PUT", "/v2.1/servers/{server_id}/tags"): [{"tags": ["a", "b"]}],
    ("nova", "POST", "/v2.1/servers/{server_id}/os-interface"): [{"interfaceAttachment": {"net_id": "NETWORK"}}],
    ("nova", "POST", "/v2.1/flavors"): [
        {"flavor": {"name": "NEW", "ram": 64, "vcpus": 1, "disk": 1, "id": "auto", "rxtx_factor": 1.0}}
    ],
    ("nova", "POST", "/v2.1/flavors/{flavor_id}/os-extra_specs"): [{"extra_specs": {"hw:numa_nodes": "1"}}],
    ("nova", "POST", "/v2.1/flavors/{flavor_id}/action"): [{"addTenantAccess": {"tenant": "ID"}}],
    ("nova", "POST", "/v2.1/os-keypairs"): [{"keypair": {"name": "NEW", "public_key": "ssh-rsa AAAA", "type": "ssh"}}],
    ("nova", "POST", "/v2.1/os-server-groups"): [{"server_group": {"name": "x", "policy": "affinity", "rules": {}}}],
    ("nova", "PUT", "/v2.1/os-quota-sets/{project_id}"): [{"quota_set": {"cores": 100, "ram": -1, "force": True}}],
    ("nova", "PUT", "/v2.1/os-services/{service_id}"): [{"status": "enabled", "disabled_reason": "x"}],
    ("nova", "POST", "/v2.1/os-aggregates"): [{"aggregate": {"name": "NEW", "availability_zone": "z"}}],
    ("nova", "POST", "/v2.1/os-server-external-events"): [
        {"events": [{"name": "network-vif-plugged", "server_uuid": "ID", "status": "completed", "tag": "ID"}]}
    ],
    ("neutron", "POST", "/v2.0/networks"): [
        {"network": {"name": "fuzz", "admin_state_up": True, "mtu": 1400, "shared": False, "description": "x"}},
        {"networks": [{"network": {"name": "a"}}, {"name": "b", "availability_zone_hints": ["nova"]}]},
    ],
    ("neutron", "PUT", "/v2.0/networks/{identity}"): [{"network": {"name": "y", "shared": True}}],
    ("neutron", "POST", "/v2.0/subnets"): [
        {"subnet": {"network_id": "NETWORK", "ip_version": 4, "cidr": "10.9.0.0/24", "gateway_ip": "10.9.0.1",
                    "allocation_pools": [{"start": "10.9.0.5", "end": "10.9.0.9"}], "dns_nameservers": ["8.8.8.8"],
                    "host_routes": [{"destination": "10.0.0.0/8", "nexthop": "10.9.0.3"}], "enable_dhcp": True}},
        {"subnet": {"network_id": "NETWORK", "ip_version": 6, "cidr": "fd00::/64", "ipv6_ra_mode": "slaac"}},
    ],
    ("neutron", "PUT", "/v2.0/subnets/{identity}"): [{"subnet": {"name": "y", "gateway_ip": None}}],
    ("neutron", "POST", "/v2.0/ports"): [{"port": _PORT}, {"port": {"network_id": "NETWORK"}}],
    ("neutron", "PUT", "/v2.0/ports/{identity}"): [{"port": {k: v for k, v in _PORT.items() if k != "network_id"}}],
    ("neutron", "POST", "/v2.0/security-groups"): [{"security_group": {"name": "NEW", "description": "x"}}],
    ("neutron", "PUT", "/v2.0/security-groups/{identity}"): [{"security_group": {"name": "y"}}],
    ("neutron", "POST", "/v2.0/security-group-rules"): [{"security_group_rule": _RULE}],
    ("neutron", "PUT", "/v2.0/quotas/{project_id}"): [{"quota": {"port": 100, "network": -1}}],
    ("neutron", "PUT", "/v2.0/networks/{identity}/tags"): [{"tags": ["a", "b"]}],
    ("neutron", "PUT", "/v2.0/agents/{identity}"): [{"agent": {"admin_state_up": True}}],
}  # fmt: skip
QUERIES = (
    "limit", "marker", "sort_key", "sort_dir", "sort", "name", "id", "status", "project_id", "tenant_id", "fields",
    "page_reverse", "all_tenants", "changes-since", "changes-before", "deleted", "host", "ip", "ip6", "flavor", "image",
    "uuid", "tags", "not-tags", "tags-any", "is_public", "resources", "required", "member_of", "in_tree",
    "group_policy", "resources1", "required1", "same_subtree", "root_required", "domain_id", "enabled", "effective",
    "include_names", "scope.project.id", "user.id", "role.id", "group.id", "name__contains", "visibility", "owner",
    "size_min", "created_at", "updated_at", "tag", "os_hidden", "disk_format", "network_id", "fixed_ips", "device_id",
    "mac_address", "admin_state_up", "shared", "router:external", "security_group_id", "start", "end", "detailed",
    "locked", "vm_state", "power_state", "launch_index", "config_drive", "reservation_id", "minDisk", "minRam",
    "type", "cidr",)  # fmt: skip
TEXTS = (
    "VCPU:1,MEMORY_MB:64", "1", "true", "False", "name", "name:asc", "desc", "2026-01-01T00:00:00Z", "ACTIVE", "none",
    "HW_CPU_X86_AVX", "!HW_CPU_X86_AVX", "in:HW_CPU_X86_AVX,CUSTOM_X", "in:5b0b1f2e-0000-4000-8000-000000000000", "a,b",
    "ip_address=10.0.0.1", "subnet_id=x", "isolate", "_a,_b", "gt:1", "lte:2026-01-01T00:00:00Z", "not-null", "0",
)  # fmt: skip
