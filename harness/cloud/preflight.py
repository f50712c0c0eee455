"""Can this cloud carry this plan? Asked before anything is started; each problem says what to do about it."""

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keystoneauth1.exceptions
import openstack.exceptions
import requests.exceptions

from harness.cloud import compute, image, network
from harness.cloud.api import Api, RequestFailed
from harness.cloud.session import Cloud

SERVICES = ("compute", "network", "image")
SKEW_LIMIT_S = 30.0
REQUEST_S = 30.0
UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that would spoil the run."""

    what: str
    where: str
    wanted: str
    got: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.what} ({self.where}): wanted {self.wanted}, got {self.got}; {self.next_step}"


def check(cloud: Cloud, plan: Mapping[str, Any]) -> list[str]:
    """Every problem in words; empty when the cloud can carry the plan."""
    return [str(problem) for problem in problems_of(cloud, plan)]


def problems_of(cloud: Cloud, plan: Mapping[str, Any], *, now_s: Callable[[], float] = time.time) -> list[Problem]:
    """Every problem found, worst first: without a login, a missing service ends the questions.

    Args: plan: as in plan.json; its swarms' options name flavors, images, networks and numbers of servers.
    """
    where = f"cloud {cloud.name}"
    try:
        cloud.project_id  # noqa: B018 - logs in
    except (keystoneauth1.exceptions.ClientException, openstack.exceptions.SDKException, OSError) as error:
        step = "check auth_url, username, password and project in clouds.yaml, and that the cloud is up"
        return [Problem("cannot log in", where, "a token", f"{type(error).__name__}: {error}", step)]
    problems = [problem for service in SERVICES if (problem := _service(cloud, service, where))]
    if problems:
        return problems
    api = Api(cloud, timeout_s=REQUEST_S)
    try:
        problems += _choices(api, plan, where)
        problems += _quotas(api, plan, where)
        problems += _skew(api, where, now_s)
    except RequestFailed as error:
        problems.append(
            Problem("a question failed", where, "an answer", str(error), "see that the service is healthy, then retry")
        )
    return problems


def servers_wanted(plan: Mapping[str, Any]) -> int:
    """The most servers the plan asks for at once: its bursts, one journey of each other swarm, at most its limit."""
    total = 0
    for swarm in plan["swarms"]:
        arrivals = swarm["arrivals"]
        at_once = int(arrivals["count"]) if arrivals["kind"] == "burst" else 1
        total += at_once * int(swarm["servers_each"])
    limit = (plan.get("limits") or {}).get("max_servers")
    return min(total, int(limit)) if limit else total


def _service(cloud: Cloud, service: str, where: str) -> Problem | None:
    try:
        if cloud.endpoint(service):
            return None
        got = "no endpoint"
    except (
        keystoneauth1.exceptions.ClientException,
        openstack.exceptions.SDKException,
        requests.exceptions.RequestException,
        OSError,
        AttributeError,
    ) as error:
        got = f"{type(error).__name__}: {error}"
    step = "add it to the catalog, or name the right region and interface in clouds.yaml"
    return Problem(f"service {service} cannot be used", where, "an endpoint in the catalog", got, step)


def _choices(api: Api, plan: Mapping[str, Any], where: str) -> list[Problem]:
    available = {
        "flavor": [(flavor["id"], flavor["name"]) for flavor in compute.list_flavors(api)],
        "image": [(each["id"], each["name"]) for each in image.all_images(api, status="active")],
        "network": [
            (each["id"], each["name"])
            for each in network.list_networks(api)
            if not each.get("router:external") and each.get("subnets")
        ],
    }
    problems = []
    for kind, found in available.items():
        asked = {(swarm.get("options") or {}).get(kind) for swarm in plan["swarms"]}
        needs_any = any(swarm["scenario"] in ("burst", "lifecycle") for swarm in plan["swarms"])
        names = ", ".join(sorted(str(name) for _, name in found)) or "none"
        if needs_any and not found:
            step = f"create a {kind}" + (
                " with a subnet in the project" if kind == "network" else " the project can use"
            )
            problems.append(Problem(f"no {kind}", where, "at least one that can be used", "none", step))
        for name in sorted(str(name) for name in asked - {None}):
            if not any(name in pair for pair in found):
                step = f"name one of these in the swarm's options, or create {name}"
                problems.append(Problem(f"{kind} {name} is not there", where, name, names, step))
    return problems


def _quotas(api: Api, plan: Mapping[str, Any], where: str) -> list[Problem]:
    wanted = servers_wanted(plan)
    if not wanted:
        return []
    flavors = sorted(compute.list_flavors(api), key=lambda flavor: (flavor["ram"], flavor["vcpus"], flavor["disk"]))
    named = {(swarm.get("options") or {}).get("flavor") for swarm in plan["swarms"]} - {None}
    used = [flavor for flavor in flavors if flavor["name"] in named or flavor["id"] in named] or flavors[:1]
    vcpus, ram = max(flavor["vcpus"] for flavor in used), max(flavor["ram"] for flavor in used)
    limits = compute.limits(api)
    needs = [
        ("instances", wanted, limits.get("maxTotalInstances"), limits.get("totalInstancesUsed", 0)),
        ("cores", wanted * vcpus, limits.get("maxTotalCores"), limits.get("totalCoresUsed", 0)),
        ("ram (MB)", wanted * ram, limits.get("maxTotalRAMSize"), limits.get("totalRAMUsed", 0)),
    ]
    try:
        ports = network.quota(api, api.cloud.project_id).get("port") or {}
        needs.append(("ports", wanted, ports.get("limit"), ports.get("used", 0)))
    except RequestFailed as error:
        if error.status not in (403, 404):
            raise  # an extension that is not there, or not for us, is no problem of the plan
    return [
        Problem(f"quota of {name}", where, f"{need} free", f"{limit - taken} of {limit}", "raise it, or ask for less")
        for name, need, limit, taken in needs
        if isinstance(limit, int) and limit != UNLIMITED and limit - taken < need
    ]


def _skew(api: Api, where: str, now_s: Callable[[], float]) -> list[Problem]:
    before_s = now_s()
    answer = api.call("compute", "GET", "/limits")
    after_s = now_s()
    date = answer.response.headers.get("Date")
    try:
        stamp_s = email.utils.parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        stamp_s = None
    if stamp_s is None or before_s - SKEW_LIMIT_S <= stamp_s <= after_s + SKEW_LIMIT_S:
        return []
    got = f"{stamp_s - after_s:+.0f} s"
    step = "let NTP set the clock here and on the cloud; ages and tokens depend on it"
    return [Problem("clocks differ", where, f"at most {SKEW_LIMIT_S:g} s", got, step)]
