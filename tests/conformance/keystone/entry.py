"""The catalog, and what is no part."""

from tests.conformance.play import Play


def catalog(play: Play) -> None:
    ask = play.admin.keystone
    for body in ({}, {"service": {}}, {"service": {"type": ""}}, {"service": {"type": "x", "enabled": "x"}}):
        ask("POST", "/v3/services", body)
    made = ask("POST", "/v3/services", {"service": {"type": "conformance", "name": "conformance"}})
    service = play.name("service", made["service"]["id"])
    ask("GET", f"/v3/services/{service}")
    ask("GET", "/v3/services?type=conformance")
    ask("GET", "/v3/services?type=compute", shape=True)
    for body in (
        {},
        {"endpoint": {}},
        {"endpoint": {"interface": "nonsense", "service_id": service, "url": "http://example.org"}},
        {"endpoint": {"interface": "public", "service_id": "0" * 32, "url": "http://example.org"}},
        {"endpoint": {"interface": "public", "service_id": service, "url": "http://example.org", "region_id": "no"}},
        {"endpoint": {"interface": "public", "service_id": service, "url": "http://example.org/$(nonsense)s"}},
    ):
        ask("POST", "/v3/endpoints", body)
    body = {"interface": "public", "service_id": service, "url": "http://example.org", "region_id": "RegionOne"}
    endpoint = play.name("endpoint", ask("POST", "/v3/endpoints", {"endpoint": body})["endpoint"]["id"])
    ask("GET", f"/v3/endpoints/{endpoint}")
    ask("GET", f"/v3/endpoints?service_id={service}&interface=public")
    ask("GET", f"/v3/endpoints?service_id={service}&interface=admin")
    ask("PATCH", f"/v3/endpoints/{endpoint}", {"endpoint": {"url": "http://example.com"}})
    ask("GET", "/v3/regions/RegionOne")
    ask("GET", "/v3/regions/nonsense")
    ask("DELETE", f"/v3/endpoints/{endpoint}")
    ask("DELETE", f"/v3/endpoints/{endpoint}")
    ask("DELETE", f"/v3/services/{service}")
    ask("GET", f"/v3/services/{service}")


def outside(play: Play) -> None:
    """Parts of keystone that clients ask for though few clouds use them."""
    for user in (play.member, play.admin):
        for path in (
            "/v3/OS-TRUST/trusts",
            f"/v3/OS-TRUST/trusts?trustor_user_id={play.member.id}",
            f"/v3/OS-TRUST/trusts/{'0' * 32}",
            "/v3/credentials",
            f"/v3/credentials/{'0' * 32}",
            "/v3/limits",
            "/v3/limits/model",
            "/v3/registered_limits",
            "/v3/domains/default/config",
        ):
            user.keystone("GET", path)
