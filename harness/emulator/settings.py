"""Settings of one emulated cloud: one JSON file in its state directory, read by every process of that cloud.

Defaults are those of the real services (oslo.db 18, oslo.messaging 18, nova 34, neutron 29, keystonemiddleware 13),
so a fault meets the same pools and the same clocks. Every duration of the control plane is kept in *real* seconds and
passes through `Settings.scaled`, so that one `time_scale` shrinks them together for short runs.
The file holds the cloud's secrets: it is written with mode 0600.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

TYPES = {"identity": "keystone", "image": "glance", "placement": "placement", "compute": "nova", "network": "neutron"}
OWN_SLOTS = 4  # of a process that serves one service: uwsgi's threads
SERVICES = ("keystone", "glance", "placement", "nova", "neutron")
DATABASES = ("keystone", "glance", "nova_api", "nova_cell0", "nova_cell1", "placement", "neutron")
CONVENTIONAL_PORTS = {"keystone": 5000, "glance": 9292, "placement": 8778, "nova": 8774, "neutron": 9696}
DEFAULT_PORT_BASE = 20000
FILE_NAME = "settings.json"

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class DatabaseSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the SQL server is and how each process pools its connections (defaults of oslo.db)."""

    dialect: Literal["postgresql", "mysql"] = "postgresql"  # "mysql": MariaDB
    host: str = "127.0.0.1"
    port: Port = 5432  # where services connect: the proxy's listener when a proxy is used
    server_host: str = "127.0.0.1"
    server_port: Port = 5432  # where the server itself listens
    socket: str = ""  # of the proxy: what services of this cloud use instead of host and port; "": they use those
    user: str = "squall"
    password: str = ""
    embedded: bool = True
    is_fresh: bool = False  # what a cloud that is no more left in databases of these names goes first
    prefix: str = ""  # put before every database name, so that several clouds can share one server
    max_pool_size: AtLeastOne = 5
    max_overflow: Count = 50
    overflow_after_s: Positive = 0.1  # how long a connection in use is waited for before one of the overflow is opened
    pool_timeout_s: Positive = 30.0
    pre_ping_after_idle_s: NotNegative = 1.0
    connect_attempts: AtLeastOne = 10  # oslo.db max_retries at the first connection of a process
    connect_interval_s: Positive = 10.0
    max_connections: AtLeastOne = 400  # of the embedded server
    shared_buffers_mb: AtLeastOne = 256  # of the embedded server; memory is used as data comes
    fsync: bool = True  # of the embedded server
    group_commit: bool = False  # the embedded server holds commits back for a moment, to write several at once
    group_commit_window_ms: Positive = 3.0


class BrokerSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the AMQP 0-9-1 broker is (defaults of oslo.messaging's rabbit driver)."""

    host: str = "127.0.0.1"
    port: Port = 5672  # where services connect: the proxy's listener when a proxy is used
    server_host: str = "127.0.0.1"
    server_port: Port = 5672  # where the broker itself listens
    socket: str = ""  # of the proxy: what services of this cloud use instead of host and port; "": they use those
    server_socket: str = ""  # of the embedded broker, for the proxy
    management_port: Port = 15672
    user: str = "openstack"
    password: str = ""
    virtual_host: str = "/"
    embedded: bool = True
    heartbeat_s: NotNegative = 60.0
    reconnect_interval_s: Positive = 1.0
    reconnect_backoff_s: Positive = 2.0
    reconnect_max_s: Positive = 30.0
    rpc_response_timeout_s: Positive = 60.0
    long_rpc_timeout_s: Positive = 1800.0
    durable_queues: bool = False  # amqp_durable_queues: topic queues and their exchanges
    quorum_queues: bool = False  # rabbit_quorum_queue: topic queues are quorum queues, and durable
    transient_quorum_queues: bool = False  # rabbit_transient_quorum_queue: reply and fanout queues, too
    transient_queue_ttl_s: Positive = 1800.0


class ProxySettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fault proxy in front of database and broker."""

    enabled: bool = True
    control_port: int = 0  # filled in when the cloud starts; 0: no proxy is in the path


class SlotSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Request slots of one service: workers x threads as under uwsgi, and the queue in front of them."""

    slots: AtLeastOne = 8
    queue: Count = 4096  # requests waiting for a slot; above it the answer is 503


class SpreadSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A duration drawn for each use: uniform between low and high, in real seconds, not scaled."""

    low_s: NotNegative = 0.0
    high_s: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.high_s < self.low_s:
            raise ValueError(f"high_s ({self.high_s}) is below low_s ({self.low_s})")


class SpawnFailureSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Hypervisors that cannot start what was scheduled to them; nova tries another host, or gives up."""

    probability: Probability = 0.0  # of each spawn anywhere, by the dice of `Settings.seed`
    hosts: list[str] = []  # on these every spawn fails

    def __post_init__(self) -> None:
        if len(set(self.hosts)) < len(self.hosts):
            raise ValueError("hosts: one is named twice")


class KeystoneSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    token_expiration_s: Positive = 3600.0  # not scaled: a token must outlive a short run as it would a long one
    bcrypt_rounds: Annotated[int, msgspec.Meta(ge=4, le=16)] = 4  # keystone's default is 12, see docs/emulator.md
    max_list_limit: AtLeastOne = 10_000


class GlanceSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    limit_param_default: AtLeastOne = 25
    api_limit_max: AtLeastOne = 1000
    filesystem_store_datadir: str = ""  # where image data lies; filled in when the cloud is prepared


class PlacementSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    max_allocation_candidates: int = 1000  # what nova's scheduler asks for at most ([scheduler]max_placement_results)
    randomize_allocation_candidates: bool = False  # large clouds ask for few candidates, and for different ones
    cpu_allocation_ratio: Positive = 4.0
    ram_allocation_ratio: Positive = 1.0
    disk_allocation_ratio: Positive = 1.0


class NovaSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    max_limit: AtLeastOne = 1000
    report_interval_s: Positive = 10.0
    service_down_time_s: Positive = 60.0
    vif_plugging_timeout_s: NotNegative = 300.0
    vif_plugging_is_fatal: bool = True
    max_concurrent_builds: AtLeastOne = 10
    scheduler_max_attempts: AtLeastOne = 3
    host_subset_size: AtLeastOne = 1
    shuffle_best_same_weighed_hosts: bool = False
    build_failure_weight_multiplier: NotNegative = 1_000_000.0
    build: SpreadSettings = msgspec.field(default_factory=SpreadSettings)  # simulated spawn of one instance
    delete: SpreadSettings = msgspec.field(default_factory=SpreadSettings)
    spawn_failure: SpawnFailureSettings = msgspec.field(default_factory=SpawnFailureSettings)
    quota_instances: int = -1
    quota_cores: int = -1
    quota_ram_mb: int = -1


class NeutronSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pagination_max_limit: int = -1
    agent_report_interval_s: Positive = 30.0
    agent_down_time_s: Positive = 75.0
    notify_nova_interval_s: NotNegative = 2.0  # send_events_interval: how long events are gathered
    retry_attempts: AtLeastOne = 10
    retry_first_s: Positive = 0.1
    quota_port: int = -1
    quota_network: int = -1
    quota_subnet: int = -1
    quota_security_group: int = -1
    quota_security_group_rule: int = -1


class HypervisorSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The simulated computes: all alike."""

    count: Count = 20
    vcpus: AtLeastOne = 64
    memory_mb: AtLeastOne = 262_144
    disk_gb: AtLeastOne = 4_000
    reserved_host_memory_mb: Count = 512
    name: str = "compute-{:05d}"  # formatted with the number, from 1

    def hosts(self) -> list[str]:
        return [self.name.format(number) for number in range(1, self.count + 1)]


class SupervisionSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the supervisor does about a service that ends unasked: systemd and kolla restart it, after a second.

    Database and broker are never restarted by themselves: a fault or the operator does that.
    """

    restart_services: bool = True
    restart_delay_s: NotNegative = 1.0


class TruthSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Known bugs of control planes, each with its probability per occasion; 0 is off. Changed live at each process.

    docs/emulator.md says what each stands for and what the audit must find of it.
    """

    lost_cast: Probability = 0.0  # the cast of a build is reported as sent and is not
    leaked_allocation: Probability = 0.0  # a delete leaves its placement allocation behind
    duplicate_fixed_address: Probability = 0.0  # a port gets a fixed address that another port has
    shared_port: Probability = 0.0  # a build takes the port of another server instead of making one
    failed_batch: Probability = 0.0  # one of a multi-create fails at last, and the clean-up gets the list of all
    created_500: Probability = 0.0  # a create is done, and answered with 500
    accepted_never_done: Probability = 0.0  # a create or a delete is answered with 2xx, and forgotten
    quota_drift: Probability = 0.0  # a deleted server stays in what quotas count
    orphan_port: Probability = 0.0  # a delete leaves the server's ports behind
    stale_read: Probability = 0.0  # a GET is answered by a replica that does not have the server yet
    resurrected_server: Probability = 0.0  # a delete is done and seen, and lost with the database that had it


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All of one cloud. `time_scale` multiplies every scaled duration: 0.1 makes a 60 s timeout 6 s."""

    version: int = 1
    name: str = "squall"
    seed: int = 1
    time_scale: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    region: str = "RegionOne"
    host: str = "127.0.0.1"
    ports: dict[str, Port] = msgspec.field(
        default_factory=lambda: {name: DEFAULT_PORT_BASE + port for name, port in CONVENTIONAL_PORTS.items()}
    )
    # Name of an API process -> the services it hosts. One process hosts all five unless told otherwise.
    api: dict[str, list[str]] = msgspec.field(default_factory=lambda: {"api": list(SERVICES)})
    conductors: AtLeastOne = 1
    schedulers: AtLeastOne = 1
    computes: AtLeastOne = 1  # processes that share the simulated hypervisors
    networks: AtLeastOne = 1
    services: dict[str, SlotSettings] = msgspec.field(
        default_factory=lambda: {
            "keystone": SlotSettings(slots=8),
            "glance": SlotSettings(slots=4),
            "placement": SlotSettings(slots=4),
            "nova": SlotSettings(slots=8),
            "neutron": SlotSettings(slots=8),
        }
    )
    coalesce_heartbeats: bool = True  # hypervisors that report in the same half second share a message and a commit
    token_cache_s: NotNegative = 300.0
    head_timeout_s: Positive = 60.0  # of a request, at the API's ports; not scaled, no more than the next
    body_timeout_s: Positive = 60.0
    admin_password: str = ""
    demo_password: str = ""
    service_password: str = ""
    control_token: str = ""
    database: DatabaseSettings = msgspec.field(default_factory=DatabaseSettings)
    broker: BrokerSettings = msgspec.field(default_factory=BrokerSettings)
    proxy: ProxySettings = msgspec.field(default_factory=ProxySettings)
    hypervisors: HypervisorSettings = msgspec.field(default_factory=HypervisorSettings)
    keystone: KeystoneSettings = msgspec.field(default_factory=KeystoneSettings)
    glance: GlanceSettings = msgspec.field(default_factory=GlanceSettings)
    placement: PlacementSettings = msgspec.field(default_factory=PlacementSettings)
    nova: NovaSettings = msgspec.field(default_factory=NovaSettings)
    neutron: NeutronSettings = msgspec.field(default_factory=NeutronSettings)
    supervision: SupervisionSettings = msgspec.field(default_factory=SupervisionSettings)
    truth: TruthSettings = msgspec.field(default_factory=TruthSettings)
    control_ports: dict[str, int] = msgspec.field(default_factory=dict)  # process name -> its control port

    def __post_init__(self) -> None:
        if failing := self.nova.spawn_failure.hosts:
            missing = sorted(set(failing).difference(self.hypervisors.hosts()))
            if missing:
                raise ValueError(f"nova.spawn_failure.hosts: no hypervisor is named {', '.join(missing)}")

    def give_processes(self, counts: Mapping[str, int]) -> None:
        """Give services, by their types, so many API processes of their own; one is left for all others."""
        own = {TYPES[kind]: count for kind, count in counts.items()}
        rest = [service for service in SERVICES if service not in own]
        self.api = {"api": rest} if rest else {}
        for service, count in own.items():
            self.services[service] = SlotSettings(slots=OWN_SLOTS, queue=self.slots(service).queue)
            for number in range(1, count + 1):
                self.api[f"{service}-api" if number == 1 else f"{service}-api-{number}"] = [service]

    def hosting(self, service: str) -> list[str]:
        """Names of the API processes that serve it."""
        return [name for name, services in self.api.items() if service in services]

    def scaled(self, seconds: float) -> float:
        """A duration of the real control plane, in this cloud's seconds."""
        return seconds * self.time_scale

    def slots(self, service: str) -> SlotSettings:
        """Request slots of one service; the default where the settings name none."""
        return self.services.get(service) or SlotSettings()

    def url(self, service: str) -> str:
        """Base URL of a service, without path and without a slash at the end."""
        return f"http://{self.host}:{self.ports[service]}"

    @property
    def auth_url(self) -> str:
        """What clients are told: keystone's v3 root."""
        return f"{self.url('keystone')}/v3"

    def processes(self) -> list[tuple[str, str, int]]:
        """Name, role and index of every process that plays a part of the control plane, in starting order."""
        found: list[tuple[str, str, int]] = []
        counts = {
            "conductor": self.conductors,
            "scheduler": self.schedulers,
            "network": self.networks,
        }
        for role, count in counts.items():
            found += [(role if index == 0 else f"{role}-{index + 1}", role, index) for index in range(count)]
        found += [(name, "api", index) for index, name in enumerate(self.api)]
        if self.hypervisors.count:
            found += [
                ("compute" if index == 0 else f"compute-{index + 1}", "compute", index)
                for index in range(min(self.computes, self.hypervisors.count))
            ]
        return found

    def fill_secrets(self) -> None:
        """Give every secret that is still empty a random value."""
        for name in ("admin_password", "demo_password", "service_password", "control_token"):
            if not getattr(self, name):
                setattr(self, name, secrets.token_urlsafe(18))
        if not self.database.password and self.database.embedded:
            self.database.password = secrets.token_urlsafe(18)
        if not self.broker.password and self.broker.embedded:
            self.broker.password = secrets.token_urlsafe(18)


def load(state: Path) -> Settings:
    """Read `settings.json` of a state directory.

    Raises: FileNotFoundError when there is no cloud here; msgspec.ValidationError (a ValueError) naming the field.
    """
    return msgspec.json.decode((state / FILE_NAME).read_bytes(), type=Settings)


def save(settings: Settings, state: Path) -> None:
    """Write `settings.json` (0600), whole or not at all."""
    write_private(state / FILE_NAME, msgspec.json.format(msgspec.json.encode(settings)))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by one that only its owner can read; a reader sees the old or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
