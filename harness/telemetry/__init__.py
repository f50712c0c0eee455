"""Gauges of database, broker, cloud and client, and the Prometheus collector over them.

A source is one file with an async `read`; the sampler asks each once a second with a deadline of its own, so that a
hung database costs its own gauges and nothing else.
"""

from harness.telemetry.gauge import Gauge, Source
from harness.telemetry.sampler import Sampler

__all__ = ["Gauge", "Sampler", "Source"]
