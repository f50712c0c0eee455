"""The bundled cloud as the scripts find it: as fresh, as small and as fast as it can be."""

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings
from tests.conformance.play import Access


def settings() -> Settings:
    made = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=2))
    made.database.fsync = False
    return made


def access(cloud: EmbeddedCloud) -> Access:
    """How its administrator gets in."""
    return Access(cloud.settings.auth_url, cloud.settings.admin_password)
