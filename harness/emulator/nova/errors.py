"""What goes wrong between conductor, scheduler and computes; over RPC these travel by their class names, Nova's own."""

from collections.abc import Mapping


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


class MaxRetriesExceeded(NoValidHost):
    """Every host that was chosen for the instance failed to build it."""

    def __init__(self, reason: str) -> None:
        NovaError.__init__(self, f"Exceeded maximum number of retries. {reason}")


class TooManyInstances(NovaError):
    """The recheck of the quota found the project above its limits: two requests have raced.

    Args: requested, limits: by resource, of those above their limit. Nova names the limit as what is used, too.
    """

    code = 413

    def __init__(self, requested: Mapping[str, int], limits: Mapping[str, int]) -> None:
        overs = sorted(requested)
        names = ", ".join(overs)
        allowed = ", ".join(str(limits[name]) for name in overs)
        super().__init__(
            f"Quota exceeded for {names}: Requested {', '.join(str(requested[name]) for name in overs)}, "
            f"but already used {allowed} of {allowed} {names}"
        )


class SpawnFailed(Exception):
    """The hypervisor could not start an instance (setting `spawn_failure`); no error of Nova's own."""

    def __init__(self) -> None:
        super().__init__("internal error: qemu unexpectedly closed the monitor")


class BuildAbortException(NovaError):
    """The build failed, and another host would not help."""

    def __init__(self, uuid: str, reason: str) -> None:
        super().__init__(f"Build of instance {uuid} aborted: {reason}")


class RescheduledException(NovaError):
    """The build failed here; another host may do better."""

    def __init__(self, uuid: str, reason: str) -> None:
        super().__init__(f"Build of instance {uuid} was re-scheduled: {reason}")
        self.reason = reason
