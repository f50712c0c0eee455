"""Clients of the controls of the fault proxy and of the bundled cloud's processes, with a deadline on everything."""

from __future__ import annotations

import http.client
import json
from typing import Any, ClassVar
from urllib.parse import quote

from faults.secret import Secret
from faults.targets import split_address

TIMEOUT_S = 5.0


class ControlRefused(Exception):
    """A control answered with an error; `status` is its HTTP status. Nothing changed there."""

    def __init__(self, whose: str, status: int, message: str) -> None:
        super().__init__(f"{whose} control answered {status}: {message}")
        self.status = status


class Control:
    """One control. Every call raises OSError (TimeoutError among them) when it cannot be reached."""

    whose: ClassVar[str]

    def __init__(self, address: str, token: Secret) -> None:
        self.address = address
        self._token = token

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request; the answer's JSON, None when it has none.

        Raises:  ControlRefused, OSError, TargetUnfit when the token cannot be read.
        """
        host, port = split_address(self.address) or ("", 0)
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            connection.connect()  # before the token is read: of a cloud that is gone, its file is gone too
            headers = {**self._shown(self._token.read()), "Connection": "close"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.address}: {type(error).__name__}") from error
        finally:
            connection.close()
        answer = json.loads(text) if text else None
        if response.status >= 400:
            raise ControlRefused(self.whose, response.status, str((answer or {}).get("error", "")))
        return answer

    @staticmethod
    def _shown(token: str) -> dict[str, str]:
        """The header that shows the token."""
        raise NotImplementedError


class ProxyControl(Control):
    """A fault proxy's."""

    whose = "proxy"

    @staticmethod
    def _shown(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def link(self, name: str) -> dict[str, Any]:
        """The link as Toxiproxy's JSON."""
        return dict(self.call("GET", f"/proxies/{quote(name, safe='')}"))

    def add_toxic(self, link: str, toxic: dict[str, Any]) -> None:
        """Put a toxic on."""
        self.call("POST", f"/proxies/{quote(link, safe='')}/toxics", toxic)

    def remove_toxic(self, link: str, name: str) -> None:
        """Take a toxic off; nothing happens when it, or the link, is not there."""
        try:
            self.call("DELETE", f"/proxies/{quote(link, safe='')}/toxics/{quote(name, safe='')}")
        except ControlRefused as refused:
            if refused.status != 404:
                raise

    def renew(self, controller: str) -> None:
        """Heartbeat: the leases of `controller` run anew."""
        self.call("POST", f"/leases/{quote(controller, safe='')}", {})


class EmulatorControl(Control):
    """That of one process of the bundled cloud: its truth switches."""

    whose = "emulator"

    @staticmethod
    def _shown(token: str) -> dict[str, str]:
        return {"X-Squall-Token": token}

    def switches(self) -> dict[str, float]:
        """All of them, with their probabilities."""
        return dict(self.call("GET", "/__squall/truth"))

    def turn(self, switch: str, probability: float, *, lease_s: float | None = None) -> None:
        """Turn one; with a lease only for so long, unless it is renewed."""
        lease = {} if lease_s is None else {"lease_s": lease_s}
        self.call("PUT", "/__squall/truth", {switch: probability, **lease})

    def renew(self, lease_s: float) -> None:
        """Let a lease run anew; nothing happens when there is none."""
        self.call("PUT", "/__squall/truth", {"lease_s": lease_s})
