"""Locust: user classes, open-loop pacer, recorder, web UI. The only package that may import locust."""

# Locust replaces the standard library's blocking calls as it is imported: before anything else here opens a socket.
import locust as _locust  # noqa: F401
