"""The proxy's configuration file: links, control listener, bounds.

    {"control": {"listen": "127.0.0.1:0", "token": "at least 16 characters"},
     "ready_file": "/run/dir/proxy-ready.json",
     "links": [{"name": "database", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:5432"}]}

The file holds the control token (or names a file that does), so it should be readable by its owner only.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

KIB = 1024
MIB = 1024 * KIB


class ConfigInvalid(Exception):
    """The configuration cannot be used. Nothing was started."""


class LinkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One listener and the server it leads to; addresses are `host:port`, port 0 in `listen` picks a free one.

    `listen_socket` is the path of a unix socket to listen on, too; `upstream_socket` that of one to use for the server
    instead of its address, until a controller leads the link elsewhere.
    """

    name: str
    listen: str
    upstream: str
    listen_socket: str = ""
    upstream_socket: str = ""
    enabled: bool = True


class ControlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where control listens and the token it asks for: given here, or the first line of `token_file`."""

    listen: str = "127.0.0.1:0"
    token: str = ""
    token_file: str = ""


class ProxyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything `python -m faults.proxy` needs; sizes in bytes, times in seconds."""

    links: list[LinkConfig]
    control: ControlConfig = ControlConfig()
    ready_file: str = ""
    seed: int = 0
    dial_timeout_s: float = 10.0
    default_lease_s: float = 600.0  # for controllers that name none, such as Toxiproxy's own clients
    buffer_bytes: int = 1 * MIB  # held back by toxics per connection and direction before reading stops
    total_buffer_bytes: int = 256 * MIB  # over all connections; beyond it each may hold 64 KiB only


def parse_address(text: str, what: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair.

    Raises:  ConfigInvalid naming `what` when it is not an address.
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535 or not host:
        raise ConfigInvalid(f"{what}: want host:port, got {text!r}")
    return host.strip("[]"), int(port)


def load_config(path: Path) -> ProxyConfig:
    """Read and check the file.

    Raises:  ConfigInvalid naming file and fault.
    """
    try:
        config = msgspec.json.decode(path.read_bytes(), type=ProxyConfig)
    except OSError as error:
        raise ConfigInvalid(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigInvalid(f"{path}: {error}") from error
    try:
        check_config(config)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{path}: {error}") from error
    return config


def check_config(config: ProxyConfig) -> None:
    """Refuse what would only fail later.

    Raises:  ConfigInvalid.
    """
    parse_address(config.control.listen, "control.listen")
    names = [link.name for link in config.links]
    for link in config.links:
        if not link.name or "/" in link.name:
            raise ConfigInvalid(f"links: a name must be non-empty and without '/', got {link.name!r}")
        if names.count(link.name) > 1:
            raise ConfigInvalid(f"links: two are named {link.name!r}")
        parse_address(link.listen, f"links.{link.name}.listen")
        parse_address(link.upstream, f"links.{link.name}.upstream")
    if not config.control.token and not config.control.token_file:
        raise ConfigInvalid("control: wanted token or token_file, got neither")


def read_token(control: ControlConfig) -> str:
    """The control token.

    Raises:  ConfigInvalid when it cannot be read or is too short to be a secret.
    """
    token = control.token
    if not token:
        try:
            token = Path(control.token_file).read_text(encoding="utf-8").split("\n", 1)[0].strip()
        except OSError as error:
            raise ConfigInvalid(f"control.token_file {control.token_file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigInvalid(f"control.token_file {control.token_file}: wanted a line of text") from error
    if len(token) < 16:
        raise ConfigInvalid("control: the token has fewer than 16 characters")
    return token
