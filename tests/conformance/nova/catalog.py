# ruff: noqa: E501 (tables of requests)
"""Key pairs, flavors, quotas and server groups."""

from tests.conformance.nova.place import LATEST, NOWHERE, PUBLIC_KEY
from tests.conformance.play import Play


def keypairs(play: Play) -> None:
    ask = play.member.nova
    path = "/v2.1/os-keypairs"
    for body in (
        b"",
        b"{",
        [],
        {},
        {"keypair": {}},
        {"keypair": []},
        {"keypair": {"name": ""}},
        {"keypair": {"name": 1}},
        {"keypair": {"name": "a/b"}},
        {"keypair": {"name": " x "}},
        {"keypair": {"name": "x" * 256}},
        {"keypair": {"name": "k", "public_key": "nonsense"}},
        {"keypair": {"name": "k", "public_key": 1}},
        {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "type": "ssh"}},
        {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "nonsense": 1}},
        {"keypair": {"name": "k", "public_key": PUBLIC_KEY}, "nonsense": 1},
    ):
        ask("POST", path, body)
    ask("POST", path, {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "type": "nonsense"}}, at="2.2")
    ask("POST", path, {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "user_id": play.other.id}}, at="2.10")
    ask("POST", path, {"keypair": {"name": "k"}}, at="2.92")
    ask("POST", path, {"keypair": {"name": "k@k", "public_key": PUBLIC_KEY}}, at="2.91")
    ask("DELETE", f"{path}/k@k", quiet=True)
    play.reader.nova("POST", path, {"keypair": {"name": "k", "public_key": PUBLIC_KEY}})
    play.reader.nova("DELETE", f"{path}/k")
    ask("POST", path, {"keypair": {"name": "k1", "public_key": PUBLIC_KEY}})
    ask("POST", path, {"keypair": {"name": "k1", "public_key": PUBLIC_KEY}})
    ask("POST", path, {"keypair": {"name": "k2", "public_key": PUBLIC_KEY}}, at="2.2")
    ask("POST", path, {"keypair": {"name": "k3", "public_key": PUBLIC_KEY, "type": "ssh"}}, at=LATEST)
    made = ask("POST", path, {"keypair": {"name": "made"}}, at="2.91", shape=True)
    play.name("made key", made["keypair"]["public_key"])
    ask("DELETE", f"{path}/made")
    for at in ("2.1", "2.2", "2.10", "2.35", LATEST):
        ask("GET", path, at=at)
        ask("GET", f"{path}/k1", at=at)
    for query in ("limit=1", "limit=2&marker=k1", "marker=nonsense", "limit=0", "limit=-1", "limit=x", "nonsense=1",
                  f"user_id={play.other.id}", "limit=1&limit=2"):  # fmt: skip
        ask("GET", f"{path}?{query}", at="2.35")
    ask("GET", f"{path}?nonsense=1", at="2.75")
    ask("GET", f"{path}?limit=1&marker=nonsense", at="2.34")
    play.admin.nova("GET", f"{path}?user_id={play.member.id}", at="2.10")
    play.admin.nova("GET", f"{path}/k1?user_id={play.member.id}", at="2.10", only="keypair.name")
    ask("GET", f"{path}/nonsense")
    ask("DELETE", f"{path}/nonsense")
    ask("DELETE", f"{path}/k1")
    ask("DELETE", f"{path}/k2", at="2.2")
    ask("DELETE", f"{path}/k3", at="2.10")
    play.admin.nova("PUT", f"/v2.1/os-quota-sets/{play.member.project_id}", {"quota_set": {"key_pairs": 0}}, quiet=True)
    ask("POST", path, {"keypair": {"name": "k4", "public_key": PUBLIC_KEY}})
    play.admin.nova("DELETE", f"/v2.1/os-quota-sets/{play.member.project_id}", quiet=True)


