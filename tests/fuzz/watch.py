"""What must not happen to a cloud under hostile traffic: a traceback in a log, a process that dies, memory growing."""

import statistics
from dataclasses import dataclass, field
from pathlib import Path

from harness.emulator.cloud import EmbeddedCloud

MIB = 1024 * 1024
ALLOWED_MIB = 48.0  # a process may grow this much after its warm-up, whatever the length of the run: caches fill
ALLOWED_MIB_PER_MIN = 0.5  # and this much a minute on top
LINE_MAX = 300


@dataclass
class Logs:
    """The logs of a cloud, read on from where they were read before."""

    directory: Path
    _read: dict[Path, int] = field(default_factory=dict)

    def traceback(self) -> str:
        """The first new traceback's log and lines; "" when there is none."""
        for path in sorted(self.directory.iterdir()):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                new = file.read()
            at = new.find(b"Traceback (most recent call last)")
            if at >= 0:
                self._read[path] = self._read.get(path, 0) + at + 1
                before = new[:at].rpartition(b"\n")[0].rpartition(b"\n")[2]
                return f"{path.name}: {before[:LINE_MAX].decode('utf-8', 'replace')}\n{_trace(new[at:])}"
            self._read[path] = self._read.get(path, 0) + len(new)
        return ""


@dataclass
class Processes:
    """Which processes a cloud has, whether they are the same as before, and how much memory each holds for itself."""

    cloud: EmbeddedCloud
    pids: dict[str, int] = field(default_factory=dict)
    anonymous: dict[str, list[tuple[float, int]]] = field(default_factory=dict)  # name -> (seconds, bytes)

    def check(self) -> str:
        """What is wrong; "" when nothing is."""
        now = self.cloud.status()
        if not now.healthy:
            states = ", ".join(f"{process.name} {process.state}" for process in now.processes)
            return f"the cloud is not healthy: {states or 'its supervisor does not answer'}"
        pids = {process.name: process.pid for process in now.processes}
        changed = sorted(name for name, pid in self.pids.items() if pids.get(name) != pid)
        self.pids = pids
        return f"died and was started again: {', '.join(changed)}" if changed else ""

    def weigh(self, at_s: float) -> None:
        """Take a sample of every process's anonymous memory, that of its children (PostgreSQL's) included."""
        children: dict[int, list[int]] = {}
        own: dict[int, int] = {}
        for path in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            except OSError:
                continue
            pid = int(path.parent.name)
            children.setdefault(int(lines["PPid"]), []).append(pid)
            own[pid] = int(lines.get("RssAnon", "0 kB").split()[0]) * 1024
        ours = set(self.pids.values())
        for name, pid in self.pids.items():
            size, left = 0, [pid]
            while left:
                one = left.pop()
                size += own.get(one, 0)
                left += [child for child in children.get(one, []) if child not in ours]
            self.anonymous.setdefault(name, []).append((at_s, size))

    def growth(self) -> list["Growth"]:
        """Of every process, after the first quarter of its samples."""
        return [Growth.of(name, samples[len(samples) // 4 :]) for name, samples in self.anonymous.items()]


@dataclass(frozen=True, slots=True)
class Growth:
    """How the memory of one process went over a time: at its start, the slope of all, and the change between ends."""

    name: str
    from_mib: float
    mib_per_min: float
    grown_mib: float
    minutes: float

    @classmethod
    def of(cls, name: str, samples: list[tuple[float, int]]) -> "Growth":
        if len(samples) < 4:
            return cls(name, samples[0][1] / MIB if samples else 0.0, 0.0, 0.0, 0.0)
        minutes = [at_s / 60 for at_s, _ in samples]
        sizes = [size / MIB for _, size in samples]
        slope = statistics.linear_regression(minutes, sizes).slope
        few = max(1, len(sizes) // 8)
        grown = statistics.median(sizes[-few:]) - statistics.median(sizes[:few])
        return cls(name, sizes[0], slope, grown, minutes[-1] - minutes[0])

    @property
    def is_too_much(self) -> bool:
        return self.grown_mib > ALLOWED_MIB + ALLOWED_MIB_PER_MIN * self.minutes

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.from_mib:.0f} MiB, {self.mib_per_min:+.2f} MiB/min, {self.grown_mib:+.1f} MiB in all"
        )


def _trace(text: bytes) -> str:
    """A traceback's lines up to the exception's own, the last that is not indented."""
    kept = []
    for line in text.decode("utf-8", "replace").splitlines():
        kept.append(line[:LINE_MAX])
        if len(kept) > 1 and not line.startswith((" ", "Traceback")):
            break
    return "\n".join(kept)
