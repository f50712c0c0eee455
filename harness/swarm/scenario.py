"""What a scenario is: one file under locustfiles/ that reads like a tenant's journey.

A scenario is found by the name of its file, or, from other people's packages, by the name of an entry point of the
group `squall.scenarios` that says where the class is.
"""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import gevent

from harness import extensions
from harness.cloud import compute
from harness.cloud.api import Api, RequestFailed
from harness.core.ledger import Intent
from harness.swarm.operations import Operation

if TYPE_CHECKING:
    from harness.swarm.worker import Worker


class ScenarioError(Exception):
    """A scenario is unknown or cannot be prepared on this cloud; nothing was sent by it, or only reads."""


class NotServed(Exception):
    """A user did not get what was promised (ERROR, too late, wrong): data of the run, kept in the operation's row."""


class Scenario:
    """One kind of journey. One object per worker and swarm: `prepare` once, then `journey` for every arrival.

    experiment: the file a plain `locust -f` runs, beside the scenario's own; ours are in experiments/. options: names
    and defaults; others are refused, and values of another type than the default's (None: a text).
    """

    name: ClassVar[str]
    experiment: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, options: Mapping[str, Any]) -> None:
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(sorted(self.options)) or "none"
            raise ScenarioError(f"scenario {self.name}: unknown option {unknown[0]!r}; it has {known}")
        for name, value in options.items():
            if wanted := _unlike(self.options[name], value):
                raise ScenarioError(f"scenario {self.name}: option {name!r}: wanted {wanted}; got {value!r}")
        self.option: dict[str, Any] = {**self.options, **options}
        self.check()

    def check(self) -> None:
        """Look at what the options say, before anything is sent. Raises: ScenarioError."""

    def servers_each(self) -> int:
        """How many servers one journey may have at once: safety limits and quotas are compared with it."""
        return 0

    def refuse(self, option: str, wanted: str) -> NoReturn:
        """Raises: ScenarioError, for `check`."""
        raise ScenarioError(f"scenario {self.name}: option {option!r}: wanted {wanted}; got {self.option[option]!r}")

    def prepare(self, api: Api) -> None:
        """Look up what all journeys need. Runs before the load; its requests are not recorded."""

    def journey(self, user: "Journey") -> None:
        """One arrival, from its first request to its last."""
        raise NotImplementedError


