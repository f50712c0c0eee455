"""From an experiment to the plan of one run: absolute times, derived ages, and every check that needs no cloud.

The plan is what swarm, nemesis and judgement read (`plan.json`). An experiment that could not fail, for want of samples
or of time after a fault, is refused here.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Collection
from typing import Any

import msgspec

import faults
from harness.core.units import duration_ns, format_ns
from harness.experiment import Burst, Closed, Constant, ExperimentInvalid, Poisson, Ramp, Source, Swarm

# What the real services need until every dead agent and expired call has shown (SCALE 3.1 and 4): twice neutron's
# agent_down_time; and after which age a server in BUILD is stuck: RPC time-out, its retry, and one report interval.
_SETTLE_S = 150.0
_STUCK_AFTER_S = 130.0
_PLUG_TIMEOUT_S = 300.0  # nova's vif_plugging_timeout: so long may a host wait for its ports, then the build fails
_TOO_SHORT = "the experiment is too short to be able to fail this: "
_FAULT_KEYS = ("fault", "target", "after", "for", "follows")


def make_plan(source: Source) -> dict[str, Any]:
    """The plan of `source`'s experiment, without what only the engine knows (run id, directory, cloud, fault targets).

    Returns: a JSON object; times are integer ns from the run's epoch, `*_s` are float seconds.
    Raises:  ExperimentInvalid, naming the line, when parts of the experiment contradict each other or it is too short.
    """
    try:
        return _plan(source)
    except ValueError as error:  # of a quantity, such as a duration beyond all bounds
        raise ExperimentInvalid(f"{source.file}: {error}") from error


def _plan(source: Source) -> dict[str, Any]:
    experiment = source.experiment
    if (experiment.cloud.emulator is None) == (experiment.cloud.name is None):
        source.refuse("$.cloud", "wanted exactly one of 'emulator' and 'name'")
    phases, end_ns = _phases(source)
    plan: dict[str, Any] = {
        "name": experiment.name,
        "title": experiment.title,
        "seed": experiment.seed,
        "time_scale": experiment.time_scale,
        "level": experiment.client.level,
        "ready": experiment.client.ready,
        "workers": experiment.client.workers,
        "phases": phases,
        "swarms": [_swarm(source, i, phases) for i in range(len(experiment.swarms))],
        "faults": _faults(source, phases),
        "slos": [],
        "limits": msgspec.to_builtins(experiment.limits),
        "abort_after_ns": duration_ns(experiment.limits.abort_after),
        "end_ns": end_ns,
        "drain_s": duration_ns(experiment.drain) / 1e9,
        "settle_s": duration_ns(experiment.settle) / 1e9 if experiment.settle else _SETTLE_S * experiment.time_scale,
        "stuck_after_s": _STUCK_AFTER_S * experiment.time_scale,
        "plug_timeout_s": _PLUG_TIMEOUT_S * experiment.time_scale,
        "expect": msgspec.to_builtins(experiment.expect) if experiment.expect else None,
    }
    plan["slos"] = _objectives(source, plan)
    return plan


def _phases(source: Source) -> tuple[list[dict[str, Any]], int]:
    phases: list[dict[str, Any]] = []
    at_ns = 0
    for i, phase in enumerate(source.experiment.phases):
        if any(phase.name == other["name"] for other in phases):
            source.refuse(f"$.phases[{i}].name", f"wanted a name of its own; got '{phase.name}' again")
        if not duration_ns(phase.duration):
            source.refuse(f"$.phases[{i}].for", "wanted more than zero")
        end_ns = at_ns + duration_ns(phase.duration)
        phases.append({"name": phase.name, "kind": phase.kind, "start_ns": at_ns, "end_ns": end_ns})
        at_ns = end_ns
    return phases, at_ns


def _swarm(source: Source, index: int, phases: list[dict[str, Any]]) -> dict[str, Any]:
    swarm, where = source.experiment.swarms[index], f"$.swarms[{index}]"
    if any(swarm.name == other.name for other in source.experiment.swarms[:index]):
        source.refuse(f"{where}.name", f"wanted a name of its own; got '{swarm.name}' again")
    by_name = {phase["name"]: phase for phase in phases}
    if swarm.at:
        if swarm.phases is not None:
            source.refuse(f"{where}.at", "wanted either 'at' or 'phases'; got both")
        if not isinstance(swarm.arrivals, Burst):
            source.refuse(
                f"{where}.at", "wanted arrivals of kind 'burst' beside 'at'; give 'phases' for a steady swarm"
            )
        phase = by_name.get(swarm.at.phase) or source.refuse(f"{where}.at.phase", _unknown(swarm.at.phase, by_name))
        start_ns = phase["start_ns"] + duration_ns(swarm.at.after)
        end_ns = start_ns + duration_ns(swarm.arrivals.over)
        if start_ns >= phase["end_ns"]:
            source.refuse(f"{where}.at.after", f"wanted a time within '{phase['name']}'; got {swarm.at.after}")
    else:
        names = swarm.phases if swarm.phases is not None else tuple(by_name)
        chosen = [i for i, phase in enumerate(phases) if phase["name"] in names]
        for name in names:
            if name not in by_name:
                source.refuse(f"{where}.phases", _unknown(name, by_name))
        if not chosen or chosen != list(range(chosen[0], chosen[-1] + 1)):
            source.refuse(f"{where}.phases", "wanted phases that follow each other; make two swarms for two stretches")
        start_ns, end_ns = phases[chosen[0]]["start_ns"], phases[chosen[-1]]["end_ns"]
    if isinstance(swarm.arrivals, Burst):
        left_ns = phases[-1]["end_ns"] - start_ns
        if duration_ns(swarm.arrivals.over) > left_ns:
            got = (
                f"wanted a burst that is over before the run is, within {format_ns(left_ns)}; got {swarm.arrivals.over}"
            )
            source.refuse(f"{where}.arrivals.over", got)
    return {
        "name": swarm.name,
        "scenario": swarm.scenario,
        "arrivals": _arrivals(swarm),
        "start_ns": start_ns,
        "end_ns": end_ns,
        "options": swarm.options,
        "max_in_flight": swarm.max_in_flight,
        "deadline_s": duration_ns(swarm.deadline) / 1e9,
    }


def _arrivals(swarm: Swarm) -> dict[str, Any]:
    match swarm.arrivals:
        case Constant(rate=rate):
            return {"kind": "constant", "rate": rate}
        case Poisson(rate=rate):
            return {"kind": "poisson", "rate": rate}
        case Burst(count=count, over=over):
            return {"kind": "burst", "count": count, "over": duration_ns(over) / 1e9}
        case Ramp(start=start, to=to):
            return {"kind": "ramp", "from": start, "to": to}
        case Closed(users=users, pause=pause):
            return {"kind": "closed", "users": users, "pause": duration_ns(pause) / 1e9}


def _faults(source: Source, phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    experiment = source.experiment
    planned: list[dict[str, Any]] = []
    for i, phase in enumerate(experiment.phases):
        for j, entry in enumerate(phase.faults):
            where = f"$.phases[{i}].faults[{j}]"
            if phase.kind != "fault":
                source.refuse(where, f"wanted faults only in phases of kind 'fault'; '{phase.name}' is '{phase.kind}'")
            for key in ("fault", "target", "for"):
                if key not in entry:
                    source.refuse(where, f"key '{key}' is missing")
            try:
                after_ns, for_ns = duration_ns(entry.get("after", "0 s")), duration_ns(entry["for"])
            except ValueError as error:
                source.refuse(where, str(error))
            if phases[i]["start_ns"] + after_ns + for_ns > phases[i]["end_ns"]:
                source.refuse(
                    where, f"wanted a fault that ends within its phase ({phase.duration}); got after + for longer"
                )
            if for_ns > duration_ns(experiment.limits.max_fault):
                source.refuse(
                    where, f"wanted at most limits.max_fault = {experiment.limits.max_fault}; got {entry['for']}"
                )
            follows = entry.get("follows")
            swarms = [swarm.name for swarm in experiment.swarms]
            if follows is not None and follows not in swarms:
                source.refuse(f"{where}.follows", _unknown(str(follows), swarms))
            start_ns = phases[i]["start_ns"] + after_ns
            if follows is not None:  # at the latest, when the swarm's servers are never accepted
                start_ns = phases[i]["end_ns"] - for_ns
            planned.append(
                {
                    "id": f"{len(planned) + 1}-{entry['fault']}",
                    "fault": str(entry["fault"]),
                    "target": str(entry["target"]),
                    "phase": phase.name,
                    "start_ns": start_ns,
                    "duration_ns": for_ns,
                    **({"follows": follows, "after_ns": after_ns} if follows is not None else {}),
                    "earliest_ns": phases[i]["start_ns"] + after_ns,
                    "params": {key: value for key, value in entry.items() if key not in _FAULT_KEYS},
                    "where": where,
                }
            )
    return planned


def check_faults(source: Source, plan: dict[str, Any], targets: dict[str, dict[str, Any]]) -> None:
    """Checks the plan's faults against the catalogue and the targets that this cloud has.

    Raises: ExperimentInvalid for an unknown fault, parameter or target, for a destructive fault that the experiment
    does not allow, and for faults that exclude each other and overlap.
    """
    for fault in plan["faults"]:
        kind = faults.catalogue().get(fault["fault"])
        if kind is None:
            source.refuse(f"{fault['where']}.fault", _unknown(fault["fault"], faults.catalogue()))
        if kind.destructive and fault["fault"] not in source.experiment.allow:
            source.refuse(
                fault["where"],
                f"{fault['fault']} can destroy data of '{fault['target']}'; to permit it add to the experiment: "
                f"allow: [{fault['fault']}]",
            )
    for i, name in enumerate(source.experiment.allow):
        if name not in faults.catalogue():
            source.refuse(f"$.allow[{i}]", _unknown(name, faults.catalogue()))
    for problem in faults.validate(plan["faults"], targets):
        raise_at = next((f["where"] for f in plan["faults"] if problem.startswith(f["id"])), "$.phases")
        source.refuse(raise_at, problem)


def check_expected(source: Source, codes: Collection[str]) -> None:
    """Checks what a drill expects. Raises: ExperimentInvalid for a finding that no checker reports."""
    for i, name in enumerate(source.experiment.expect.findings if source.experiment.expect else ()):
        if name not in codes:
            source.refuse(f"$.expect.findings[{i}]", _unknown(name, codes))


def check_scenarios(source: Source, plan: dict[str, Any]) -> None:
    """Checks scenarios and their options, in a process of its own: scenarios import Locust, which changes its process.

    Adds `servers_each` to the plan's swarms: how many servers one journey may have at once.
    Raises: ExperimentInvalid for an unknown scenario, for an option that it does not have or a value it cannot have,
    and for a load that the safety limits do not permit or that is too little for the objectives to be missed.
    """
    command = [sys.executable, "-m", "harness.swarm", "check"]
    asked = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, timeout=60, check=False)
    if asked.returncode != 0:
        raise ExperimentInvalid(f"scenarios cannot be loaded: {asked.stderr.strip()[-1000:]}")
    for number, answer in enumerate(json.loads(asked.stdout)):
        if answer["problem"]:
            source.refuse(f"$.swarms[{number}]", answer["problem"])
        plan["swarms"][number]["servers_each"] = answer["servers_each"]
    check_load(source, plan)


def check_load(source: Source, plan: dict[str, Any]) -> None:
    """Checks the load of a plan whose swarms have `servers_each`.

    Raises: ExperimentInvalid when its bursts pass limits.max_servers, or when it is too little to miss an objective.
    """
    bursts = [swarm for swarm in plan["swarms"] if swarm["arrivals"]["kind"] == "burst"]
    servers = sum(swarm["arrivals"]["count"] * swarm["servers_each"] for swarm in bursts)
    if servers > source.experiment.limits.max_servers:
        got = source.experiment.limits.max_servers
        source.refuse(
            "$.limits.max_servers", f"wanted at least the {servers} servers that the bursts ask for; got {got}"
        )
    for i, objective in enumerate(plan["slos"]):
        _check_samples(source, f"$.slos[{i}]", objective, plan)


def _objectives(source: Source, plan: dict[str, Any]) -> list[dict[str, Any]]:
    experiment = source.experiment
    names = {phase["name"] for phase in plan["phases"]}
    objectives = []
    for i, slo in enumerate(experiment.slos):
        where = f"$.slos[{i}]"
        if (slo.at_most is None) == (slo.at_least is None):
            source.refuse(where, "wanted exactly one of 'at_most' and 'at_least'")
        if slo.phase != "*" and slo.phase not in names:
            source.refuse(f"{where}.phase", _unknown(slo.phase, names))
        if slo.swarm is not None and slo.swarm not in {swarm.name for swarm in experiment.swarms}:
            source.refuse(f"{where}.swarm", _unknown(slo.swarm, [swarm.name for swarm in experiment.swarms]))
        if slo.fault is not None and slo.fault not in {fault["fault"] for fault in plan["faults"]}:
            source.refuse(f"{where}.fault", _unknown(slo.fault, [fault["fault"] for fault in plan["faults"]]))
        for name in {"route", "swarm", "fault"}.difference(slo.selectors):
            if getattr(slo, name) is not None:
                can = " and ".join(f"'{each}'" for each in slo.selectors) or "phases only"
                source.refuse(f"{where}.{name}", f"{slo.measure} is chosen by {can}; '{name}' would be ignored")
        try:
            limit = slo.limit()
        except ValueError as error:
            source.refuse(where, str(error))
        if slo.is_better_high and (slo.at_least is None or limit <= 0):
            source.refuse(where, f"wanted 'at_least' and more than zero for {slo.measure}: it could not be missed else")
        if not slo.is_better_high and slo.at_most is None:
            source.refuse(where, f"wanted 'at_most' for {slo.measure}: it could not be missed else")
        objective = {
            "measure": slo.measure,
            "phase": slo.phase,
            "route": slo.route,
            "swarm": slo.swarm,
            "fault": slo.fault,
            "bound": "at_most" if slo.at_most is not None else "at_least",
            "limit": limit,
        }
        _check_can_fail(source, where, objective, plan)
        objectives.append(objective)
    return objectives


def _check_samples(source: Source, where: str, objective: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuses a percentile of fewer samples than it has a meaning for: in its phase, or for `*` in every phase."""
    measure = objective["measure"]
    match = re.search(r"_p([\d.]+)$", measure)
    if match is None:
        return
    wanted = math.ceil(1 / max(1 - float(match[1]) / 100, 1e-9) - 1e-9)
    swarms = [swarm for swarm in plan["swarms"] if objective["swarm"] in (None, swarm["name"])]
    phases = [phase for phase in plan["phases"] if objective["phase"] in (phase["name"], "*")]
    phases = [phase for phase in phases if phase["kind"] != "warm-up"]
    expected = max((sum(_expected(swarm, phase) for swarm in swarms) for phase in phases), default=0.0)
    if expected < wanted:
        in_phase = f"'{objective['phase']}'" if objective["phase"] != "*" else "at least one phase"
        source.refuse(
            where,
            f"{_TOO_SHORT}wanted at least {wanted} samples for {measure} in {in_phase}; "
            f"the plan gives about {expected:.0f}; lengthen the phase or raise the rate",
        )


