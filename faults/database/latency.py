"""`database.latency`: the way to the SQL server is long."""

from faults.means.link import LinkLatency


class DatabaseLatency(LinkLatency):
    """Every answer of the SQL server is late, on new and on pooled connections. Blast radius: one link of the proxy."""

    name = "database.latency"
    effect = "every statement takes longer by `latency`; a request pays once per round trip it makes; nothing fails"
    twin = "database in another site, busy network, slow commits"
    source = (
        "Galera waits for its slowest node: github.com/codership/documentation, "
        "galeracluster/source/documentation/managing-fc.rst; the delay counts from arrival, as in "
        "github.com/Shopify/toxiproxy"
    )
