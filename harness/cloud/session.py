"""A connection to one cloud at one client level.

`stock` is plain openstacksdk on requests: the reference. `adapter` is the same SDK on our transport, with auth headers,
endpoints and user agent kept ready: `connection.compute.get(...)` at the price of the wire. Both answer with the same
bytes; the level stands in every report. Anything unusual falls through to openstacksdk and keystoneauth unchanged.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions
import openstack
import requests.exceptions
import yaml
from keystoneauth1 import session as keystone_session
from openstack.config import OpenStackConfig

from harness.cloud.errors import CloudError
from harness.cloud.transport import Deadlines, FixedHeaders, Transport

LEVELS = ("stock", "adapter")
TOKEN_RECHECK_S = 1.0
ENDPOINT_RECHECK_S = 60.0
_PLAIN_ARGUMENTS = frozenset({"json", "data", "params", "headers", "microversion", "timeout", "stream"})
_REDIRECTS = frozenset({301, 302, 303, 305, 307, 308})


class Cloud:
    """A connection at a level. Make it with `connect`; share it among all users of one identity.

    sdk: the openstacksdk Connection, for what the verbs do not cover.
    """

    def __init__(self, sdk: Any, *, name: str, level: str, region: str | None) -> None:
        self.sdk = sdk
        self.name, self.level, self.region = name, level, region
        self._proxies: dict[str, Any] = {}
        self._microversions: dict[tuple[str, str], str | None] = {}
        self._lock = threading.Lock()

    @property
    def project_id(self) -> str:
        """The project this connection is scoped to.  Raises keystoneauth's exceptions when it cannot log in."""
        return str(self.sdk.session.get_project_id())

    @property
    def user_id(self) -> str:
        return str(self.sdk.session.get_user_id())

    def proxy(self, service: str) -> Any:
        """openstacksdk's proxy of a service ("compute"), made fast where the level is; logs in on first use.

        Raises: keystoneauth's and openstacksdk's exceptions when the service is not in the catalog or cannot be asked.
        """
        found = self._proxies.get(service)
        if found is None:
            with self._lock:
                found = getattr(self.sdk, service)
                # A service without its own SDK code (placement's only has a few) still has an adapter.
                if self.level == "adapter":
                    accelerate(found)
                self._proxies[service] = found
        return found

    def endpoint(self, service: str) -> str | None:
        """The URL a service is reached at, by catalog and configuration.  Raises as `proxy` does."""
        return endpoint_of(self.proxy(service))

    def microversion(self, service: str, wanted: str) -> str | None:
        """The highest microversion up to `wanted` that the service offers; None where it has none."""
        key = (service, wanted)
        if key not in self._microversions:
            data = self.proxy(service).get_endpoint_data()
            highest = data.max_microversion if data is not None else None
            if not highest:
                self._microversions[key] = None
            else:
                asked = tuple(int(part) for part in wanted.split("."))
                self._microversions[key] = ".".join(str(part) for part in min(asked, tuple(highest)))
        return self._microversions[key]

    def drop_caches(self) -> None:
        """Forget headers and endpoints: after a fault began or ended, the cloud may have moved."""
        for proxy in self._proxies.values():
            if isinstance(proxy, FastProxy):
                proxy.drop_caches()

    def close(self) -> None:
        self.sdk.close()


def connect(
    cloud_name: str | None,
    *,
    level: str = "adapter",
    region: str | None = None,
    timeout_s: float | None = None,
    clouds_file: str | None = None,
) -> Cloud:
    """Connect to an entry of clouds.yaml, found by openstacksdk's own rules (OS_CLIENT_CONFIG_FILE, ...).

    Nothing is sent before the first use. timeout_s bounds each request that brings no timeout of its own. clouds_file
    is the one file to look in, whatever the environment says.
    Raises: CloudError for an unknown level or entry, with what was found instead.
    """
    if level not in LEVELS:
        raise CloudError(f"client level: wanted one of {', '.join(LEVELS)}, got {level!r}")
    if named := clouds_file or os.environ.get("OS_CLIENT_CONFIG_FILE"):
        _check_file(Path(named), is_told=clouds_file is None)
    try:
        config = OpenStackConfig(
            config_files=None if clouds_file is None else [clouds_file],
            load_envvars=clouds_file is None,
            session_constructor=_fast_session if level == "adapter" else None,
        )
    except (openstack.exceptions.ConfigException, yaml.YAMLError, OSError) as error:
        raise CloudError(f"clouds.yaml cannot be read: {' '.join(str(error).split())}") from error
    try:
        cloud_region = config.get_one(cloud=cloud_name, region_name=region)
    except openstack.exceptions.ConfigException as error:
        known = ", ".join(sorted(config.get_cloud_names())) or "none"
        files = config.config_filename or "no clouds.yaml found; name one: export OS_CLIENT_CONFIG_FILE=..."
        raise CloudError(f"{str(error).rstrip('.')}; clouds known: {known} ({files})") from error
    if timeout_s is not None:
        cloud_region.config.setdefault("api_timeout", timeout_s)
        if cloud_region.config["api_timeout"] is None:
            cloud_region.config["api_timeout"] = timeout_s
    sdk = openstack.connection.Connection(config=cloud_region)
    return Cloud(sdk, name=cloud_name or cloud_region.name, level=level, region=cloud_region.region_name)


