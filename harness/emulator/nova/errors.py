"""What goes wrong between conductor, scheduler and computes; over RPC these travel by their class names, Nova's own."""


class NovaError(Exception):
    """Base of the errors below."""


class InstanceNotFound(NovaError):
    """The instance is gone, or was never there."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"Instance {uuid} could not be found.")


class UnexpectedTaskStateError(NovaError):
    """Somebody else moved the instance on: the compare-and-swap of a save found another task state."""

    def __init__(self, uuid: str, expected: object, actual: str | None) -> None:
        super().__init__(
            f"Conflict updating instance {uuid}. Expected: {{'task_state': {expected}}}. "
            f"Actual: {{'task_state': {actual!r}}}"
        )


class UnexpectedDeletingTaskStateError(UnexpectedTaskStateError):
    """As above, and it is because the instance is being deleted."""


class NoValidHost(NovaError):
    """No host fits."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(f"No valid host was found. {reason}")


class MaxRetriesExceeded(NovaError):
    """Every host that was chosen for the instance failed to build it."""

    def __init__(self, uuid: str) -> None:
        super().__init__(
            "Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures "
            f"for instance {uuid}."
        )


class TooManyInstances(NovaError):
    """The recheck of the quota found the project above its limits: two requests have raced."""

    def __init__(self) -> None:
        super().__init__("Quota exceeded, too many servers in project")


class BuildAbortException(NovaError):
    """The build failed, and another host would not help."""

    def __init__(self, uuid: str, reason: str) -> None:
        super().__init__(f"Build of instance {uuid} aborted: {reason}")


class RescheduledException(NovaError):
    """The build failed here; another host may do better."""

    def __init__(self, uuid: str, reason: str) -> None:
        super().__init__(f"Build of instance {uuid} was re-scheduled: {reason}")
