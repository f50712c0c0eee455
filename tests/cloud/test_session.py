"""Both levels say the same; caches never outlive what they were true for."""

import socket
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions
import pytest
from keystoneauth1._fair_semaphore import FairSemaphore

from harness.cloud import compute, identity, network
from harness.cloud.api import Api, Exchange, NoAnswer, Refused
from harness.cloud.errors import CloudError
from harness.cloud.session import Cloud, FastProxy, connect
from harness.core.clock import FakeClock
from tests.cloud.small_cloud import PROJECT, SmallCloud, write_clouds_yaml


def test_the_verbs_work_at_both_levels(small: SmallCloud, connection: Cloud) -> None:
    seen: list[Exchange] = []
    api = Api(connection, seen.append)
    made = compute.create_servers(
        api, name="squall-x-1", flavor_id="1", image_id="i", network_id="n", mark="squall-x", count=3
    )
    assert sorted(server["name"] for server in compute.list_servers(api)) == [f"squall-x-1-{i}" for i in (1, 2, 3)]
    found = compute.find_server(api, made.body["server"]["id"])
    assert found is not None
    assert found["status"] == "BUILD"
    assert compute.find_server(api, "nobody") is None
    assert compute.delete_server(api, made.body["server"]["id"]).exchange.status == 204
    assert compute.delete_server(api, made.body["server"]["id"]).exchange.status == 404
    assert [each["name"] for each in network.list_networks(api)] == ["private"]
    assert identity.issue_token(api) == "a-token"
    assert connection.endpoint("identity") == f"{small.url}/v3"
    assert connection.proxy("identity").get("/").json()["version"]["id"] == "v3.14"
    assert compute.limits(api)["maxTotalInstances"] == 10
    assert [exchange.route for exchange in seen] == [
        "POST /servers", "GET /servers/detail", "GET /servers/{id}", "GET /servers/{id}",
        "DELETE /servers/{id}", "DELETE /servers/{id}",
        "GET /networks", "POST /auth/tokens", "GET /limits",
    ]  # fmt: skip
    assert all(exchange.intended_ns <= exchange.sent_ns <= exchange.done_ns for exchange in seen)
    assert all(str(e.request_id).startswith("req-") for e in seen if e.route != "POST /auth/tokens")
    assert connection.project_id == PROJECT
    assert compute.microversion(api) == "2.69"


def test_stock_and_adapter_give_the_same_objects(small: SmallCloud) -> None:
    for number in range(3):
        small.add_server(f"s{number}")
    stock, fast = connect("small", level="stock"), connect("small", level="adapter")
    small.lists_until_active = 10**6

    def all_of(cloud: Cloud) -> list[Any]:
        cloud.proxy("compute")
        cloud.proxy("network")
        servers = [server.to_dict() for server in cloud.sdk.compute.servers()]
        for server in servers:
            server.pop("location", None)
        networks = [each.to_dict() for each in cloud.sdk.network.networks()]
        for each in networks:
            each.pop("location", None)
        return [servers, networks, cloud.sdk.compute.get("/servers/detail").json()["servers"][0]["name"]]

    assert all_of(stock) == all_of(fast)
    assert isinstance(fast.sdk.compute, FastProxy)
    assert not isinstance(stock.sdk.compute, FastProxy)


def test_an_error_carries_the_services_words_its_request_id_and_its_outcome(
    small: SmallCloud, connection: Cloud
) -> None:
    small.fail = lambda method, path: 500 if method == "POST" and "servers" in path else None
    seen: list[Exchange] = []
    with pytest.raises(Refused, match="500 as the test wishes") as caught:
        compute.create_servers(
            Api(connection, seen.append), name="n", flavor_id="1", image_id="i", network_id=None, mark="m"
        )
    assert (caught.value.outcome.effect_name, caught.value.outcome.ending_name) == ("unknown", "answered")
    assert caught.value.request_id == seen[0].request_id
    with pytest.raises(keystoneauth1.exceptions.InternalServerError):
        connection.proxy("compute").post("/servers", json={}, raise_exc=True)


def test_a_token_that_is_no_longer_good_is_replaced_within_the_request(small: SmallCloud, connection: Cloud) -> None:
    api = Api(connection)
    compute.list_flavors(api)
    small.token_is_good = False
    assert compute.list_flavors(api)[0]["name"] == "m1.tiny"
    assert small.counted("POST", "/auth/tokens") == 2


def test_nobody_there_is_no_answer_and_no_effect(small: SmallCloud, connection: Cloud) -> None:
    api = Api(connection)
    compute.list_flavors(api)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"http://127.0.0.1:{listener.getsockname()[1]}"
    connection.proxy("compute").endpoint_override = dead
    connection.drop_caches()
    with pytest.raises(NoAnswer) as caught:
        compute.start_server(api, "x")
    assert (caught.value.outcome.effect_name, caught.value.outcome.ending_name) == ("none", "refused")
    assert caught.value.status == 0


def test_the_first_request_is_measured_from_the_intention_and_the_next_from_its_own_start(fast: Cloud) -> None:
    clock = FakeClock(1_000)
    seen: list[Exchange] = []
    api = Api(fast, seen.append, clock=clock, intended_ns=400)
    compute.list_flavors(api)
    clock.advance(50)
    compute.list_flavors(api)
    assert [(e.intended_ns, e.sent_ns) for e in seen] == [(400, 1_000), (1_050, 1_050)]


def test_the_fast_way_is_taken_unless_something_is_asked_that_it_leaves_out(
    small: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    original = FastProxy._send

    def spy(self: FastProxy, session: Any, url: str, *rest: Any) -> Any:
        sent.append(url)
        return original(self, session, url, *rest)

    monkeypatch.setattr(FastProxy, "_send", spy)
    proxy = connect("small").proxy("compute")
    assert proxy.get("/limits").json()["limits"]
    assert sent == ["/limits"]
    for name, value in (
        ("status_code_retries", 2),
        ("global_request_id", "req-1"),
        ("_rate_semaphore", FairSemaphore(1, 0)),
    ):
        before = getattr(proxy, name)
        setattr(proxy, name, value)
        assert proxy.get("/limits").json()["limits"]
        setattr(proxy, name, before)
    assert sent == ["/limits"]


def test_unknown_cloud_and_level_are_named(small: SmallCloud) -> None:
    with pytest.raises(CloudError, match="small"):
        connect("nowhere")
    with pytest.raises(CloudError, match="stock, adapter"):
        connect("small", level="warp")


def test_unusual_arguments_take_the_stock_way(small: SmallCloud, fast: Cloud) -> None:
    response = fast.proxy("compute").get("/limits", global_request_id="req-11111111-1111-1111-1111-111111111111")
    assert response.status_code == 200
    assert response.request.headers["X-OpenStack-Request-ID"].startswith("req-1111")


def test_a_request_has_its_own_deadline(small: SmallCloud, connection: Cloud) -> None:
    compute.list_flavors(Api(connection))
    small.lock.acquire()
    try:
        with pytest.raises(NoAnswer) as caught:
            compute.list_flavors(Api(connection, timeout_s=0.2))
    finally:
        small.lock.release()
    assert caught.value.outcome.ending_name == "timeout"


def test_paging_reads_everything_once_however_short_the_pages(small: SmallCloud, api: Api, tmp_path: Path) -> None:
    write_clouds_yaml(small, tmp_path)
    for number in range(123):
        small.add_server(f"s{number}")
    names = [server["name"] for server in compute.all_servers(api, page=50)]
    assert sorted(names) == sorted(f"s{number}" for number in range(123))
    assert len(list(network.all_of(api, "ports", page=50))) == 123
