"""Finding faults: every module in a folder of this package, and the entry points `squall.faults` of other packages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

import faults
from faults.fault import Fault

_NOT_FAULTS = {"proxy", "means"}
_found: dict[str, type[Fault]] = {}


def registered() -> dict[str, type[Fault]]:
    """Every fault by name. Imports all of them once.

    Raises:  ImportError when one cannot be imported, TypeError when two share a name.
    """
    if not _found:
        for folder in pkgutil.iter_modules(faults.__path__):
            if folder.ispkg and folder.name not in _NOT_FAULTS:
                package = importlib.import_module(f"faults.{folder.name}")
                for module in pkgutil.iter_modules(package.__path__):
                    register_module(importlib.import_module(f"{package.__name__}.{module.name}"))
        for entry in entry_points(group="squall.faults"):
            loaded = entry.load()
            if isinstance(loaded, ModuleType):
                register_module(loaded)
            else:
                register(loaded)
    return _found


def register_module(module: ModuleType) -> None:
    """Register the concrete faults that are defined in `module` itself."""
    for value in vars(module).values():
        if not isinstance(value, type) or not issubclass(value, Fault) or inspect.isabstract(value):
            continue
        if value.__module__ == module.__name__:
            register(value)


def register(fault: type[Fault]) -> None:
    """Add one fault.  Raises TypeError when its name is taken or a word about it is missing."""
    for attribute in ("name", "needs", "effect", "undo_text", "twin", "source"):
        if not getattr(fault, attribute, None):
            raise TypeError(f"{fault.__module__}.{fault.__qualname__} says no {attribute}")
    other = _found.get(fault.name)
    if other is not None and other is not fault:
        raise TypeError(f"two faults are named {fault.name}: {other.__module__} and {fault.__module__}")
    _found[fault.name] = fault


def fault_class(name: str) -> type[Fault]:
    """One fault, importing only its own module where the name says which: undo must not hang on foreign imports."""
    if name not in _found:
        try:
            register_module(importlib.import_module(f"faults.{name}"))
        except ModuleNotFoundError:
            pass
    return _found[name] if name in _found else registered()[name]
