"""Feast's run-time type checks, each made when its function is first called.

Feast decorates its classes with typeguard's `typechecked`, which parses and compiles a whole
module again for every method, 240 times: two thirds of what `import feast` takes. A process calls
few of them. What is checked stays the same; classes of other packages are left to typeguard.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import isclass, isfunction
from types import ModuleType
from typing import Any

Decorator = Callable[..., Any]
_TYPEGUARD = "typeguard"


def defer() -> None:
    """Make Feast's checks at the first call in this process; before Feast is imported."""
    if loaded := sys.modules.get(_TYPEGUARD):
        _replace(loaded)
    else:
        sys.meta_path.insert(0, _Finder())


def deferred(target: type, typechecked: Decorator) -> type:
    """The class, with every annotated method of its own to be decorated at its first call."""
    for name, member in list(vars(target).items()):
        if isinstance(member, classmethod | staticmethod):
            if _is_checked(member.__func__, target):
                setattr(target, name, type(member)(_at_first_call(member.__func__, typechecked)))
        elif isinstance(member, property):
            setattr(target, name, _deferred_property(member, target, typechecked))
        elif _is_checked(member, target):
            setattr(target, name, _at_first_call(member, typechecked))
    return target


def _deferred_property(member: property, target: type, typechecked: Decorator) -> property:
    def defer_part(part: Decorator | None) -> Decorator | None:
        return _at_first_call(part, typechecked) if part and _is_checked(part, target) else part

    fget, fset, fdel = (defer_part(part) for part in (member.fget, member.fset, member.fdel))
    return property(fget, fset, fdel, member.__doc__)


def _is_checked(member: object, target: type) -> bool:
    """Whether typeguard would check it: a function written in the class, and not wrapped."""
    return (
        isfunction(member)
        and member.__qualname__.startswith(f"{target.__qualname__}.")
        and not hasattr(member, "__wrapped__")
    )


def _at_first_call(function: Decorator, typechecked: Decorator) -> Decorator:
    checked: Decorator | None = None

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = typechecked(function)
        return checked(*args, **kwargs)

    return call


def _replace(typeguard: ModuleType) -> None:
    typechecked = typeguard.typechecked

    @wraps(typechecked)
    def choose(target: Any = None, **options: Any) -> Any:
        if isclass(target) and not options and target.__module__.startswith("feast."):
            return deferred(target, typechecked)
        return typechecked(target, **options)

    typeguard.typechecked = choose  # type: ignore[attr-defined]  # a module's own name


class _Finder(MetaPathFinder):
    """Waits for typeguard, which is not worth importing where Feast is not."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _TYPEGUARD:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _replace(module)
