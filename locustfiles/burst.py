"""A tenant wants many servers at once: one POST for all of them, or one POST each.

Every server is followed from the intention until it is usable; a server that comes up in any other way than asked for
is recorded as wrong. The run's clean-up deletes them, or the journey does with `delete: true`.
"""

from typing import ClassVar

from harness.cloud import compute
from harness.cloud.api import Api
from harness.swarm.plain import locust_user
from harness.swarm.scenario import Journey, Scenario
from harness.swarm.tenant import Choice, choose


class Burst(Scenario):
    name = "burst"
    experiment = "experiments/burst-500.yaml"
    options: ClassVar = {
        "servers": 500,  # how many, together
        "each": False,  # one POST per server instead of one POST for all
        "flavor": None,  # by name; the smallest where none is named
        "image": None,
        "network": None,
        "delete": False,
    }

    def check(self) -> None:
        if self.option["servers"] < 1:
            self.refuse("servers", "a whole number of one or more")

    def servers_each(self) -> int:
        return int(self.option["servers"])

    def prepare(self, api: Api) -> None:
        self.choice: Choice = choose(api, self.option)

    def journey(self, user: Journey) -> None:
        wanted = self.option["servers"]
        if self.option["each"]:
            servers = []
            for number in range(1, wanted + 1):
                servers += user.create_servers(1, name=f"{user.name}-{number}", **self.choice.server())
        else:
            servers = user.create_servers(wanted, **self.choice.server())
        user.wait(servers)
        self.verify(user)
        if self.option["delete"]:
            user.delete_servers(servers)

    def verify(self, user: Journey) -> None:
        """What was asked for is there: so many, of this flavor, each with an address."""
        asked = {operation.name: operation for operation in user.operations if operation.kind == "server.create"}
        for server in compute.all_servers(user.api, name=user.name):
            operation = asked.pop(server["name"], None)
            if operation is None:
                continue
            if not any(server["addresses"].values()):
                user.wrong(operation, "ready without an address")
        for operation in asked.values():
            user.wrong(operation, "ready, but not in the list of servers")


BurstUser = locust_user(Burst)
