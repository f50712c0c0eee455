"""Placement 1.0 to 1.39."""

from typing import Any

from tests.conformance.play import Play

NOWHERE = "00000000-0000-4000-8000-000000000000"
ONE, TWO, SHARED = (f"c0f00000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
CONSUMER, RIVAL = (f"c0f00000-0000-4000-8000-0000000000a{number}" for number in (1, 2))
LATEST = "1.39"


def discovery(play: Play) -> None:
    nobody, ask = play.nobody.placement, play.admin.placement
    nobody("GET", "/")
    nobody("GET", "")
    nobody("GET", "/traits")
    nobody("GET", "/traits", X_Auth_Token="nonsense")
    nobody("GET", "/nonsense")
    ask("GET", "/nonsense")
    for at in ("1.0", LATEST, "latest", "1.40", "0.9", "2.0", "x", "1", "1.x", "1.2.3", ""):
        ask("GET", "/resource_providers?name=nonsense", at=at)
    ask("GET", "/resource_providers?name=nonsense", OpenStack_API_Version="compute 2.1, placement 1.5")
    ask("GET", "/resource_providers?name=nonsense", OpenStack_API_Version="nonsense 1.5")
    ask("DELETE", "/resource_providers")
    ask("PATCH", "/traits")
    ask("POST", "/resource_classes/VCPU", {})
    ask("HEAD", "/resource_providers")
    ask("GET", "/resource_providers?name=nonsense", at=LATEST, Accept="text/plain")
    ask("GET", "/resource_providers?name=nonsense", at=LATEST, Accept="text/html, application/json")
    for user in (play.member, play.reader):
        for path in ("/resource_providers", "/traits", "/resource_classes", f"/allocations/{NOWHERE}",
                     "/allocation_candidates?resources=VCPU:1", f"/usages?project_id={play.member.project_id}",
                     f"/usages?project_id={play.other.project_id}"):  # fmt: skip
            user.placement("GET", path, at="1.17")
        user.placement("POST", "/resource_providers", {})
    play.member.placement("GET", "/usages")


def _clean(play: Play) -> None:
    for consumer in (CONSUMER, RIVAL):
        play.admin.placement("DELETE", f"/allocations/{consumer}", quiet=True)
    for provider in (TWO, SHARED, ONE):
        play.admin.placement("DELETE", f"/resource_providers/{provider}", quiet=True)


def providers(play: Play) -> None:
    _clean(play)
    ask = play.admin.placement
    for body in (
        b"",
        b"{",
        [],
        {},
        {"name": ""},
        {"name": 1},
        {"name": "x" * 201},
        {"name": "conformance-one", "uuid": "nonsense"},
        {"name": "conformance-one", "nonsense": 1},
        {"name": "conformance-one", "parent_provider_uuid": ONE},
    ):
        ask("POST", "/resource_providers", body)
    ask("POST", "/resource_providers", {"name": "conformance-one"}, Content_Type="text/plain")
    ask("POST", "/resource_providers", {"name": "conformance-one", "parent_provider_uuid": NOWHERE}, at=LATEST)
    ask("POST", "/resource_providers", {"name": "conformance-one", "uuid": ONE})
    ask("POST", "/resource_providers", {"name": "conformance-one", "uuid": TWO}, at=LATEST)
    ask("POST", "/resource_providers", {"name": "conformance-two", "uuid": ONE}, at=LATEST)
    ask("POST", "/resource_providers", {"name": "conformance-two", "uuid": TWO, "parent_provider_uuid": ONE}, at=LATEST)
    for at in ("1.0", "1.1", "1.6", "1.11", "1.14", "1.15", "1.19", LATEST):
        ask("GET", f"/resource_providers/{ONE}", at=at)
        ask("GET", "/resource_providers?name=conformance-one", at=at)
    ask("GET", f"/resource_providers/{NOWHERE}")
    ask("GET", "/resource_providers/nonsense", at=LATEST)
    for query in (
        "nonsense=1",
        "uuid=nonsense",
        f"uuid={ONE}",
        f"in_tree={ONE}",
        f"in_tree={NOWHERE}",
        "member_of=nonsense",
        "resources=nonsense",
        "resources=VCPU",
        "resources=VCPU:x",
        "resources=VCPU:0",
        "resources=NONSENSE:1",
        "required=NONSENSE",
        "required=",
        "required=!HW_CPU_X86_AVX&name=conformance-one",
        "name=",
    ):
        ask("GET", f"/resource_providers?{query}", at=LATEST)
    ask("GET", "/resource_providers?resources=VCPU:1", at="1.3")
    ask("PUT", f"/resource_providers/{ONE}", {}, at=LATEST)
    ask("PUT", f"/resource_providers/{ONE}", {"name": "conformance-two"}, at=LATEST)
    ask("PUT", f"/resource_providers/{ONE}", {"name": "conformance-one", "parent_provider_uuid": TWO}, at=LATEST)
    ask("PUT", f"/resource_providers/{ONE}", {"name": "conformance-ONE"}, at=LATEST)
    ask("PUT", f"/resource_providers/{NOWHERE}", {"name": "x"}, at=LATEST)
    ask("DELETE", f"/resource_providers/{ONE}", at=LATEST)
    ask("DELETE", f"/resource_providers/{TWO}", at=LATEST)
    ask("DELETE", f"/resource_providers/{ONE}")
    ask("DELETE", f"/resource_providers/{ONE}")


def inventories(play: Play) -> None:
    _clean(play)
    ask = play.admin.placement
    ask("POST", "/resource_providers", {"name": "conformance-one", "uuid": ONE}, quiet=True)
    path = f"/resource_providers/{ONE}/inventories"
    ask("GET", path)
    for body in (
        {},
        {"resource_provider_generation": 0},
        {"resource_provider_generation": "x", "inventories": {}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {}}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": -1}}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 0}}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": "x"}}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1, "nonsense": 1}}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1, "reserved": 2}}},
        {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1, "allocation_ratio": 0}}},
        {"resource_provider_generation": 0, "inventories": {"NONSENSE": {"total": 1}}},
        {"resource_provider_generation": 0, "inventories": {"nonsense": {"total": 1}}},
        {"resource_provider_generation": 9, "inventories": {"VCPU": {"total": 1}}},
    ):
        ask("PUT", path, body, at=LATEST)
    ask("PUT", path, {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}})
    ask("PUT", path, {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}}, at=LATEST)
    ask("GET", path, at=LATEST)
    ask("GET", f"{path}/VCPU", at=LATEST)
    ask("GET", f"{path}/MEMORY_MB")
    ask("GET", f"{path}/NONSENSE")
    one = {"resource_provider_generation": 1, "total": 8, "max_unit": 4, "allocation_ratio": 2.0}
    ask("PUT", f"{path}/VCPU", {})
    ask("PUT", f"{path}/VCPU", one)
    ask("PUT", f"{path}/VCPU", one, at=LATEST)
    ask("PUT", f"{path}/MEMORY_MB", {**one, "resource_provider_generation": 2}, at=LATEST)
    ask("POST", path, {"resource_class": "VCPU", "total": 1}, at=LATEST)
    ask("POST", path, {"resource_class": "DISK_GB", "total": 1, "resource_provider_generation": 2}, at=LATEST)
    ask("POST", path, {"resource_class": "NONSENSE", "total": 1}, at=LATEST)
    ask("DELETE", f"{path}/MEMORY_MB")
    ask("DELETE", f"{path}/NONSENSE")
    ask("GET", f"/resource_providers/{NOWHERE}/inventories")
    ask("PUT", f"/resource_providers/{NOWHERE}/inventories", {"resource_provider_generation": 0, "inventories": {}})
    ask("GET", f"/resource_providers/{ONE}/usages", at=LATEST)
    ask("GET", f"/resource_providers/{ONE}/usages")
    ask("GET", f"/resource_providers/{NOWHERE}/usages")
    ask("GET", f"/resource_providers/{ONE}/aggregates")
    ask("GET", f"/resource_providers/{ONE}/aggregates", at="1.1")
    ask("GET", f"/resource_providers/{ONE}/aggregates", at=LATEST)
    ask("PUT", f"/resource_providers/{ONE}/aggregates", [NOWHERE], at="1.1")
    ask("PUT", f"/resource_providers/{ONE}/aggregates", [NOWHERE], at=LATEST)
    ask(
        "PUT",
        f"/resource_providers/{ONE}/aggregates",
        {"aggregates": ["x"], "resource_provider_generation": 1},
        at=LATEST,
    )
    ask(
        "PUT",
        f"/resource_providers/{ONE}/aggregates",
        {"aggregates": [], "resource_provider_generation": 99},
        at=LATEST,
    )
    ask("GET", f"/resource_providers/{ONE}/traits", at="1.5")
    ask("GET", f"/resource_providers/{ONE}/traits", at="1.6")
    generation = ask("GET", f"/resource_providers/{ONE}/traits", at=LATEST)["resource_provider_generation"]
    for body in (
        {},
        {"traits": "x", "resource_provider_generation": generation},
        {"traits": ["NONSENSE"], "resource_provider_generation": generation},
        {"traits": ["HW_CPU_X86_AVX"], "resource_provider_generation": 99},
        {"traits": ["HW_CPU_X86_AVX"], "resource_provider_generation": generation},
    ):
        ask("PUT", f"/resource_providers/{ONE}/traits", body, at=LATEST)
    ask("DELETE", f"/resource_providers/{ONE}/traits", at=LATEST)
    ask("DELETE", path, at="1.4")
    ask("DELETE", path, at="1.5")
    _clean(play)