class Journey:
    """One arrival's hands: requests, operations, waiting. Times come from the run's clock.

    api: the verbs' first argument; number: of the arrival in its swarm; name: start of the names of what it makes.
    """

    def __init__(
        self, worker: "Worker", swarm: Mapping[str, Any], scenario: str, number: int, intended_ns: int
    ) -> None:
        self.number, self.intended_ns = number, intended_ns
        self.mark: str = worker.mark
        self.name = f"{worker.mark}-{_slug(swarm['name'])}-{number}"
        self.random = worker.random(swarm["name"], number)
        self._worker, self._swarm, self._scenario = worker, swarm, scenario
        self._operations: list[Operation] = []
        self._made = 0
        observe = worker.observer(swarm["name"], scenario)
        self.api = Api(
            worker.cloud,
            observe,
            clock=worker.clock,
            timeout_s=swarm.get("deadline_s"),
            intended_ns=intended_ns,
        )

    # Operations: what the user wants, from the intention to the end.

    @contextmanager
    def operation(self, kind: str, name: str, *, resource_id: str | None = None) -> Iterator[Operation]:
        """One user operation of one or more requests: accepted when the block ends, ready then too unless it waits.

        A request that fails inside ends the block, is kept in the row, and ends the journey.
        """
        made = self._new(kind, name, resource_id)
        with self.within(made):
            try:
                yield made
            except RequestFailed as error:
                made.failed(error)
                raise
            made.accepted_ns = made.accepted_ns or self._worker.clock.now_ns()
            made.effect, made.ending = "done", "answered"
            if not made.is_watched:
                made.ready_ns = made.accepted_ns

    @contextmanager
    def within(self, operation: Operation) -> Iterator[None]:
        """Requests made inside belong to the operation."""
        before, self.api.operation_id = self.api.operation_id, operation.operation_id
        try:
            yield
        finally:
            self.api.operation_id = before

    def intend(self, kind: str, name: str, operation: Operation, count: int = 1) -> None:
        """Write to the ledger what the next request will make. Raises OSError when it cannot: then do not send it."""
        cloud = self._worker.cloud
        self._worker.ledger.intend(
            Intent(
                at_ns=self._worker.clock.now_ns(),
                kind=kind,
                name=name,
                mark=self.mark,
                cloud=cloud.name,
                region=cloud.region,
                project=self._worker.project,
                operation_id=operation.operation_id,
                count=count,
            )
        )

    def create_servers(self, count: int = 1, *, name: str | None = None, **body: Any) -> list[Operation]:
        """One POST for `count` servers, one operation for each; returns when it is accepted.

        Raises: RequestFailed; the rows say whether servers may exist all the same.
        """
        name = name or self.name
        made = [self._new("server.create", each) for each in compute.server_names(name, count)]
        for operation in made:
            operation.batch = made[0].operation_id if count > 1 else None
            operation.is_watched = True
            operation.sent_ns, operation.intended_ns = made[0].sent_ns, made[0].intended_ns
        self._worker.expect(made, "ready")
        self.intend("server", name, made[0], count)
        with self.within(made[0]):
            try:
                answer = compute.create_servers(self.api, name=name, mark=self.mark, count=count, **body)
            except RequestFailed as error:
                for operation in made:
                    operation.failed(error)
                if error.outcome.effect_name == "none":
                    self._worker.forget(made)
                raise
        for operation in made:
            operation.accepted(answer.exchange)
        self._worker.accepted(self._swarm["name"])
        if count == 1:
            made[0].resource_id = str(answer.body["server"]["id"])
        return made

    def act(self, kind: str, server: Operation, send: Callable[[Api, str], Any], until: str) -> Operation:
        """One action on a server (`send`), then wait until it has the status `until` and no task left."""
        with self.operation(kind, server.name, resource_id=server.resource_id) as action:
            action.is_watched = True
            send(self.api, str(server.resource_id))
        self._worker.expect([action], until)
        self.wait([action])
        return action

    def read_server(self, server: Operation) -> tuple[Operation, dict[str, Any]]:
        """The server as the cloud shows it now. The row of the read keeps its status, for the audit to find stale ones.

        Raises: NotServed when the cloud says that there is none; the row says NOT_FOUND then.
        """
        with self.operation("server.read", server.name, resource_id=server.resource_id) as read:
            found = compute.find_server(self.api, str(server.resource_id))
            read.status = "NOT_FOUND" if found is None else str(found["status"])
        if found is None:
            self.wrong(read, "the server is not found")
            raise NotServed(f"{server.name}: read as if it were not there")
        return read, found

    def delete_servers(self, servers: list[Operation]) -> list[Operation]:
        """DELETE each, then wait until the cloud no longer has any. Marks both rows of each."""
        deletions = []
        for server in servers:
            with self.operation("server.delete", server.name, resource_id=server.resource_id) as deletion:
                deletion.is_watched = True
                compute.delete_server(self.api, str(server.resource_id))
            deletions.append(deletion)
        self._worker.expect(deletions, "gone")
        self.wait(deletions, wants_gone=True)
        for server, deletion in zip(servers, deletions, strict=True):
            server.gone_ns = deletion.gone_ns
        return deletions

    def wait(self, operations: list[Operation], *, wants_gone: bool = False) -> None:
        """Until each has reached what it waits for.

        Raises: NotServed when one ended in ERROR, vanished, or the run ended first.
        """
        for operation in operations:
            operation.settled.wait()
        wrong = [o for o in operations if (o.gone_ns if wants_gone else o.ready_ns) is None or o.error]
        if wrong:
            raise NotServed(f"{len(wrong)} of {len(operations)}: {wrong[0].name}: {wrong[0].error or wrong[0].status}")

    def wrong(self, operation: Operation, what: str) -> None:
        """Record that the cloud answered well but did not do what it said."""
        operation.error = what

    def pause(self, seconds: float) -> None:
        """Think time."""
        gevent.sleep(seconds)

    @property
    def operations(self) -> list[Operation]:
        """All operations of the journey, in the order of their making."""
        return self._operations

    def _new(self, kind: str, name: str, resource_id: str | None = None) -> Operation:
        now_ns = self._worker.clock.now_ns()
        first = not self._operations
        made = Operation(
            operation_id=self._worker.operation_id(self._swarm["name"], self.number, self._made),
            swarm=self._swarm["name"],
            scenario=self._scenario,
            kind=kind,
            name=name,
            resource_id=resource_id,
            intended_ns=min(self.intended_ns, now_ns) if first else now_ns,
            sent_ns=now_ns,
        )
        self._made += 1
        self._operations.append(made)
        self._worker.open_operations[made.operation_id] = made
        return made


def find(name: str) -> type[Scenario]:
    """The scenario of this name.  Raises ScenarioError with the known ones."""
    import locustfiles

    names = [module.name for module in pkgutil.iter_modules(locustfiles.__path__)]
    if name in names:
        module = importlib.import_module(f"locustfiles.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Scenario) and value.__module__ == module.__name__:
                return value
    foreign = {point.name: point for point in extensions.installed(extensions.SCENARIOS)}
    if name in foreign:
        loaded, problem = extensions.load(foreign[name])
        if isinstance(loaded, type) and issubclass(loaded, Scenario):
            return loaded
        problem = problem or f"wanted a class of harness.swarm.scenario.Scenario, got {loaded!r:.80}"
        raise ScenarioError(f"scenario {name!r} cannot be loaded ({extensions.in_words(foreign[name])}): {problem}")
    raise ScenarioError(f"no scenario {name!r}; known: {', '.join(sorted({*names, *foreign}))}")


def experiment_path(scenario: type[Scenario]) -> Path:
    """The experiment a scenario declares: beside its own file, or for ours beside the packages."""
    import locustfiles

    home = Path(inspect.getfile(scenario)).resolve().parent
    own = Path(inspect.getfile(locustfiles)).resolve().parent
    return (own.parent if home == own else home) / scenario.experiment


def _unlike(default: object, value: object) -> str:
    """What was wanted instead of a value that is not of the default's type; "" when it is."""
    match default:
        case bool():
            return "" if isinstance(value, bool) else "true or false"
        case int():
            return "" if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
        case float():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return "" if is_number and math.isfinite(value) else "a number, without a unit"  # type: ignore[arg-type]
        case str() | None:
            return "" if isinstance(value, str) or (default is None and value is None) else "a text"
        case _:
            return ""


def _slug(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name.lower())
