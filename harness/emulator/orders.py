"""What a supervisor is told through its control socket (JSON lines, `control_port.py`), after the token:

{"do": "status"} | {"do": "kill", "name": "api", "signal": 9} | {"do": "stop", "name": "api"}
{"do": "restart", "name": "database"}             answered when it is ready again, or cannot be
{"do": "down"}                                    answered when everything has ended
"""

import signal
import time
from collections.abc import Callable

from harness import supervise
from harness.emulator.children import Child, Children
from harness.emulator.control_port import Peer

RESTART_GIVE_UP_S = 30.0


class Orders:
    """Carries out requests on a cloud's processes."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._down_peers: list[Peer] = []
        self._since = time.monotonic()

    def take(self, peer: Peer, request: dict[str, object]) -> None:
        """One request; the peer gets its answer now or when it is done."""
        what = request.get("do")
        if what == "status":
            peer.answer({"ok": True, **self._status()})
            return
        if what == "down":
            self._down_peers.append(peer)
            self._children.ending = True
            return
        actions: dict[object, Callable[[Child, Peer, dict[str, object]], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "restart": self._restart,
        }
        action = actions.get(what)
        child = self._children.get(str(request.get("name")))
        if action is None:
            peer.answer({"ok": False, "error": f"wanted status, kill, stop, restart or down, got {what!r}"})
        elif child is None:
            names = ", ".join(child.name for child in self._children.all())
            peer.answer({"ok": False, "error": f"no process {request.get('name')!r}; there are {names}"})
        else:
            action(child, peer, request)

    def all_has_ended(self) -> None:
        """Answer those who asked for the end."""
        for peer in self._down_peers:
            peer.answer({"ok": True})

    def _kill(self, child: Child, peer: Peer, request: dict[str, object]) -> None:
        number = request.get("signal", int(signal.SIGKILL))
        if not isinstance(number, int) or not 0 < number < signal.NSIG:
            peer.answer({"ok": False, "error": f"signal: wanted a number, got {number!r}"})
            return
        sent = child.recorded is not None and child.recorded.signal(number)
        peer.answer({"ok": True, "sent": sent, "pid": child.pid})

    def _stop(self, child: Child, peer: Peer, request: dict[str, object]) -> None:
        child.wanted, child.restart_at = False, None
        self._children.end([child], signal.SIGINT if child.name == "database" else signal.SIGTERM)
        peer.answer({"ok": True, "pid": child.pid})

    def _restart(self, child: Child, peer: Peer, request: dict[str, object]) -> None:
        child.wanted = True
        child.waiting.append(peer)
        child.give_up_at = time.monotonic() + RESTART_GIVE_UP_S
        if child.state in ("starting", "ready"):
            child.restarting = True
            child.state = "ready"  # so that its end is taken as the end of the former one
            if child.recorded is not None:
                supervise.kill_families([child.recorded])
        else:
            child.restart_at = time.monotonic()

    def _status(self) -> dict[str, object]:
        """What runs, for `status`."""
        return {
            "since_s": round(time.monotonic() - self._since, 3),
            "processes": [child.shown() for child in self._children.all() if child.role != "bootstrap"],
        }
