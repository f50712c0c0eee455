"""`database.hang`: the SQL server stops answering and does not say so."""

from faults.means.pause import ProcessHang


class DatabaseHang(ProcessHang):
    """SIGSTOP to the SQL server and its backends. Blast radius: exactly that process tree."""

    name = "database.hang"
    effect = (
        "statements wait without error (clients have no read timeout by default); new connections are "
        "accepted by the kernel and hear nothing"
    )
    twin = "paused VM, stalled disk or storage path"
    source = (
        "a node that is silent is left out of a Galera cluster after evs.suspect_timeout: "
        "github.com/codership/documentation, galeracluster/source/documentation/galera-parameters.rst; measured on one "
        "MariaDB: APIs hang for the time, then answer"
    )
