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
    source = "docs/faults.md, D12; measured on MariaDB: APIs hang for the time, then answer"