def flavors(play: Play) -> None:
    ask, admin = play.member.nova, play.admin.nova
    path = "/v2.1/flavors"
    good = {"name": "conformance", "ram": 64, "vcpus": 1, "disk": 0, "id": "conformance"}
    admin("DELETE", f"{path}/conformance", quiet=True)
    for body in (
        {},
        {"flavor": {}},
        {"flavor": []},
        *({"flavor": {**good, name: value}} for name, value in (
            ("name", ""), ("name", " "), ("name", "x" * 256), ("name", 1), ("ram", -1), ("ram", "x"), ("ram", 0),
            ("vcpus", 0), ("vcpus", None), ("disk", -1), ("disk", 10**12), ("id", "a b/c"), ("id", ""), ("swap", -1),
            ("nonsense", 1), ("rxtx_factor", 0), ("description", "x"), ("os-flavor-access:is_public", "x"))),
    ):  # fmt: skip
        admin("POST", path, body)
    ask("POST", path, {"flavor": good})
    admin("POST", path, {"flavor": {**good, "OS-FLV-EXT-DATA:ephemeral": 1, "swap": 2, "rxtx_factor": 1.5}})
    admin("POST", path, {"flavor": good})
    admin("POST", path, {"flavor": {**good, "id": "other"}})
    admin("POST", path, {"flavor": {**good, "id": "conformance2", "name": "conformance2", "description": 1}}, at="2.55")
    admin(
        "POST", path, {"flavor": {**good, "id": "conformance2", "name": "conformance2", "description": "d"}}, at="2.55"
    )
    for at in ("2.1", "2.46", "2.47", "2.55", "2.61", "2.75", "2.102", LATEST):
        ask("GET", f"{path}/conformance", at=at)
    ask("GET", f"{path}/detail?limit=1", at=LATEST, shape=True)
    ask("GET", f"{path}?limit=1", at="2.55", shape=True)
    for query in ("limit=0", "limit=-1", "limit=x", "marker=nonsense", "sort_key=nonsense", "sort_dir=nonsense", "minRam=x",
                  "minDisk=x", "minRam=4096", "is_public=x", "is_public=none", "nonsense=1", "sort_key=memory_mb&sort_dir=desc",
                  "limit=1", "limit=1&marker=conformance"):  # fmt: skip
        ask("GET", f"{path}?{query}", shape=True)
    ask("GET", f"{path}?nonsense=1", at="2.75", shape=True)
    ask("GET", f"{path}/nonsense")
    ask("PUT", f"{path}/conformance", {"flavor": {"description": "x"}}, at="2.55")
    admin("PUT", f"{path}/conformance", {"flavor": {"description": "x"}}, at="2.54")
    admin("PUT", f"{path}/conformance", {"flavor": {"description": "x"}}, at="2.55")
    admin("PUT", f"{path}/conformance", {"flavor": {"name": "x"}}, at="2.55")
    specs = f"{path}/conformance/os-extra_specs"
    ask("GET", specs)
    ask("POST", specs, {"extra_specs": {"hw:cpu_policy": "shared"}})
    admin("POST", specs, {})
    admin("POST", specs, {"extra_specs": {"a b": "x"}})
    admin("POST", specs, {"extra_specs": {"a!": "x"}})
    admin("POST", specs, {"extra_specs": {"hw:cpu_policy": "nonsense"}}, at="2.86")
    admin("POST", specs, {"extra_specs": {"hw:cpu_policy": "shared", "x": "y"}})
    admin("PUT", f"{specs}/x", {"x": "z"})
    admin("PUT", f"{specs}/x", {"y": "z"})
    ask("GET", f"{specs}/x")
    ask("GET", f"{specs}/nonsense")
    ask("GET", f"{path}/conformance", at="2.61")
    admin("DELETE", f"{specs}/x")
    admin("DELETE", f"{specs}/x")
    access = f"{path}/conformance/os-flavor-access"
    ask("GET", access)
    admin("GET", access)
    admin("POST", f"{path}/conformance/action", {"addTenantAccess": {"tenant": play.member.project_id}})
    admin("POST", f"{path}/conformance/action", {"nonsense": {}})
    ask("DELETE", f"{path}/conformance")
    for flavor in ("conformance", "conformance2", "conformance"):
        admin("DELETE", f"{path}/{flavor}")
    ask("GET", f"{path}/conformance")


