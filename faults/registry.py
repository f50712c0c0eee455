"""Finding faults: every module in a folder of this package, and the entry points `squall.faults` of other packages.

One that cannot be loaded harms no other. It stays in the catalogue, unusable and with the reason, under the name of its
entry point (or folder and file): so that name should be the fault's.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import faults
from faults.fault import Fault
from harness import extensions

_NOT_FAULTS = {"proxy", "means"}
_found: dict[str, type[Fault]] = {}


def registered() -> dict[str, type[Fault]]:
    """Every fault by name, those that cannot be loaded among them (`Fault.unusable`). Imports all of them once."""
    if not _found:
        for folder in pkgutil.iter_modules(faults.__path__):
            if folder.ispkg and folder.name not in _NOT_FAULTS:
                package = importlib.import_module(f"faults.{folder.name}")
                for module in pkgutil.iter_modules(package.__path__):
                    _register_own(f"{folder.name}.{module.name}")
        for point in extensions.installed(extensions.FAULTS):
            _register_foreign(point)
    return _found


def register_module(module: ModuleType) -> str:
    """Register the concrete faults that are defined in `module` itself. Returns "" or what is wrong with them."""
    return "; ".join(filter(None, [register(kind) for kind in _faults_of(module)]))


def register(fault: Any) -> str:
    """Add one fault. Returns "" or why it was not: it is none, a word about it is missing, or its name is taken."""
    if not isinstance(fault, type) or not issubclass(fault, Fault):
        return f"wanted a class of faults.fault.Fault, got {fault!r:.80}"
    for attribute in ("name", "needs", "effect", "undo_text", "twin", "source"):
        if not getattr(fault, attribute, None):
            return f"{fault.__module__}.{fault.__qualname__} says no {attribute}"
    if left := sorted(getattr(fault, "__abstractmethods__", ())):
        return f"{fault.__module__}.{fault.__qualname__} has no {', '.join(left)}"
    other = _found.get(fault.name)
    if other is not None and other is not fault:
        return f"{fault.__module__} names its fault {fault.name}, as {other.__module__} does"
    _found[fault.name] = fault
    return ""


def fault_class(name: str) -> type[Fault]:
    """One fault, importing only its own module where the name says which: undo must not hang on foreign imports.

    Raises:  KeyError when there is none of this name, ImportError when it cannot be loaded.
    """
    if name not in _found:
        try:
            register_module(importlib.import_module(f"faults.{name}"))
        except ModuleNotFoundError:
            pass
    kind = _found[name] if name in _found else registered()[name]
    if kind.unusable:
        raise ImportError(kind.unusable)
    return kind


def _faults_of(module: ModuleType) -> list[type[Fault]]:
    """Its own, and not what several of them share: that has no name."""
    kinds = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Fault)]
    return [
        kind
        for kind in kinds
        if kind.__module__ == module.__name__ and (not inspect.isabstract(kind) or "name" in vars(kind))
    ]


def _register_own(name: str) -> None:
    """A file of ours; one without a fault holds what others share."""
    try:
        problem = register_module(importlib.import_module(f"faults.{name}"))
    except Exception as error:
        problem = extensions.why(error)
    if problem:
        _register_unusable(name, problem)


def _register_foreign(point: EntryPoint) -> None:
    loaded, problem = extensions.load(point)
    if isinstance(loaded, ModuleType):
        problem = register_module(loaded) if _faults_of(loaded) else f"there is no fault in module {loaded.__name__}"
    elif not problem:
        problem = register(loaded)
    if problem:
        _register_unusable(point.name, f"{problem} ({extensions.in_words(point)})")


def _register_unusable(name: str, problem: str) -> None:
    """A class that is there to be shown and refused: without its functions no object can be made of it."""
    free, number = name, 1
    while free in _found:
        number += 1
        free = f"{name} ({number})"
    said = {"name": free, "needs": (), "effect": f"CANNOT BE LOADED: {problem}"}
    _found[free] = type("Unusable", (Fault,), {**said, "unusable": f"cannot be loaded: {problem}"})
