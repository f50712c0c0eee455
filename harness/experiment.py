"""The experiment file: its schema, and loading it with errors that name file, line, wanted and got.

One YAML file says everything about a run: the cloud, the phases, the swarms that load it, the faults that degrade it,
the objectives (SLOs) that must hold. It is validated whole before anything is touched. `squall schema` prints it as
JSON Schema.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

import msgspec
import yaml
from msgspec import Meta, Struct

from harness.core.units import duration_ns, ratio

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$")]
Duration = Annotated[str, Meta(pattern=r"^\d+(\.\d+)? ?(us|ms|s|min|h)$", examples=["12 s", "50 ms"])]
_MOST_ELEMENTS = 10_000
Positive = Annotated[float, Meta(gt=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Part(Struct, forbid_unknown_fields=True, rename={"duration": "for", "start": "from"}):
    """What all parts of an experiment have in common: unknown keys are errors."""


class BuildTime(Part):
    """Simulated time that a hypervisor needs to spawn a server: uniform between the two, seeded, never scaled."""

    low: Duration = "0.5 s"
    high: Duration = "1.5 s"


class Emulator(Part):
    """The embedded cloud of a run. `settings`: any other setting of it, by section or name (docs/emulator.md)."""

    hypervisors: Annotated[int, Meta(ge=1, le=20_000)] = 1000
    build: BuildTime = msgspec.field(default_factory=BuildTime)
    group_commit: bool = False
    truth: dict[str, Annotated[float, Meta(ge=0, le=1)]] = {}
    settings: dict[str, Any] = {}


class Cloud(Part):
    """Where the load goes: the embedded cloud, or an entry of clouds.yaml. `admin` reads what only an admin may."""

    emulator: Emulator | None = None
    name: str | None = None
    admin: str | None = None


class Client(Part):
    """How requests are made. Levels: `stock` is plain openstacksdk, `adapter` the same SDK on Squall's transport."""

    level: Literal["stock", "adapter"] = "adapter"
    workers: Annotated[int, Meta(ge=1, le=64)] = 2
    ready: Literal["active", "port_active"] = "port_active"


class Phase(Part):
    """A stretch of the run with a verdict of its own."""

    name: Name
    kind: Literal["warm-up", "baseline", "fault", "recovery", "load"]
    duration: Duration
    faults: tuple[dict[str, Any], ...] = ()


class Constant(Part, tag_field="kind", tag="constant"):
    rate: Positive


class Poisson(Part, tag_field="kind", tag="poisson"):
    rate: Positive


class Burst(Part, tag_field="kind", tag="burst"):
    count: Count
    over: Duration = "0 s"


class Ramp(Part, tag_field="kind", tag="ramp"):
    start: Annotated[float, Meta(ge=0, le=1_000_000)]
    to: Positive


class Closed(Part, tag_field="kind", tag="closed"):
    users: Count
    pause: Duration = "0 s"


Arrivals = Constant | Poisson | Burst | Ramp | Closed


class At(Part):
    """A point in time: so long after the start of a phase."""

    phase: str
    after: Duration = "0 s"


class Swarm(Part, kw_only=True):
    """One stream of arrivals of one scenario. Open loop, except for `kind: closed`."""

    name: Name
    scenario: str
    arrivals: Arrivals
    phases: tuple[str, ...] | None = None
    at: At | None = None
    options: dict[str, Any] = {}
    max_in_flight: Count = 2000
    deadline: Duration = "60 s"


MEASURES = (
    *("response_p95", "service_p95", "ready_p95", "gone_p95 (any percentile)", "success_ratio", "availability"),
    *("throughput", "downtime", "time_to_recover", "degradation", "headroom"),
)


