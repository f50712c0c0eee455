"""A tenant's single server from birth to death: create, use it, stop, start, reboot, delete; nothing is left."""

from typing import ClassVar

from harness.cloud import compute
from harness.cloud.api import Api
from harness.swarm.operations import Operation
from harness.swarm.plain import locust_user
from harness.swarm.scenario import Journey, Scenario
from harness.swarm.tenant import Choice, choose


class Lifecycle(Scenario):
    name = "lifecycle"
    experiment = "experiments/lifecycle.yaml"
    options: ClassVar = {"flavor": None, "image": None, "network": None, "think_s": 0.0}

    def check(self) -> None:
        if self.option["think_s"] < 0:
            self.refuse("think_s", "seconds, not below zero")

    def servers_each(self) -> int:
        return 1

    def prepare(self, api: Api) -> None:
        self.choice: Choice = choose(api, self.option)

    def journey(self, user: Journey) -> None:
        think_s = self.option["think_s"]
        (server,) = user.create_servers(1, **self.choice.server())
        user.wait([server])
        self.verify(user, server, "ACTIVE")
        user.pause(think_s)
        user.act("server.stop", server, compute.stop_server, until="SHUTOFF")
        user.pause(think_s)
        user.act("server.start", server, compute.start_server, until="ACTIVE")
        user.act("server.reboot", server, compute.reboot_server, until="ACTIVE")
        self.verify(user, server, "ACTIVE")
        user.pause(think_s)
        user.delete_servers([server])

    def verify(self, user: Journey, server: Operation, status: str) -> None:
        """The server itself says what the list said."""
        read, found = user.read_server(server)
        wrong = None
        if found["status"] != status:
            wrong = f"the list said {status}, the server says {found['status']}"
        elif not any(found["addresses"].values()):
            wrong = f"{status} without an address"
        if wrong:
            user.wrong(read, wrong)


LifecycleUser = locust_user(Lifecycle)
