"""States of an instance as Nova keeps them, and the one word the API makes of them."""

from collections.abc import Iterable

ACTIVE = "active"
BUILDING = "building"
PAUSED = "paused"
SUSPENDED = "suspended"
STOPPED = "stopped"
DELETED = "deleted"
ERROR = "error"

NOSTATE = 0
RUNNING = 1
POWER_PAUSED = 3
SHUTDOWN = 4
POWER_SUSPENDED = 7

_DEFAULT = {
    ACTIVE: "ACTIVE",
    BUILDING: "BUILD",
    STOPPED: "SHUTOFF",
    PAUSED: "PAUSED",
    SUSPENDED: "SUSPENDED",
    ERROR: "ERROR",
    DELETED: "DELETED",
    "resized": "VERIFY_RESIZE",
    "rescued": "RESCUE",
    "soft-delete": "SOFT_DELETED",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
}
_BY_TASK = {
    ACTIVE: {
        "rebooting": "REBOOT",
        "reboot_pending": "REBOOT",
        "reboot_started": "REBOOT",
        "rebooting_hard": "HARD_REBOOT",
        "reboot_pending_hard": "HARD_REBOOT",
        "reboot_started_hard": "HARD_REBOOT",
    },
}
PROGRESS_STATUSES = frozenset(("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"))


def status(vm_state: str | None, task_state: str | None) -> str:
    """The `status` of an answer."""
    if task_state is not None:
        by_task = _BY_TASK.get(vm_state or "")
        if by_task is not None and task_state in by_task:
            return by_task[task_state]
    return _DEFAULT.get(vm_state or "", "UNKNOWN")


def states_of(statuses: Iterable[str]) -> tuple[set[str], set[str] | None]:
    """The vm states and task states that a filter by status means.

    The task states are None when the plain status of a vm state is among them: then Nova filters by vm state alone.
    """
    vm_states: set[str] = set()
    task_states: set[str] = set()
    plain = False
    for wanted in {text.upper() for text in statuses}:
        for vm_state, text in _DEFAULT.items():
            if text == wanted:
                vm_states.add(vm_state)
                plain = True
            for task_state, by_task in _BY_TASK.get(vm_state, {}).items():
                if by_task == wanted:
                    vm_states.add(vm_state)
                    task_states.add(task_state)
    return vm_states, None if plain or not task_states else task_states