class Objective(Part):
    """An SLO: what must hold, of which requests or operations, in which phase (`*`: in each that loads the cloud)."""

    measure: Annotated[
        str,
        Meta(
            pattern=r"^(((response|service|ready|gone)_p(?!0+(\.0+)?$)\d{1,2}(\.\d+)?)|success_ratio|availability|throughput|downtime"
            r"|time_to_recover|degradation|headroom)$"
        ),
    ]
    phase: str = "*"
    route: str | None = None
    swarm: str | None = None
    fault: str | None = None
    at_most: Any = None
    at_least: Any = None

    def limit(self) -> float:
        """The bound in the measure's own unit: ns for times, a ratio, per second, or a factor."""
        bound = self.at_most if self.at_most is not None else self.at_least
        if self.is_time:
            return float(duration_ns(bound))
        if self.measure in ("success_ratio", "availability", "headroom"):
            return ratio(bound)
        if isinstance(bound, bool) or not isinstance(bound, int | float) or bound < 0:
            raise ValueError(f"wanted a number of zero or more for {self.measure}; got {bound!r}")
        return float(bound)

    @property
    def is_time(self) -> bool:
        return "_p" in self.measure or self.measure in ("downtime", "time_to_recover")

    @property
    def is_better_high(self) -> bool:
        return self.measure in ("success_ratio", "availability", "throughput", "headroom")

    @property
    def selectors(self) -> tuple[str, ...]:
        """Which of `route`, `swarm` and `fault` choose what is measured; the others would be ignored."""
        if self.measure in ("downtime", "time_to_recover", "degradation"):
            return ("fault",)
        if self.measure == "headroom":
            return ()
        return ("swarm",) if self.measure.startswith(("ready", "gone")) else ("route", "swarm")


class Limits(Part):
    """Safety: a run that passes one of them is aborted (exit code 6), its faults healed, its servers deleted."""

    max_servers: Count = 2000
    abort_error_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    abort_after: Duration = "10 s"
    max_fault: Duration = "5 min"


class Expect(Part):
    """For a drill: the verdict and exactly the findings that it must produce."""

    exit: Literal[0, 1, 3, 5, 6]
    findings: tuple[str, ...] = ()


class Experiment(Part, kw_only=True):
    """A whole experiment file."""

    version: Literal[1]
    name: Name
    title: str = ""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    time_scale: Annotated[float, Meta(gt=0, le=1)] = 1.0
    cloud: Cloud
    client: Client = msgspec.field(default_factory=Client)
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]
    swarms: Annotated[tuple[Swarm, ...], Meta(min_length=1)]
    targets: dict[str, dict[str, Any]] = {}
    slos: tuple[Objective, ...] = ()
    limits: Limits = msgspec.field(default_factory=Limits)
    allow: tuple[str, ...] = ()
    drain: Duration = "60 s"
    settle: Duration | None = None
    expect: Expect | None = None


class ExperimentInvalid(Exception):
    """The experiment, or what it asks of this machine or cloud, is wrong. Nothing was touched."""


