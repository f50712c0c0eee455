"""`broker.hang`: the broker stops answering and does not say so."""

from faults.means.pause import ProcessHang


class BrokerHang(ProcessHang):
    """SIGSTOP to the broker and its children. Blast radius: exactly that process tree."""

    name = "broker.hang"
    effect = (
        "publishes and RPCs wait without error; API calls that cast hang and hold their request slots; long "
        "ones lose heartbeats and reconnect"
    )
    twin = "paused VM, long garbage collection, stalled disk"
    source = (
        "missed heartbeats: github.com/rabbitmq/rabbitmq-website, docs/heartbeats.md; bugs.launchpad.net/bugs/1825584; "
        "measured on a real control plane: POST hung until the broker was back, nothing was lost"
    )