def quotas(play: Play) -> None:
    ask, admin = play.member.nova, play.admin.nova
    path = f"/v2.1/os-quota-sets/{play.member.project_id}"
    for at in ("2.1", "2.35", "2.36", "2.50", "2.57", LATEST):
        ask("GET", path, at=at, shape=True)
        ask("GET", "/v2.1/limits", at=at, shape=True)
    ask("GET", f"{path}/detail", shape=True)
    ask("GET", f"{path}/defaults", shape=True)
    ask("GET", f"{path}/nonsense")
    ask("GET", f"/v2.1/os-quota-sets/{play.other.project_id}")
    ask("GET", f"{path}?user_id={play.member.id}", shape=True)
    ask("GET", f"{path}?nonsense=1", at="2.75")
    ask("GET", f"/v2.1/limits?tenant_id={play.other.project_id}")
    admin("GET", f"/v2.1/limits?tenant_id={play.other.project_id}", shape=True)
    admin("GET", f"/v2.1/os-quota-sets/{NOWHERE}", shape=True)
    ask("PUT", path, {"quota_set": {"instances": 1}})
    for body in (
        {},
        {"quota_set": {}},
        {"quota_set": []},
        {"quota_set": {"instances": "x"}},
        {"quota_set": {"instances": -2}},
        {"quota_set": {"nonsense": 1}},
        {"quota_set": {"instances": 3, "cores": 5, "metadata_items": 2, "server_groups": 1}},
        {"quota_set": {"instances": "3", "force": True}},
        {"quota_set": {"floating_ips": 3}},
    ):
        admin("PUT", path, body, shape=True)
    admin("PUT", path, {"quota_set": {"floating_ips": 3}}, at="2.36")
    admin("PUT", path, {"quota_set": {"injected_files": 3}}, at="2.57")
    admin("PUT", f"/v2.1/os-quota-sets/{'0' * 32}", {"quota_set": {"instances": 1}})
    ask("GET", path, only="quota_set.instances")
    ask("DELETE", path)
    admin("DELETE", path)
    ask("GET", f"/v2.1/os-simple-tenant-usage/{play.member.project_id}", shape=True)
    ask("GET", f"/v2.1/os-simple-tenant-usage/{play.other.project_id}")
    ask("GET", "/v2.1/os-simple-tenant-usage")
    ask("GET", f"/v2.1/os-simple-tenant-usage/{play.member.project_id}?start=nonsense")
    ask(
        "GET",
        f"/v2.1/os-simple-tenant-usage/{play.member.project_id}?start=2030-01-01T00:00:00&end=2020-01-01T00:00:00",
    )


def server_groups(play: Play) -> None:
    ask, path = play.member.nova, "/v2.1/os-server-groups"
    for body in (
        {},
        {"server_group": {}},
        {"server_group": {"name": "g"}},
        {"server_group": {"name": "", "policies": ["affinity"]}},
        {"server_group": {"name": "g", "policies": []}},
        {"server_group": {"name": "g", "policies": ["nonsense"]}},
        {"server_group": {"name": "g", "policies": ["affinity", "anti-affinity"]}},
        {"server_group": {"name": "g", "policy": "affinity"}},
        {"server_group": {"name": "g", "policies": ["soft-affinity"]}},
    ):
        ask("POST", path, body)
    for body in (
        {"server_group": {"name": "g", "policies": ["affinity"]}},
        {"server_group": {"name": "g", "policy": "nonsense"}},
        {"server_group": {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 1}}},
        {"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}},
        {"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"nonsense": 1}}},
    ):
        ask("POST", path, body, at="2.64")
    play.reader.nova("POST", path, {"server_group": {"name": "g", "policies": ["affinity"]}})
    one = play.name(
        "g1", ask("POST", path, {"server_group": {"name": "g1", "policies": ["affinity"]}})["server_group"]["id"]
    )
    body = {"server_group": {"name": "g2", "policy": "anti-affinity", "rules": {"max_server_per_host": 3}}}
    two = play.name("g2", ask("POST", path, body, at="2.64")["server_group"]["id"])
    for at in ("2.1", "2.13", "2.15", "2.64"):
        ask("GET", f"{path}/{two}", at=at)
        ask("GET", path, at=at)
    ask("GET", f"{path}?limit=1&offset=1", only="server_groups.0.name")
    ask("GET", f"{path}?limit=x")
    ask("GET", f"{path}?all_projects=1", only="server_groups.0.name")
    ask("GET", f"{path}?nonsense=1", at="2.75")
    ask("GET", f"{path}/nonsense")
    play.other.nova("GET", f"{path}/{one}")
    play.other.nova("DELETE", f"{path}/{one}")
    play.reader.nova("DELETE", f"{path}/{one}")
    for group in (one, two, one):
        ask("DELETE", f"{path}/{group}")