def load(path: Path) -> "Source":
    """Reads and checks the shape of an experiment.  Raises ExperimentInvalid with file, line, wanted and got."""
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Raises: ExperimentInvalid when the file cannot be read or is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ExperimentInvalid(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ExperimentInvalid(f"{path}: wanted UTF-8 text; got byte {error.object[error.start]:#x}") from error


def parse(text: str, file: str) -> "Source":
    raw, lines = read_yaml(text, file)
    if raw is None:
        raise ExperimentInvalid(f"{file}:1: the file is empty; wanted an experiment, see experiments/")
    source = Source(text, file, lines)
    try:
        source.experiment = msgspec.convert(raw, Experiment)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `")
        path = where.rstrip("`") or "$"
        source.refuse(path, _plain_words(message, _value_at(raw, path), path))
    return source


def read_yaml(text: str, file: str) -> tuple[Any, dict[str, int]]:
    """A document, and the line of each element by its path (`$.phases[0].for`).

    Raises: ExperimentInvalid with file and line for what is not YAML, a key that is given twice or is no word, and a
    document that is too large once its aliases are followed.
    """
    lines: dict[str, int] = {}
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return None, lines
        _map_lines(node, "$", lines, file)
        return _Loader(text).get_single_data(), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ExperimentInvalid(f"{file}:{line}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ExperimentInvalid(f"{file}:{line}: not YAML: {error.reason}: {error.character:#x}") from error
    except (RecursionError, ValueError, OverflowError) as error:
        raise ExperimentInvalid(f"{file}: not YAML that can be read: {' '.join(str(error).split())}") from error


class Source:
    """An experiment together with the text it came from, so that later checks can name lines too."""

    experiment: Experiment

    def __init__(self, text: str, file: str, lines: dict[str, int]) -> None:
        self.text, self.file, self._lines = text, file, lines

    def refuse(self, path: str, message: str) -> NoReturn:
        """Raises ExperimentInvalid for the element at `path`, such as `$.phases[1].for`."""
        raise ExperimentInvalid(self.at(path, message))

    def at(self, path: str, message: str) -> str:
        """`file:line: path: message`, for the nearest element that stands in the text."""
        near = path.replace("[...]", "")
        while near not in self._lines and near != "$":
            shorter = re.sub(r"(\.[^.\[]+|\[\d+\]|\[[^\]]*\])$", "", near)
            near = shorter if shorter != near else "$"
        shown = path.removeprefix("$").removeprefix(".")
        return f"{self.file}:{self._lines.get(near, 1)}: " + (f"{shown}: " if shown else "") + message


def json_schema() -> dict[str, Any]:
    """JSON Schema of an experiment file, for editors."""
    return msgspec.json.schema(Experiment)


def _plain_words(message: str, value: object, path: str) -> str:
    """msgspec's words as wanted and got."""
    if field := re.match(r"^Object contains unknown field `(.*)`$", message):
        close = difflib.get_close_matches(field[1], _keys(), n=1)
        return f"unknown key '{field[1]}'; " + (f"did you mean '{close[0]}'?" if close else "see docs/experiments.md")
    if field := re.match(r"^Object missing required field `(.*)`$", message):
        return f"key '{field[1]}' is missing"
    if "matching regex" in message and "response" in message:
        message = f"Expected one of {', '.join(MEASURES)}"
    elif ("matching regex" in message and "min|h" in message) or _last(path) in _keys_of(Duration):
        message = "Expected a duration with its unit (us, ms, s, min, h), such as '12 s'"
    elif "matching regex" in message:
        message = "Expected letters, digits, spaces, '.', '_' and '-', 63 at most"
    elif message.startswith("Invalid enum value") and path == "$.version":
        message = "Expected 1"
    elif message.startswith("Invalid value"):
        message = f"Expected one of {', '.join(kind.__struct_config__.tag for kind in get_args(Arrivals))}"
    if message.startswith("Invalid enum value"):
        message = f"Expected one of {', '.join(map(str, _words(_last(path))))}"
    message = re.sub(r"`(object|array|str|int|float|bool)( \| null)?`", lambda kind: _KINDS[kind[1]], message)
    message = re.sub(r"^Expected (.*?)(, got .*)?$", r"wanted \1", message).replace("`", "'")
    return f"{message}; got {value!r}"


_KINDS = {
    "object": "keys with values",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def _last(path: str) -> str:
    """The key at the end of msgspec's path."""
    return re.split(r"[.\[]", path.removesuffix("[...]"))[-1]


def _fields() -> list[tuple[str, Any]]:
    """Key and type of everything that an experiment may say."""
    parts = list(Part.__subclasses__())
    return [(field.encode_name, field.type) for part in parts for field in msgspec.structs.fields(part)]


def _keys_of(kind: Any) -> set[str]:
    """The keys whose values are of a type, or of that or nothing."""
    return {key for key, each in _fields() if each == kind or kind in get_args(each)}


def _words(key: str) -> tuple[Any, ...]:
    """What a key may say that has a closed list of words."""
    return next((get_args(each) for name, each in _fields() if name == key and get_origin(each) is Literal), ())


def _keys() -> list[str]:
    """All keys that an experiment may have somewhere."""
    return sorted({key for key, _ in _fields()})


def _value_at(raw: Any, path: str) -> object:
    """The value that msgspec's path such as `$.phases[0].for` leads to; None when it leads nowhere.

    `[...]` stands for a key that msgspec does not tell: the whole mapping is shown then.
    """
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path.partition("[...]")[0]):
        try:
            raw = raw[int(index)] if index else raw[key]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


class _Loader(yaml.SafeLoader):
    """Reads `1e-3` as the number that everybody means; YAML 1.1 wants `1.0e-3`."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


def _map_lines(node: yaml.Node, path: str, lines: dict[str, int], file: str) -> None:
    lines[path] = node.start_mark.line + 1
    if len(lines) > _MOST_ELEMENTS:
        raise ExperimentInvalid(
            f"{file}: wanted at most {_MOST_ELEMENTS:,} elements, aliases counted where they are used"
        )
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag not in _KEY_TAGS:
                got = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                where = f"{file}:{key.start_mark.line + 1}"
                raise ExperimentInvalid(f"{where}: wanted a word as key, in quotes if it looks like none; got {got}")
            name = str(key.value)
            if name in seen:
                raise ExperimentInvalid(f"{file}:{key.start_mark.line + 1}: key '{name}' is given twice")
            seen.add(name)
            _map_lines(value, f"{path}.{name}", lines, file)
            lines[f"{path}.{name}"] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _map_lines(value, f"{path}[{i}]", lines, file)
