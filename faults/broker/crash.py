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
    source = (
        "kill of RabbitMQ nodes under load: github.com/openstack/performance-docs, doc/source/test_results/mq_ha and "
        "reliability/version_2; what survives: github.com/rabbitmq/rabbitmq-website, docs/classic-queues.md"
    )
