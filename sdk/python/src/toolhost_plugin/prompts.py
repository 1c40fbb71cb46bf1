"""Conversations to begin with, and what their arguments could be.

@prompt
def review(code: str, language: Literal["Python", "Rust"] = "Python") -> list[Message]:
    \"\"\"Has code reviewed.\"\"\"
    return [Message("user", f"Review this {language} code."), Message("user", code)]

@completes("review", "language")
def languages(typed: str) -> list[str]:
    return ["Python", "Rust"]
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Iterable, Mapping, TypeVar, overload

from . import _registry
from ._codec import Mismatch
from ._content import Icon, icons
from ._errors import InvalidArguments
from ._functions import NAME, Function, locals_of_caller
from ._session import Message

__all__ = ["Message", "completes", "prompt"]

F = TypeVar("F", bound=Callable[..., Any])

_MOST = 100
"""MCP's limit of suggestions."""


class Prompt:
    def __init__(self, function: Function, name: str, title: str | None, icons: tuple[Icon, ...]) -> None:
        self.function = function
        self.name = name
        self.title = title
        self.icons = icons

    @property
    def description(self) -> str | None:
        return self.function.docs.description or None

    def arguments(self) -> list[tuple[str, str | None, bool]]:
        """Name, description, and whether it must be given."""
        return [(member.json_name, member.description, member.required) for member in self.function.arguments.members]

    def call(self, texts: Mapping[str, str]) -> list[Message]:
        try:
            values = self.function.decode_texts(texts)
        except Mismatch as error:
            raise InvalidArguments(str(error)) from error
        result = self.function.call(values)
        if not isinstance(result, (list, tuple)):
            result = [result]
        return [item if isinstance(item, Message) else Message("user", item) for item in result]


@overload
def prompt(function: F, /) -> F: ...


@overload
def prompt(
    *, name: str | None = None, title: str | None = None, icon: str | Icon | Iterable[str | Icon] | None = None
) -> Callable[[F], F]: ...


def prompt(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    icon: str | Icon | Iterable[str | Icon] | None = None,
) -> F | Callable[[F], F]:
    """Makes a prompt of a function. It returns what the user says, or a list of messages. Its arguments come as text, and are
    read as their types."""
    local_names = locals_of_caller(1)

    def register(function: F) -> F:
        read = Function(function, local_names)
        prompt_name = name or function.__name__
        if not NAME.fullmatch(prompt_name):
            raise ValueError(
                f"{read.where}: {prompt_name!r} cannot be the name of a prompt: it may have letters, digits, `_` and `-`"
            )
        _registry.prompts.add(prompt_name, Prompt(read, prompt_name, title, icons(icon)), read)
        return function

    return register if function is None else register(function)


def completes(of: str, argument: str) -> Callable[[F], F]:
    """A function that suggests values for an argument of a prompt, or for a variable of a resource template: it takes what is
    typed so far, and perhaps the arguments that are known already. Those that do not begin with what is typed are left out."""

    def register(function: F) -> F:
        _registry.completions[(of, argument)] = function
        return function

    return register


def complete(of: str, argument: str, typed: str, others: Mapping[str, str]) -> tuple[list[str], int | None]:
    function = _registry.completions.get((of, argument))
    if function is None:
        return [], None
    takes_others = len(inspect.signature(function).parameters) > 1
    values = [str(value) for value in (function(typed, dict(others)) if takes_others else function(typed))]
    values = [value for value in values if value.lower().startswith(typed.lower())]
    return values[:_MOST], len(values)