def names(play: Play) -> None:
    ask = play.admin.placement
    for name in ("CUSTOM_CONFORMANCE", "CUSTOM_conformance", "NONSENSE", "VCPU", "CUSTOM_"):
        ask("PUT", f"/resource_classes/{name}", at="1.7")
        ask("GET", f"/resource_classes/{name}", at=LATEST)
        ask("DELETE", f"/resource_classes/{name}", at=LATEST)
        ask("PUT", f"/traits/{name}", at=LATEST)
        ask("GET", f"/traits/{name}", at=LATEST)
        ask("DELETE", f"/traits/{name}", at=LATEST)
    ask("PUT", "/resource_classes/CUSTOM_CONFORMANCE", at="1.2")
    ask("POST", "/resource_classes", {"name": "CUSTOM_CONFORMANCE"}, at=LATEST)
    ask("POST", "/resource_classes", {"name": "CUSTOM_CONFORMANCE"}, at=LATEST)
    ask("POST", "/resource_classes", {"name": "x"}, at=LATEST)
    ask("POST", "/resource_classes", {}, at=LATEST)
    ask("PUT", "/resource_classes/CUSTOM_CONFORMANCE", at=LATEST)
    ask("DELETE", "/resource_classes/CUSTOM_CONFORMANCE", at=LATEST)
    ask("GET", "/resource_classes", at="1.1")
    ask("GET", "/resource_classes", at=LATEST, shape=True)
    ask("GET", "/traits", at="1.5")
    ask("GET", "/traits?name=startswith:HW_CPU_X86_AVX", at=LATEST, shape=True)
    ask("GET", "/traits?name=in:HW_CPU_X86_AVX,NONSENSE", at=LATEST)
    ask("GET", "/traits?name=nonsense", at=LATEST)
    ask("GET", "/traits?associated=x", at=LATEST)
    ask("GET", "/traits?nonsense=x", at=LATEST)


