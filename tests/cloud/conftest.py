"""A small cloud, and a connection to it at each level."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cloud.api import Api
from harness.cloud.session import LEVELS, Cloud, connect
from tests.cloud.small_cloud import SmallCloud, small_cloud, write_clouds_yaml


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCloud]:
    with small_cloud() as cloud:
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(write_clouds_yaml(cloud, tmp_path)))
        yield cloud


@pytest.fixture(params=LEVELS)
def connection(request: pytest.FixtureRequest, small: SmallCloud) -> Iterator[Cloud]:
    cloud = connect("small", level=request.param, timeout_s=10)
    yield cloud
    cloud.close()


@pytest.fixture
def fast(small: SmallCloud) -> Iterator[Cloud]:
    cloud = connect("small", timeout_s=10)
    yield cloud
    cloud.close()


@pytest.fixture
def api(fast: Cloud) -> Api:
    return Api(fast)
