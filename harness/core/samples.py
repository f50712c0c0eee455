"""One row per API request, exact: `Sample` for tests and small histories, `SampleBuffer` for the hot path."""

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.outcomes import ANSWERED

NO_OPERATION = -1
SLOWEST_KEPT = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; times are integer ns on the run's monotonic clock."""

    intended_ns: int  # when the schedule wanted it to leave
    sent_ns: int  # when it left: later, if the worker was busy
    done_ns: int

    def __post_init__(self) -> None:
        assert self.intended_ns <= self.sent_ns <= self.done_ns, self

    @property
    def response_ns(self) -> int:
        """From the intended start: what a user of a busy client waits."""
        return self.done_ns - self.intended_ns

    @property
    def service_ns(self) -> int:
        """From the send: what the cloud took."""
        return self.done_ns - self.sent_ns

    @property
    def lag_ns(self) -> int:
        """What the client itself added."""
        return self.sent_ns - self.intended_ns


@dataclass(frozen=True, slots=True)
class Key:
    """What a request was, by name: routes such as `GET /servers/{id}`, never URLs."""

    swarm: str
    scenario: str
    service: str
    route: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows taken from a buffer, in order of completion: equally long arrays; `key` indexes `keys`.

    `request_ids` holds the service's request id for every failed row and the slowest of each key, else None.
    `operation_id` is NO_OPERATION where a request belongs to none.
    """

    keys: tuple[Key, ...]
    key: NDArray[np.int32]
    intended_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    status: NDArray[np.int16]
    effect: NDArray[np.int8]
    ending: NDArray[np.int8]
    operation_id: NDArray[np.int64]
    bytes: NDArray[np.int64]
    request_ids: list[str | None]

    def __len__(self) -> int:
        return len(self.key)

    @property
    def succeeded(self) -> NDArray[np.bool_]:
        """Per row: answered below 400."""
        succeeded: NDArray[np.bool_] = (self.ending == ANSWERED) & (self.status < 400)
        return succeeded

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Per row: what somebody should worry about. 404 is how a deleted thing says that it is gone."""
        failed: NDArray[np.bool_] = ~self.succeeded & (self.status != 404)
        return failed


class SampleBuffer:
    """Typed arrays that grow by one row per finished request and are taken whole once a second.

    Not locked: one gevent hub or one thread appends, the same takes.
    """

    def __init__(self) -> None:
        self._keys: dict[Key, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._key, self._intended, self._sent, self._done = array("i"), array("q"), array("q"), array("q")
        self._status, self._effect, self._ending = array("h"), array("b"), array("b")
        self._operation, self._bytes = array("q"), array("q")
        self._request_ids: list[str | None] = []

    def __len__(self) -> int:
        return len(self._key)

    def key(self, swarm: str, scenario: str, service: str, route: str) -> int:
        """The number of a key, for `append`; stable for the life of the buffer."""
        return self._keys.setdefault(Key(swarm, scenario, service, route), len(self._keys))

    def append(
        self,
        key: int,
        intended_ns: int,
        sent_ns: int,
        done_ns: int,
        status: int,
        effect: int,
        ending: int,
        operation_id: int = NO_OPERATION,
        size: int = 0,
        request_id: str | None = None,
    ) -> None:
        """Keep one finished request; `status` 0 means no answer, `size` is the body's length in bytes."""
        self._key.append(key)
        self._intended.append(intended_ns)
        self._sent.append(sent_ns)
        self._done.append(done_ns)
        self._status.append(status)
        self._effect.append(effect)
        self._ending.append(ending)
        self._operation.append(operation_id)
        self._bytes.append(size)
        self._request_ids.append(request_id)

    def take(self) -> Batch:
        """All rows so far, leaving the buffer empty.

        Raises: AssertionError when a row breaks intended <= sent <= done: the recorder is wrong, and we stop.
        """
        batch = Batch(
            keys=tuple(self._keys),
            key=np.array(self._key, dtype=np.int32),
            intended_ns=np.array(self._intended, dtype=np.int64),
            sent_ns=np.array(self._sent, dtype=np.int64),
            done_ns=np.array(self._done, dtype=np.int64),
            status=np.array(self._status, dtype=np.int16),
            effect=np.array(self._effect, dtype=np.int8),
            ending=np.array(self._ending, dtype=np.int8),
            operation_id=np.array(self._operation, dtype=np.int64),
            bytes=np.array(self._bytes, dtype=np.int64),
            request_ids=self._request_ids,
        )
        self._clear()
        wrong = np.flatnonzero((batch.intended_ns > batch.sent_ns) | (batch.sent_ns > batch.done_ns))
        assert not len(wrong), _describe(batch, int(wrong[0]))
        _keep_telling_request_ids(batch)
        return batch


def _keep_telling_request_ids(batch: Batch) -> None:
    """Forget the request ids nobody will look up: of requests that succeeded and were not slow."""
    keep = ~batch.succeeded
    service_ns = batch.done_ns - batch.sent_ns
    for key in np.unique(batch.key).tolist():
        rows = np.flatnonzero(batch.key == key)
        if len(rows) > SLOWEST_KEPT:
            rows = rows[np.argpartition(service_ns[rows], -SLOWEST_KEPT)[-SLOWEST_KEPT:]]
        keep[rows] = True
    for row in np.flatnonzero(~keep).tolist():
        batch.request_ids[row] = None


def _describe(batch: Batch, row: int) -> dict[str, Any]:
    return {
        "key": batch.keys[batch.key[row]],
        "intended_ns": int(batch.intended_ns[row]),
        "sent_ns": int(batch.sent_ns[row]),
        "done_ns": int(batch.done_ns[row]),
    }