def _check_file(path: Path, *, is_told: bool) -> None:
    """openstacksdk passes over a clouds.yaml that it cannot read, and then knows no cloud.

    Args: is_told: the environment names it. Raises: CloudError with file, line, wanted and got.
    """
    why = f"{path}{' (from OS_CLIENT_CONFIG_FILE)' if is_told else ''}"
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise CloudError(f"{why}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CloudError(f"{why}: wanted UTF-8 text; got byte {error.object[error.start]:#x}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise CloudError(f"{why}: {line}not YAML: {getattr(error, 'problem', None) or error}") from error
    clouds = document.get("clouds") if isinstance(document, dict) else None
    if not isinstance(clouds, dict):
        raise CloudError(f"{why}: wanted a key 'clouds' with the clouds by name; got {type(document).__name__}")
    for name, entry in clouds.items():
        auth = entry.get("auth", {}) if isinstance(entry, dict) else None
        if not isinstance(auth, dict) or not isinstance(auth.get("auth_url", ""), str):
            raise CloudError(f"{why}: cloud '{name}': wanted 'auth' with auth_url and more; got {type(entry).__name__}")


def auth_url(name: str, clouds_file: str | None = None) -> str | None:
    """Where users of an entry of clouds.yaml log in; None when it does not say, or cannot be read."""
    try:
        config = OpenStackConfig(
            config_files=None if clouds_file is None else [clouds_file], load_envvars=clouds_file is None
        )
        found = config.get_one(cloud=name).config.get("auth", {}).get("auth_url")
    except (openstack.exceptions.ConfigException, yaml.YAMLError, OSError):
        return None
    return str(found) if found else None


def endpoint_of(proxy: Any) -> str | None:
    """An adapter's endpoint. The identity proxy's own `get_endpoint` is something else: one of Keystone's resources."""
    found = openstack.proxy.Proxy.get_endpoint(proxy)
    return None if found is None else str(found)


def accelerate(proxy: Any) -> None:
    """Give one openstacksdk proxy the fast request path; without effect on what is none."""
    kind = type(proxy)
    if isinstance(proxy, FastProxy) or not isinstance(proxy, openstack.proxy.Proxy):
        return
    proxy.__class__ = _FAST_CLASSES.setdefault(kind, type(f"Fast{kind.__name__}", (FastProxy, kind), {}))
    proxy.drop_caches()


def _fast_session(**options: Any) -> keystone_session.Session:
    """keystoneauth's Session on our transport; `session=` is its documented way to bring one."""
    timeout = options.get("timeout")
    deadlines = Deadlines() if not timeout else Deadlines().narrowed(float(timeout))
    return keystone_session.Session(session=Transport(deadlines), **options)


class FastProxy:
    """Mixed into an openstacksdk Proxy: `request` for the plain case, everything else is left to the class below."""

    _fast_headers: dict[tuple[str | None, bool], FixedHeaders]
    _fast_base: str
    _fast_base_until: float
    _fast_auth: dict[str, str]
    _fast_token_until: float

    def drop_caches(self) -> None:
        self._fast_headers = {}
        self._fast_base, self._fast_auth = "", {}
        self._fast_base_until = self._fast_token_until = 0.0

    def request(
        self,
        url: str,
        method: str,
        error_message: str | None = None,
        raise_exc: bool = False,
        connect_retries: int | None = None,
        global_request_id: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        proxy: Any = self
        if (
            connect_retries
            or global_request_id
            or args
            or not _PLAIN_ARGUMENTS.issuperset(kwargs)
            or "://" in url
            or not _is_plain(proxy)
        ):
            options = {"connect_retries": connect_retries, "global_request_id": global_request_id, **kwargs}
            return super().request(url, method, error_message, raise_exc, *args, **options)  # type: ignore[misc]
        session = proxy.session
        try:
            response = self._send(session, url, method, kwargs)
        except requests.exceptions.RequestException as error:
            self.drop_caches()
            raise _as_keystoneauth(error, url) from error
        status = response.status_code
        if status == 401 or status in _REDIRECTS:
            # Rare enough for the long way: it fetches a new token, or follows, and then answers as it should.
            self.drop_caches()
            if status == 401:
                session.invalidate()
            return super().request(url, method, error_message, raise_exc, **kwargs)  # type: ignore[misc]
        if raise_exc and status >= 400:
            raise keystoneauth1.exceptions.from_response(response, method, url)
        return response

    def _send(self, session: Any, url: str, method: str, kwargs: dict[str, Any]) -> Any:
        proxy: Any = self
        now = time.monotonic()
        if now >= self._fast_token_until:
            auth_headers = session.get_auth_headers() or {}
            if auth_headers != self._fast_auth:
                self._fast_auth, self._fast_headers = auth_headers, {}
            self._fast_token_until = now + TOKEN_RECHECK_S
        if now >= self._fast_base_until:
            self._fast_base = str(endpoint_of(proxy)).rstrip("/")
            self._fast_base_until = now + ENDPOINT_RECHECK_S
        microversion = kwargs.get("microversion") or proxy.default_microversion
        json = kwargs.get("json")
        key = (microversion, json is not None)
        headers: Any = self._fast_headers.get(key)
        if headers is None:
            headers = self._fast_headers[key] = self._headers(microversion, json is not None)
        extra = kwargs.get("headers")
        if extra:
            headers = {**headers, **extra}
        return session.session.request(
            method,
            f"{self._fast_base}/{url.lstrip('/')}",
            params=kwargs.get("params"),
            data=kwargs.get("data"),
            headers=headers,
            json=json,
            timeout=kwargs.get("timeout") or session.timeout,
            verify=session.verify,
            cert=session.cert,
            stream=kwargs.get("stream", False),
        )

    def _headers(self, microversion: str | None, has_json: bool) -> FixedHeaders:
        proxy: Any = self
        session = proxy.session
        headers = {"Accept": "application/json", "User-Agent": _user_agent(session), **self._fast_auth}
        if has_json:
            headers["Content-Type"] = "application/json"
        if microversion:
            # The same words keystoneauth uses for each service; its own function for them is private.
            kind = "volume" if proxy.service_type in ("block-storage", "volumev3") else proxy.service_type
            headers["OpenStack-API-Version"] = f"{kind} {microversion}"
            if kind == "compute":
                headers["X-OpenStack-Nova-API-Version"] = microversion
        headers.update(session.additional_headers)
        headers.update(proxy.additional_headers)
        return FixedHeaders(headers)


_FAST_CLASSES: dict[type, type] = {}


def _is_plain(proxy: Any) -> bool:
    """Whether nothing is configured on this proxy that the fast path would leave out."""
    connection = proxy._get_connection()
    return not (
        proxy.auth
        or proxy.allow
        or proxy.global_request_id
        or _is_limited(proxy._rate_semaphore)
        or proxy._statsd_client
        or proxy._influxdb_client
        or proxy._prometheus_counter
        or proxy.status_code_retries
        or proxy.connect_retries
        or proxy.session.original_ip
        or (connection is not None and (connection.cache_enabled or connection._global_request_id))
    )


def _is_limited(semaphore: Any) -> bool:
    """Whether clouds.yaml sets a rate or a concurrency: keystoneauth makes a semaphore either way, open without."""
    return bool(getattr(semaphore, "_concurrency", None) or getattr(semaphore, "_rate_delay", 1.0))


def _user_agent(session: Any) -> str:
    parts = [f"{session.app_name}/{session.app_version}"] if session.app_name and session.app_version else []
    parts += ["/".join(pair) for pair in session.additional_user_agent]
    return " ".join(["squall", *parts, keystone_session.DEFAULT_USER_AGENT])


def _as_keystoneauth(error: requests.exceptions.RequestException, url: str) -> Any:
    """The exception keystoneauth raises for this one, so that callers cannot tell the levels apart."""
    if isinstance(error, requests.exceptions.SSLError):
        return keystoneauth1.exceptions.SSLError(f"SSL exception connecting to {url}: {error}")
    if isinstance(error, requests.exceptions.Timeout):
        return keystoneauth1.exceptions.ConnectTimeout(f"Request to {url} timed out")
    if isinstance(error, requests.exceptions.ConnectionError):
        return keystoneauth1.exceptions.ConnectFailure(f"Unable to establish connection to {url}: {error}")
    return keystoneauth1.exceptions.UnknownConnectionError(f"Unexpected exception for {url}: {error}", error)
