"""`broker.latency`: the way to the message broker is long."""

from faults.means.link import LinkLatency


class BrokerLatency(LinkLatency):
    """Every delivery and confirm of the broker is late. Blast radius: one link of the proxy."""

    name = "broker.latency"
    effect = (
        "each RPC takes longer by `latency` per hop, and a boot has many hops; nothing fails below the RPC time-out"
    )
    twin = "broker in another site, slow broker"
    source = (
        "round trips of RPC with the number of callers: github.com/openstack/performance-docs, "
        "doc/source/test_results/mq/rabbitmq; the delay counts from arrival, as in github.com/Shopify/toxiproxy"
    )
