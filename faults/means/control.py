"""A client of the fault proxy's control, with a deadline on everything."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote

from faults.secret import Secret
from faults.targets import split_address

TIMEOUT_S = 5.0


class ControlRefused(Exception):
    """The proxy answered with an error; `status` is its HTTP status. Nothing changed there."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"proxy control answered {status}: {message}")
        self.status = status


class ProxyControl:
    """One proxy's control. Every call raises OSError (TimeoutError among them) when the proxy cannot be reached."""

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
            headers = {"Authorization": f"Bearer {self._token.read()}", "Connection": "close"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.address}: {type(error).__name__}") from error
        finally:
            connection.close()
        answer = json.loads(text) if text else None
        if response.status >= 400:
            raise ControlRefused(response.status, str((answer or {}).get("error", "")))
        return answer

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
