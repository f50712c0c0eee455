"""Ports for what a test starts beside itself."""

import random
import socket

from harness.emulator.settings import CONVENTIONAL_PORTS


def free_port_base() -> int:
    """A base whose five API ports nobody listens on, below the kernel's range for outgoing connections."""
    dice = random.SystemRandom()
    while True:
        base = dice.randrange(15_000, 22_000)
        try:
            for port in CONVENTIONAL_PORTS.values():
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + port))
        except OSError:
            continue
        return base
