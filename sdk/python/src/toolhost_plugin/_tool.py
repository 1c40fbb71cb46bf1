"""Tools: documented functions that a model can call."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Callable, Iterable, TypeVar, Union, overload

from . import _json, _registry
from ._codec import Codec, Mismatch, Named, Schema, schema_of
from ._composites import DictCodec, ObjectCodec
from ._content import CONTENT_TYPES, Content, Icon, Output, Text, icons, is_content
from ._errors import InvalidArguments, ToolError
from ._functions import NAME, Function, locals_of_caller
from ._scalars import ANY, StrCodec
from ._types import Unsupported

F = TypeVar("F", bound=Callable[..., Any])

_CONTENT_HINTS = (*CONTENT_TYPES, Output)


class Tool:
    """A tool as the host lists it, and how it is called."""

    def __init__(
        self,
        function: Function,
        name: str,
        title: str | None,
        description: str,
        icons: tuple[Icon, ...],
        hints: dict[str, bool | None],
    ) -> None:
        self.function = function
        self.name = name
        self.title = title
        self.description = description
        self.icons = icons
        self.hints = hints
        self._result: tuple[Codec | None, bool] | None = None

    def input_schema(self) -> Schema:
        return self.function.input_schema()

    def output_schema(self) -> Schema | None:
        codec, is_wrapped = self._result_codec()
        if codec is None:
            return None
        schema = schema_of(codec, is_output=True)
        if not is_wrapped:
            # Where it is a reference, clients want to see that it is an object all the same.
            return {"type": "object", **schema}
        definitions = schema.pop("$defs", None)
        wrapped: Schema = {
            "type": "object",
            "properties": {"result": schema},
            "required": ["result"],
            "additionalProperties": False,
        }
        return {**wrapped, "$defs": definitions} if definitions else wrapped

    def _result_codec(self) -> tuple[Codec | None, bool]:
        """How the structured result is written, and whether it is no object, so that it needs one around it."""
        if self._result is None:
            self._result = self._find_result_codec()
        return self._result

    def _find_result_codec(self) -> tuple[Codec | None, bool]:
        hint = self.function.returns
        if hint in (inspect.Signature.empty, Any, None, type(None), str) or _is_content_hint(hint):
            return None, False
        try:
            codec = self.function.types.codec(hint)
        except Unsupported as error:
            raise TypeError(f"{self.function.where}: `{self.name}`: the result: {error}") from None
        inner = codec
        while isinstance(inner, Named):
            inner = inner.inner
        if codec is ANY or isinstance(inner, StrCodec):
            return None, False
        return codec, not isinstance(inner, (ObjectCodec, DictCodec))

    def call(self, arguments: str) -> Output:
        """Calls it with a JSON object as text, as the host does."""
        try:
            values = self.function.decode(_json.loads(arguments, keep_digits=True))
        except Mismatch as error:
            raise InvalidArguments(str(error)) from error
        return self.output(self.function.call(values))

    def output(self, result: Any) -> Output:
        codec, is_wrapped = self._result_codec()
        if isinstance(result, Output):
            return result
        if is_content(result):
            return Output([result])
        if codec is None:
            return self._plain_output(result)
        written = self._write(codec, result)
        text = written if isinstance(written, str) else _json.dumps(written)
        return Output([text], {"result": written} if is_wrapped else written)

    def _plain_output(self, result: Any) -> Output:
        """The result of a tool that does not say what it returns, or that it is a text."""
        if result is None:
            # A model takes an empty answer for a failure.
            return Output(["Done."])
        if isinstance(result, str):
            return Output([str.__str__(result)])
        if isinstance(result, (list, tuple)) and result and any(is_content(item) for item in result):
            return Output([item if is_content(item) else Text(self._text(item)) for item in result])
        if self.function.returns is str:
            raise ToolError(f"`{self.name}` is annotated `-> str` and returned a {type(result).__name__}")
        written = self._write(ANY, result)
        text = written if isinstance(written, str) else _json.dumps(written)
        return Output([text], written if isinstance(written, dict) else None)

    def _text(self, value: Any) -> str:
        return value if isinstance(value, str) else _json.dumps(self._write(ANY, value))

    def _write(self, codec: Codec, result: Any) -> Any:
        try:
            return codec.encode(result)
        except Mismatch as error:
            raise ToolError(f"`{self.name}` returned a value that does not match its output schema: {error}") from error
        except RecursionError:
            raise ToolError(f"`{self.name}` returned a value that nests too deep, or contains itself") from None


def _is_content_hint(hint: Any) -> bool:
    if hint in _CONTENT_HINTS or hint == Content:
        return True
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is Union or origin is getattr(types, "UnionType", None):
        # `str | Image` as well.
        return any(_is_content_hint(argument) for argument in arguments)
    return origin in (list, tuple) and bool(arguments) and _is_content_hint(arguments[0])


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    icon: str | Icon | Iterable[str | Icon] | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    idempotent: bool | None = None,
    open_world: bool | None = None,
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    icon: str | Icon | Iterable[str | Icon] | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    idempotent: bool | None = None,
    open_world: bool | None = None,
) -> F | Callable[[F], F]:
    """Makes a tool of a function, which stays a function.

    The docstring is the description that the model reads, and may describe each argument; the type hints are the schema.

    Args:
        name: The tool's name, when it is not the function's.
        title: A name for people.
        description: What the model reads in place of the docstring.
        icon: Pictures that stand for it, by their `https:` or `data:` URIs.
        read_only: It changes nothing.
        destructive: It may destroy something; `False` if it only ever adds.
        idempotent: A second call with the same arguments changes nothing more.
        open_world: It reaches beyond the host, the web for instance.
    """
    local_names = locals_of_caller(1)

    def register(function: F) -> F:
        read = Function(function, local_names)
        tool_name = name or function.__name__
        if not NAME.fullmatch(tool_name):
            raise ValueError(
                f"{read.where}: {tool_name!r} cannot be the name of a tool: it may have letters, digits, `_` and `-`"
            )
        if read_only and destructive:
            raise ValueError(f"{read.where}: `{tool_name}` cannot be read-only and destructive")
        said = read.docs.description if description is None else description
        hints = {"read_only": read_only, "destructive": destructive, "idempotent": idempotent, "open_world": open_world}
        _registry.tools.add(tool_name, Tool(read, tool_name, title, said, icons(icon), hints), read)
        return function

    return register if function is None else register(function)
