"""What goes on in every cloud all day: dashboards, scripts and agents that read. One arrival is one read.

The mix is drawn per arrival from the seed: the same seed reads the same things in the same order.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from harness.cloud import compute, identity, image, network
from harness.cloud.api import Api
from harness.swarm.plain import locust_user
from harness.swarm.scenario import Journey, Scenario


class Background(Scenario):
    name = "background"
    experiment = "experiments/background.yaml"
    options: ClassVar = {
        "token": 2.0,  # weights; 0 leaves a read out
        "servers": 20.0,
        "server": 30.0,
        "flavors": 8.0,
        "images": 8.0,
        "networks": 10.0,
        "ports": 12.0,
        "limits": 6.0,
        "quota": 4.0,
        "page": 20,  # how long the lists are
    }

    def check(self) -> None:
        weights = [name for name in self.options if name != "page"]
        for name in weights:
            if self.option[name] < 0:
                self.refuse(name, "a weight, not below zero")
        if not any(self.option[name] for name in weights):
            self.refuse(weights[0], "one weight above zero")
        if self.option["page"] < 1:
            self.refuse("page", "a whole number of one or more")

    def prepare(self, api: Api) -> None:
        self.project = api.cloud.project_id
        self.servers: list[str] = []
        reads: dict[str, Callable[[Journey], Any]] = {
            "token": lambda user: identity.issue_token(user.api),
            "servers": self.list_servers,
            "server": self.show_server,
            "flavors": lambda user: compute.list_flavors(user.api),
            "images": lambda user: image.list_images(user.api, limit=self.option["page"]),
            "networks": lambda user: network.list_networks(user.api),
            "ports": lambda user: network.list_ports(user.api, limit=self.option["page"]),
            "limits": lambda user: compute.limits(user.api),
            "quota": lambda user: compute.quotas(user.api, self.project),
        }
        self.reads = [read for name, read in reads.items() if self.option[name] > 0]
        self.weights = [self.option[name] for name in reads if self.option[name] > 0]

    def journey(self, user: Journey) -> None:
        (read,) = user.random.choices(self.reads, self.weights)
        read(user)

    def list_servers(self, user: Journey) -> None:
        servers = compute.list_servers(user.api, limit=self.option["page"])
        # The newest come first; those that are deleted soon after are mostly among them.
        self.servers = [server["id"] for server in servers[len(servers) // 2 :] if server["status"] == "ACTIVE"]

    def show_server(self, user: Journey) -> None:
        """One of those a list showed; a list, as long as none did. It may be gone by now: that is an answer."""
        if not self.servers:
            self.list_servers(user)
            return
        server_id = user.random.choice(self.servers)
        path = f"/servers/{server_id}"
        version = compute.microversion(user.api)
        answer = user.api.call("compute", "GET", "/servers/{id}", path, microversion=version, accept=(404,))
        if answer.exchange.status == 404 and server_id in self.servers:
            self.servers.remove(server_id)


BackgroundUser = locust_user(Background)
