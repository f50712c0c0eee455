"""`broker.crash`: the broker is killed and comes back empty of what was not durable."""

from faults.means.crash import ProcessCrash


class BrokerCrash(ProcessCrash):
    """SIGKILL to the broker and its children, then a restart. Blast radius: that process tree."""

    name = "broker.crash"
    effect = (
        "all connections break; messages in classic non-durable queues are lost for good; clients reconnect "
        "and declare their queues again"
    )
    twin = "node loss, OOM kill"
    source = "docs/faults.md, B9"
