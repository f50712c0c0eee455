"""What can go wrong on our own side; each says in what state the world is left."""


class FaultError(Exception):
    """Base of all below."""


class TargetUnfit(FaultError):
    """The target is gone, unhealthy, or not what the experiment says. Nothing was injected."""


class InjectionFailed(FaultError):
    """The fault could not be injected, wholly or in part; it is in the journal and its undo is run."""


class UndoFailed(FaultError):
    """The undo did not work this time; the target may still be degraded and the fault stays open in the journal."""


class JournalOpen(FaultError):
    """An earlier run left a fault. Nothing was injected; `squall heal` undoes it."""
