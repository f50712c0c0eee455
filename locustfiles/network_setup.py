"""A tenant builds a private network - network, subnet, security group with a rule, port - and takes it down again."""

from typing import Any, ClassVar

from harness.cloud import network
from harness.cloud.api import RequestFailed
from harness.swarm.plain import locust_user
from harness.swarm.scenario import Journey, Scenario


class NetworkSetup(Scenario):
    name = "network_setup"
    experiment = "experiments/network-setup.yaml"
    options: ClassVar = {"keep_s": 0.0}

    def check(self) -> None:
        if self.option["keep_s"] < 0:
            self.refuse("keep_s", "seconds, not below zero")

    def journey(self, user: Journey) -> None:
        made: list[tuple[Any, str]] = []
        try:
            with user.operation("network.setup", user.name) as setup:
                self.build(user, setup, made)
            user.pause(self.option["keep_s"])
        finally:
            self.take_down(user, made)

    def build(self, user: Journey, setup: Any, made: list[tuple[Any, str]]) -> None:
        """Each step names what it will make in the ledger first, and notes how to undo it."""
        mark = user.mark
        user.intend("network", user.name, setup)
        net = network.create_network(user.api, name=user.name, mark=mark)
        made.append((network.delete_network, net["id"]))
        setup.resource_id = net["id"]
        user.intend("subnet", user.name, setup)
        cidr = f"10.{user.number // 250 % 250}.{user.number % 250}.0/24"
        subnet = network.create_subnet(user.api, name=user.name, mark=mark, network_id=net["id"], cidr=cidr)
        user.intend("security_group", user.name, setup)
        group = network.create_security_group(user.api, name=user.name, mark=mark)
        made.append((network.delete_security_group, group["id"]))
        network.create_security_group_rule(user.api, group_id=group["id"], port=22, mark=mark)
        user.intend("port", user.name, setup)
        port = network.create_port(
            user.api, name=user.name, mark=mark, network_id=net["id"], security_groups=[group["id"]]
        )
        made.append((network.delete_port, port["id"]))
        if [each["subnet_id"] for each in port["fixed_ips"]] != [subnet["id"]]:
            user.wrong(setup, f"port {port['id']} has no address of subnet {subnet['id']}: {port['fixed_ips']}")

    def take_down(self, user: Journey, made: list[tuple[Any, str]]) -> None:
        """What was made last goes first; what refuses to go is left to the janitor, which finds it by its mark."""
        with user.operation("network.teardown", user.name) as teardown:
            for delete, resource_id in reversed(made):
                delete(user.api, resource_id)
            try:
                left = network.list_networks(user.api, name=user.name)
            except RequestFailed:
                left = []
            if left:
                user.wrong(teardown, f"network {left[0]['id']} is still listed after its deletion")


NetworkSetupUser = locust_user(NetworkSetup)
