"""The bundled cloud, whole, once."""

from tests.emulator.conftest import cloud

__all__ = ["cloud"]
