"""A cloud that outlives the command that started it, and what tests of its processes do with it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from harness import supervise
from harness.emulator import cloud as cloud_module
from harness.emulator import postgres
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.preparation import free_port
from harness.emulator.settings import HypervisorSettings, Settings, load
from harness.emulator.status import status
from tests.emulator.nova.asking import User, wait

ROOT = Path(__file__).resolve().parent.parent.parent
BURST = 60


@dataclass
class Site:
    """A cloud by `cloud up`: it outlives the command."""

    state: Path

    def squall(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "harness.cli", "cloud", *arguments, "--state", str(self.state)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=150, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=5))
        settings.nova.vif_plugging_timeout_s = 60.0
        taken: set[int] = set()
        settings.ports = {name: free_port(taken) for name in settings.ports}
        cloud_module.up(settings, self.state)

    def user(self, name: str) -> User:
        settings = load(self.state)
        return User(cast(EmbeddedCloud, SimpleNamespace(settings=settings, url=settings.url)), name)

    def recorded(self, name: str) -> supervise.Recorded:
        if name == "supervisor":
            pid = json.loads((self.state / "control.json").read_text())["pid"]
            return supervise.record(name, pid)
        return next(one for one in supervise.PidFile.read(self.state / "pids.json") if one.name == name)

    def row(self, name: str) -> Any:
        return next(process for process in status(self.state).processes if process.name == name)

    def everything(self) -> list[supervise.Recorded]:
        """All processes of this cloud, the guardian and PostgreSQL's children among them."""
        return supervise.family([self.recorded("supervisor"), *supervise.PidFile.read(self.state / "pids.json")])

    def data(self) -> Path:
        found = postgres.kept_directory(self.state)
        assert found is not None
        return found / "data"


def burst(user: User) -> None:
    """Ask for many; returns in the middle of their builds."""
    code, answer = user("POST", "/servers", user.body(name="burst", min_count=BURST))
    assert code == 202, answer
    wait(lambda: states(user).get("ACTIVE", 0) > 0)


def states(user: User) -> dict[str, int]:
    found: dict[str, int] = {}
    for shown in user.get("/servers/detail?name=^burst-")["servers"]:
        found[shown["status"]] = found.get(shown["status"], 0) + 1
    return found


def works_and_is_emptied(site: Site, *, orphans: bool = False) -> None:
    """By itself it comes to build servers again; everything can be deleted, and then nothing is allocated or plugged.

    Args: orphans: ports may be left, of which neither Nova nor its clean-up heard because neutron was away. They stay
    for real, too, when their server is deleted before a host has it; the audit finds them. Here they are removed.
    """
    user, boss = site.user("demo"), site.user("admin")

    def is_well() -> bool:
        code, answer = boss("GET", "/os-services")
        if code != 200:
            return False
        _, found, _ = boss.ask("neutron", "GET", "/v2.0/agents")
        agents: list[dict[str, Any]] = found["agents"]
        services: list[dict[str, Any]] = answer["services"]
        return all(row["state"] == "up" for row in services) and all(agent["alive"] for agent in agents)

    def builds() -> bool:
        """A first cast may still find nobody: it is lost then, as for real."""
        uuid = user.create(name="after")
        try:
            return bool(user.wait(uuid, "ACTIVE", "ERROR", within_s=10)["status"] == "ACTIVE")
        except TimeoutError:
            return False

    wait(is_well, 60)
    wait(builds, 60)
    user.delete(*(one["id"] for one in user.get("/servers")["servers"]), within_s=60)

    def is_empty() -> bool:
        _, answer, _ = boss.ask("placement", "GET", f"/usages?project_id={user.project_id}", version="1.9")
        return not any(answer["usages"].values())

    wait(is_empty, 20)
    _, answer, _ = boss.ask("neutron", "GET", f"/v2.0/ports?project_id={user.project_id}")
    left = [port["id"] for port in answer["ports"]]
    assert left == [] or orphans
    for port in left:
        assert boss.ask("neutron", "DELETE", f"/v2.0/ports/{port}")[0] == 204
