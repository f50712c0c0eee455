"""The embedded PostgreSQL where its user cannot reach what we installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.emulator import postgres
from harness.emulator.settings import DatabaseSettings


def test_a_copy_of_the_binaries_runs_without_the_original(tmp_path: Path) -> None:
    found = postgres.find_binaries()
    first = postgres.copy_binaries(found.directory, tmp_path / "one" / "postgresql")
    copied = postgres.copy_binaries(first, tmp_path / "two" / "postgresql")
    shutil.rmtree(tmp_path / "one")
    for program in ("postgres", "initdb"):
        assert f" {found.major}." in subprocess.check_output([copied / program, "--version"], text=True)


def test_a_copy_is_kept_and_one_of_another_version_replaced(tmp_path: Path) -> None:
    found = postgres.find_binaries().directory
    to = tmp_path / "postgresql"
    (to / "older" / "bin").mkdir(parents=True)
    copied = postgres.copy_binaries(found, to)
    assert (copied / "initdb").exists()
    assert not (to / "older").exists()
    (to / "mark").touch()
    assert postgres.copy_binaries(found, to) == copied
    assert (to / "mark").exists()


def test_a_copy_made_under_a_strict_umask_is_open_to_the_servers_user(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        copied = postgres.copy_binaries(postgres.find_binaries().directory, tmp_path / "postgresql")
    finally:
        os.umask(before)
    assert (copied / "postgres").stat().st_mode & 0o005 == 0o005
    assert copied.stat().st_mode & 0o005 == 0o005


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the server to another user")
def test_root_in_a_closed_home_gets_a_cluster_and_leaves_none_that_failed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    found = postgres.find_binaries()
    binaries = postgres.Binaries(postgres.copy_binaries(found.directory, home / "postgresql"), found.major)
    settings = DatabaseSettings(password="secret", port=5432, server_port=5432)
    place = postgres.prepare(home, binaries, ephemeral=True)
    try:
        assert not place.binaries.is_relative_to(home)
        assert postgres.initialise(place, settings, tmp_path / "log")
    finally:
        place.remove()
    place = postgres.prepare(home, binaries, ephemeral=True)
    (place.binaries / "initdb").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(postgres.PostgresUnavailable, match="initdb failed"):
        postgres.initialise(place, settings, tmp_path / "log")
    assert not place.directory.exists()