def _check_can_fail(source: Source, where: str, objective: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuses an objective that this run is too short to miss."""
    measure, limit = objective["measure"], objective["limit"]
    if measure == "time_to_recover":
        for k, fault in enumerate(plan["faults"]):
            if objective["fault"] not in (None, fault["fault"]):
                continue
            undo_ns = fault["start_ns"] + fault["duration_ns"]
            later = [other["start_ns"] for other in plan["faults"][k + 1 :] if other["start_ns"] > undo_ns]
            left_ns = min(later, default=plan["end_ns"]) - undo_ns
            if left_ns <= limit:
                source.refuse(
                    where,
                    f"{_TOO_SHORT}wanted more than {format_ns(limit)} of load after {fault['id']}; "
                    f"the plan gives {format_ns(left_ns)}",
                )
    if measure in ("degradation", "time_to_recover") and not any(p["kind"] == "baseline" for p in plan["phases"]):
        source.refuse(
            where, f"{_TOO_SHORT}{measure} is measured against the run's baseline; add a phase of kind 'baseline'"
        )


def _expected(swarm: dict[str, Any], phase: dict[str, Any]) -> float:
    """About how many operations of a swarm start in a phase."""
    overlap_ns = min(swarm["end_ns"], phase["end_ns"]) - max(swarm["start_ns"], phase["start_ns"])
    arrivals = swarm["arrivals"]
    if arrivals["kind"] == "burst":
        inside = phase["start_ns"] <= swarm["start_ns"] < phase["end_ns"]
        return float(arrivals["count"] * max(1, swarm["servers_each"])) if inside else 0.0
    if overlap_ns <= 0:
        return 0
    if arrivals["kind"] == "closed":
        return math.inf
    rate = float(arrivals["rate"] if "rate" in arrivals else (arrivals["from"] + arrivals["to"]) / 2)
    return float(rate * overlap_ns / 1e9)


def _unknown(name: str, known: Any) -> str:
    return f"wanted one of {', '.join(sorted(known)) or '(none given)'}; got '{name}'"
