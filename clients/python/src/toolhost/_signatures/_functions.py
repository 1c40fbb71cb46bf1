"""Registered functions: their signatures as JSON objects, and how they are called."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any, Callable, Coroutine, Mapping, TypeVar

from . import _docstrings
from ._codec import NO_DEFAULT, Mismatch, Schema, schema_of
from ._composites import Member, ObjectCodec
from ._types import Builder, Unsupported

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Function:
    """A documented function with type hints, read when it is first needed: its hints may name what is defined after it."""

    def __init__(self, function: Callable[..., Any], local_names: Mapping[str, Any] | None) -> None:
        if not callable(function) or not hasattr(function, "__name__"):
            raise TypeError(f"{function!r} is not a function: define one by `def` that calls it")
        self.function = function
        self.docs = _docstrings.parse(inspect.getdoc(function))
        self.local_names = local_names
        self.where = (
            f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
            if hasattr(function, "__code__")
            else ""
        )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{self.where}: `{function.__name__}` yields: return a list, and tell of progress by `progress`"
            )
        self._read: tuple[ObjectCodec, Any, Builder] | None = None

    def _signature(self) -> tuple[ObjectCodec, Any, Builder]:
        if self._read is None:
            self._read = self._read_signature()
        return self._read

    def _read_signature(self) -> tuple[ObjectCodec, Any, Builder]:
        name = self.function.__name__
        types = Builder(self.function.__module__, self.local_names)
        try:
            hints = types.hints(self.function)
            members = [
                self._member(types, parameter, hints)
                for parameter in inspect.signature(self.function).parameters.values()
            ]
        except Unsupported as error:
            raise TypeError(f"{self.where}: `{name}`: {error}") from None
        arguments = ObjectCodec(members, lambda values: values, dict)
        return arguments, hints.get("return", inspect.Signature.empty), types

    def _member(self, types: Builder, parameter: inspect.Parameter, hints: dict[str, Any]) -> Member:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise Unsupported(f"`{parameter}` has no schema: name each argument, or take a list or a dict")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise Unsupported(f"`{parameter.name}` is positional only, and arguments come by name: leave out the `/`")
        if parameter.name == "self" and parameter.annotation is inspect.Parameter.empty:
            raise Unsupported("a method cannot be a tool, as there is no object to call it on: use a function")
        default = parameter.default
        required = default is inspect.Parameter.empty
        said = self.docs.arguments.get(parameter.name)
        try:
            hint = hints.get(parameter.name, Any)
            return types.member(parameter.name, hint, required, said, NO_DEFAULT if required else default)
        except Unsupported as error:
            raise Unsupported(f"argument `{parameter.name}`: {error}") from None

    @property
    def arguments(self) -> ObjectCodec:
        return self._signature()[0]

    @property
    def returns(self) -> Any:
        return self._signature()[1]

    @property
    def types(self) -> Builder:
        return self._signature()[2]

    def input_schema(self) -> Schema:
        return schema_of(self.arguments, is_output=False)

    def decode(self, arguments: Any) -> dict[str, Any]:
        values: dict[str, Any] = self.arguments.decode(arguments)
        return values

    def decode_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Arguments of a prompt, or variables of a template, which come as text."""
        values = {}
        for member in self.arguments.members:
            if member.json_name in texts:
                try:
                    values[member.name] = member.codec.from_text(texts[member.json_name])
                except Mismatch as error:
                    raise error.at(member.json_name) from None
            elif member.required:
                raise Mismatch(f"missing argument `{member.json_name}`")
        return values

    def call(self, values: Mapping[str, Any]) -> Any:
        result = self.function(**values)
        return run(result) if inspect.iscoroutine(result) else result


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end."""
    import asyncio

    if asyncio._get_running_loop() is None:
        return asyncio.run(coroutine)
    # A test that is itself a coroutine.
    import concurrent.futures
    import contextvars

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()


def locals_of_caller(depth: int) -> Mapping[str, Any] | None:
    """The names of the function that defines a tool, if one does; modules have theirs without this."""
    frame = sys._getframe(depth + 1)
    return None if frame.f_locals is frame.f_globals else frame.f_locals
