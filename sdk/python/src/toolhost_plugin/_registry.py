"""The registered tools, prompts and resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Generic, Iterator, TypeVar

if TYPE_CHECKING:
    from ._functions import Function
    from ._tool import Tool
    from .prompts import Prompt
    from .resources import Provided

T = TypeVar("T")


class Registry(Generic[T]):
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._offered: dict[str, tuple[T, Function]] = {}

    def add(self, name: str, offered: T, function: Function) -> None:
        known = self._offered.get(name)
        # A module that is loaded again replaces what it offered.
        if known and _identity(known[1]) != _identity(function):
            raise ValueError(f"two {self.kind}s are called `{name}`: {known[1].where} and {function.where}")
        self._offered[name] = (offered, function)

    def __iter__(self) -> Iterator[T]:
        return (offered for offered, _ in self._offered.values())

    def __len__(self) -> int:
        return len(self._offered)

    def get(self, name: str) -> T | None:
        known = self._offered.get(name)
        return known[0] if known else None

    def of(self, function: Callable[..., Any]) -> T | None:
        """What this function is, if it is one of them."""
        for offered, known in self._offered.values():
            if known.function is function:
                return offered
        return None


def _identity(function: Function) -> tuple[str, str]:
    return function.function.__module__, function.function.__qualname__


tools: Registry[Tool] = Registry("tool")
prompts: Registry[Prompt] = Registry("prompt")
resources: Registry[Provided] = Registry("resource")
listings: list[Callable[[], Any]] = []
completions: dict[tuple[str, str], Callable[..., Any]] = {}
