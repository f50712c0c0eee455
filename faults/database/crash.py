"""`database.crash`: the SQL server is killed and comes back."""

from faults.means.crash import ProcessCrash


class DatabaseCrash(ProcessCrash):
    """SIGKILL to the SQL server and its backends, then a restart with recovery. Blast radius: that tree."""

    name = "database.crash"
    effect = (
        "open transactions are lost, connections break, new ones are refused until it is back; work of "
        "conductors that fails is not taken up again"
    )
    twin = "node crash, OOM kill, power cut"
    source = (
        "kill of mysqld under load: github.com/openstack/performance-docs, "
        "doc/source/test_results/reliability/version_2; measured on a real control plane: 12 of 18 accepted servers "
        "stayed in BUILD"
    )