def allocations(play: Play) -> None:
    _clean(play)
    ask, who = play.admin.placement, {"project_id": play.member.project_id, "user_id": play.member.id}
    for name, uuid in (("conformance-one", ONE), ("conformance-two", TWO)):
        ask("POST", "/resource_providers", {"name": name, "uuid": uuid}, quiet=True)
        stock = {"VCPU": {"total": 4, "max_unit": 3}, "MEMORY_MB": {"total": 1000, "step_size": 10, "reserved": 100}}
        body = {"resource_provider_generation": 0, "inventories": stock}
        ask("PUT", f"/resource_providers/{uuid}/inventories", body, quiet=True)

    def claim(uuid: str = ONE, /, **resources: Any) -> dict[str, Any]:
        return {"allocations": {uuid: {"resources": resources}}, **who, "consumer_generation": None,
                "consumer_type": "INSTANCE"}  # fmt: skip

    path = f"/allocations/{CONSUMER}"
    ask("GET", path)
    ask("GET", path, at=LATEST)
    for body in (
        {},
        {"allocations": {}},
        {**claim(VCPU=1), "nonsense": 1},
        claim(VCPU=0),
        claim(VCPU="x"),
        claim(vcpu=1),
        claim(NONSENSE=1),
        claim(CUSTOM_NONSENSE=1),
        claim(VCPU=4),
        claim(VCPU=5),
        claim(MEMORY_MB=15),
        claim(MEMORY_MB=910),
        claim(DISK_GB=1),
        claim("nonsense", VCPU=1),
        claim(NOWHERE, VCPU=1),
        {**claim(VCPU=1), "consumer_type": "lower"},
        {**claim(VCPU=1), "consumer_generation": 1},
        {**claim(VCPU=1), "project_id": ""},
        {**claim(VCPU=1), "mappings": {}},
    ):
        ask("PUT", path, body, at=LATEST)
    ask("PUT", path, claim(VCPU=1), at="1.11")
    ask("PUT", path, {"allocations": [{"resource_provider": {"uuid": ONE}, "resources": {"VCPU": 1}}]}, at="1.0")
    ask("PUT", path, claim(VCPU=3, MEMORY_MB=500), at=LATEST)
    ask("PUT", path, claim(VCPU=2), at=LATEST)
    ask("PUT", f"/allocations/{RIVAL}", claim(VCPU=2), at=LATEST)
    for at in ("1.0", "1.11", "1.12", "1.28", LATEST):
        ask("GET", path, at=at)
        ask("GET", f"/resource_providers/{ONE}/allocations", at=at)
    ask("GET", f"/resource_providers/{NOWHERE}/allocations")
    for at in ("1.8", "1.9", "1.37", LATEST):
        ask("GET", f"/usages?project_id={play.member.project_id}", at=at)
    ask(
        "GET", f"/usages?project_id={play.member.project_id}&user_id={play.member.id}&consumer_type=INSTANCE", at=LATEST
    )
    ask("GET", f"/usages?project_id={play.member.project_id}&consumer_type=unknown", at=LATEST)
    ask("GET", f"/usages?project_id={play.other.project_id}", at=LATEST)
    ask("GET", "/usages", at=LATEST)
    ask("GET", "/usages?project_id=", at=LATEST)
    ask("GET", "/usages?nonsense=1", at=LATEST)
    ask("DELETE", f"/resource_providers/{ONE}", at=LATEST)
    ask("DELETE", f"/resource_providers/{ONE}/inventories/VCPU", at=LATEST)
    ask(
        "PUT",
        f"/resource_providers/{ONE}/inventories",
        {"resource_provider_generation": 2, "inventories": {}},
        at=LATEST,
    )
    moved = {CONSUMER: {**claim(TWO, VCPU=1), "consumer_generation": 1}, RIVAL: claim(VCPU=3)}
    ask("POST", "/allocations", {}, at=LATEST)
    ask("POST", "/allocations", {CONSUMER: claim(VCPU=1)}, at=LATEST)
    ask("POST", "/allocations", {"nonsense": claim(VCPU=1)}, at=LATEST)
    ask("POST", "/allocations", moved, at="1.12")
    ask("POST", "/allocations", moved, at=LATEST)
    ask("GET", f"/allocations/{RIVAL}", at=LATEST)
    ask("PUT", path, {**claim(), "allocations": {}, "consumer_generation": 2}, at=LATEST)
    ask("GET", path, at=LATEST)
    ask("DELETE", path)
    ask("DELETE", f"/allocations/{RIVAL}")
    ask("DELETE", f"/allocations/{RIVAL}")
    ask("POST", "/reshaper", {}, at=LATEST)
    ask("POST", "/reshaper", {}, at="1.29")
    _clean(play)


