"""The direction of imports is the architecture: `cli -> engine -> {swarm, faults, checkers} -> cloud -> core`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("harness", "faults", "reports", "locustfiles")

# Part of the tree -> parts it may import, besides itself. The longest matching name counts.
MAY_IMPORT: dict[str, set[str]] = {
    "harness.core": set(),
    "harness.wire": set(),
    "harness.control": {"harness.core"},
    "harness.rundir": {"harness.core"},
    "harness.unfinished": {"harness.core", "harness.rundir"},
    "harness.extensions": set(),
    "harness.fingerprint": {"harness.extensions"},
    "harness.progress": set(),
    "harness.shared_memory": set(),
    "harness.supervise": {"harness.shared_memory"},
    "harness.experiment": {"harness.core"},
    "harness.plan": {"harness.core", "harness.experiment", "faults"},
    "harness.telemetry": {"harness.core"},
    "harness.emulator": {"harness.wire", "harness.supervise"},
    "harness.cloud": {"harness.core", "harness.rundir"},
    "harness.swarm": {
        *("harness.core", "harness.rundir", "harness.control", "harness.extensions", "harness.cloud", "locustfiles"),
    },
    "harness.checkers": {"harness.core", "harness.rundir", "harness.extensions"},
    "faults": {"harness.core", "harness.control", "harness.extensions", "harness.wire", "harness.supervise"},
    "reports": {"harness.core", "harness.rundir"},
    "locustfiles": {"harness.core", "harness.cloud", "harness.swarm"},
    "harness.children": {"harness.supervise"},
    "harness.interrupts": set(),
    "harness.conversation": {"harness.children", "harness.control", "harness.experiment", "harness.progress"},
    "harness.targets": {"faults", "harness.experiment", "harness.telemetry"},
    "harness.venue": {
        *("faults", "harness.core", "harness.emulator", "harness.telemetry", "harness.experiment", "harness.cloud"),
        *("harness.targets", "harness.supervise"),
    },
    "harness.commands": {"harness", "faults", "reports"},
    "harness.engine": {"harness", "faults"},
    "harness.cli": {"harness", "faults", "reports"},
}
FOREIGN = {  # library -> the only parts that may import it
    "locust": {"harness.swarm", "locustfiles"},
    "gevent": {"harness.swarm"},
    "openstack": {"harness.cloud"},
    "docker": {"faults"},
    "pandas": {"reports", "harness.checkers"},
    "falcon": {"harness.emulator"},
    "asyncio": {"harness.emulator", "harness.telemetry", "harness.venue", "faults"},
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(), str(path))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            assert node.module is not None
            yield node.module


def _part(module: str) -> str:
    known = [part for part in MAY_IMPORT if module == part or module.startswith(part + ".")]
    return max(known, key=len) if known else module


@pytest.mark.parametrize(("name", "tree"), [pytest.param(name, tree, id=name) for name, tree in _modules()])
def test_imports_point_inwards(name: str, tree: ast.Module) -> None:
    part = _part(name)
    assert part in MAY_IMPORT or part == "harness", f"{name}: say in MAY_IMPORT what it may import"
    for imported in _imported(tree):
        top = imported.split(".")[0]
        if top in FOREIGN:
            assert any(part == p or part.startswith(p + ".") for p in FOREIGN[top]), (
                f"{name} must not import {imported}"
            )
        if top not in PACKAGES:
            continue
        target = _part(imported)
        allowed = MAY_IMPORT[part] | {part, "harness"}
        assert target in allowed or any(target.startswith(a + ".") for a in MAY_IMPORT[part]), (
            f"{name} ({part}) must not import {imported} ({target})"
        )
