"""The targets of an embedded cloud, read from its state directory: `database`, `broker`, and the `cloud` itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROTOCOLS = {"postgresql": "postgresql", "mysql": "mysql"}


def embedded_targets(state: Path) -> dict[str, dict[str, Any]]:
    """The three as plain data for `targets:`; secrets by reference to the cloud's settings file (0600).

    Raises:  OSError, ValueError or KeyError when no cloud runs there.
    """
    settings_file = str(state / "settings.json")
    settings = json.loads((state / "settings.json").read_bytes())
    supervisor = json.loads((state / "control.json").read_bytes())["address"]
    token = {"file": settings_file, "key": "control_token"}
    targets: dict[str, dict[str, Any]] = {}
    for name in ("database", "broker"):
        server = settings[name]
        protocol = PROTOCOLS[server["dialect"]] if name == "database" else "amqp"
        address = f"{server.get('server_host', server['host'])}:{server['server_port']}"
        target: dict[str, Any] = {"kind": name, "probe": {"protocol": protocol, "address": address}}
        if settings["proxy"]["control_port"]:
            control = f"127.0.0.1:{settings['proxy']['control_port']}"
            target["link"] = {"control": control, "name": name, "token": token}
        if server["embedded"]:
            target["process"] = {"pid_file": str(state / "pids.json"), "name": name}
            target["restart"] = {"supervisor": supervisor, "name": name, "token": token}
        if name == "database":
            target["probe"] |= {
                "user": server["user"],
                "password": {"file": settings_file, "key": "database.password"},
                "database": f"{server['prefix']}keystone",
            }
        targets[name] = target
    controls = {process: f"127.0.0.1:{port}" for process, port in settings["control_ports"].items()}
    targets["cloud"] = {"kind": "cloud", "emulator": {"controls": controls, "token": token}}
    return targets