def candidates(play: Play) -> None:
    _clean(play)
    ask = play.admin.placement
    for resource in ("CUSTOM_CONFORMANCE",):
        ask("PUT", f"/resource_classes/{resource}", at="1.7", quiet=True)
        ask("PUT", f"/traits/{resource}", at="1.7", quiet=True)
    for name, uuid in (("conformance-one", ONE), ("conformance-two", TWO)):
        ask("POST", "/resource_providers", {"name": name, "uuid": uuid}, quiet=True)
        body = {"resource_provider_generation": 0, "inventories": {"CUSTOM_CONFORMANCE": {"total": 4}}}
        ask("PUT", f"/resource_providers/{uuid}/inventories", body, quiet=True)
    body = {"traits": ["CUSTOM_CONFORMANCE"], "resource_provider_generation": 1}
    ask("PUT", f"/resource_providers/{TWO}/traits", body, at=LATEST, quiet=True)
    path = "/allocation_candidates"
    ask("GET", f"{path}?resources=CUSTOM_CONFORMANCE:1", at="1.9")
    for at in ("1.10", "1.12", "1.17", "1.27", "1.29", "1.34", LATEST):
        required = "" if at < "1.17" else "&required=CUSTOM_CONFORMANCE"
        amount = 1 if required else 5
        ask("GET", f"{path}?resources=CUSTOM_CONFORMANCE:{amount}{required}", at=at)
    for query in (
        "",
        "nonsense=1",
        "resources=",
        "resources=VCPU",
        "resources=VCPU:x",
        "resources=VCPU:-1",
        "resources=VCPU:1.5",
        "resources=NONSENSE:1",
        "resources=VCPU:1,VCPU:2",
        "resources=CUSTOM_CONFORMANCE:5",
        "resources=CUSTOM_CONFORMANCE:1&required=NONSENSE",
        "resources=CUSTOM_CONFORMANCE:1&required=CUSTOM_CONFORMANCE,!CUSTOM_CONFORMANCE",
        "resources=CUSTOM_CONFORMANCE:1&limit=0",
        "resources=CUSTOM_CONFORMANCE:1&limit=x",
        "resources=CUSTOM_CONFORMANCE:1&limit=-1",
        "resources=CUSTOM_CONFORMANCE:1&member_of=x",
        f"resources=CUSTOM_CONFORMANCE:1&member_of={NOWHERE}",
        f"resources=CUSTOM_CONFORMANCE:1&in_tree={ONE}",
        "resources=CUSTOM_CONFORMANCE:1&in_tree=x",
        "resources=CUSTOM_CONFORMANCE:1&group_policy=x",
        "resources1=CUSTOM_CONFORMANCE:1&resources2=CUSTOM_CONFORMANCE:1",
        "resources1=CUSTOM_CONFORMANCE:1&required1=CUSTOM_CONFORMANCE",
        "required=CUSTOM_CONFORMANCE",
        "resources=CUSTOM_CONFORMANCE:1&root_required=CUSTOM_CONFORMANCE",
        "resources=CUSTOM_CONFORMANCE:1&same_subtree=_A",
    ):
        ask("GET", f"{path}?{query}", at=LATEST)
    ask("GET", f"{path}?resources=CUSTOM_CONFORMANCE:1&limit=1", at="1.15")
    _clean(play)
    ask("DELETE", "/resource_classes/CUSTOM_CONFORMANCE", at=LATEST, quiet=True)
    ask("DELETE", "/traits/CUSTOM_CONFORMANCE", at=LATEST, quiet=True)
