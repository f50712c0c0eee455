"""Secrets by reference: a target names the file or environment variable that holds one, records name a file only."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import msgspec

from faults.errors import TargetUnfit
from faults.places import private_directory


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: `file` (its first line, or with `key`, "database.password", a value of JSON) or `env`."""

    file: str = ""
    key: str = ""
    env: str = ""

    def read(self) -> str:
        """The secret.

        Raises:  TargetUnfit saying what is missing, never showing content.
        """
        if self.env:
            value = os.environ.get(self.env)
            if not value:
                raise TargetUnfit(f"environment variable {self.env} is not set")
            return value
        try:
            text = Path(self.file).read_text(encoding="utf-8")
        except OSError as error:
            raise TargetUnfit(f"secret file {self.file}: {error.strerror}") from error
        if not self.key:
            return text.split("\n", 1)[0].strip()
        try:
            value = json.loads(text)
            for part in self.key.split("."):
                value = value[part]
        except (ValueError, KeyError, TypeError):
            raise TargetUnfit(f"secret file {self.file}: no {self.key} in it") from None
        return str(value)

    def lasting(self) -> Secret:
        """The same secret where a later process finds it: one from the environment is put into a file (0600)."""
        if not self.env:
            return self
        value = self.read()
        name = hashlib.sha256(value.encode()).hexdigest()[:16]
        path = private_directory("secrets") / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value + "\n")
        return Secret(file=str(path))
