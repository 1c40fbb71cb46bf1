"""Codecs between Python values and JSON, and the schemas they produce.

Values are checked in both directions: JSON that does not fit the type, and results that are not of it, raise `Mismatch`,
which names the place. `_scalars` and `_composites` have the codecs, and `_types` makes them of type hints.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Iterator

from ._json import Digits

Schema = dict[str, Any]


NO_DEFAULT: Any = object()
"""A member without a default; `None` is one."""


class Mismatch(ValueError):
    """A value that does not fit its type."""

    def __init__(self, why: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.path = path

    def at(self, key: str | int) -> Mismatch:
        return Mismatch(self.why, (key, *self.path))

    def __str__(self) -> str:
        if not self.path:
            return self.why
        pointer = "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in self.path)
        return f"{pointer}: {self.why}"


@dataclasses.dataclass(frozen=True)
class Field:
    """What is said of an argument or a field beside its type: `Annotated[int, Field(ge=1, description="…")]`."""

    description: str | None = None
    title: str | None = None
    name: str | None = None
    """The name in JSON, where it cannot be that in Python: `from`."""
    examples: tuple[Any, ...] = ()
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


class Codec:
    """How the values of a type are written in JSON."""

    def schema(self, schemas: Schemas) -> Schema:
        raise NotImplementedError

    def decode(self, value: Any) -> Any:
        raise NotImplementedError

    def encode(self, value: Any) -> Any:
        raise NotImplementedError

    def likes(self, value: Any) -> bool:
        """Whether a Python value is one of this type itself, rather than one that could be converted."""
        try:
            self.encode(value)
        except Mismatch:
            return False
        return True

    def from_text(self, text: str) -> Any:
        """Reads the key of an object, an argument of a prompt or a variable of a template."""
        return self.decode(text)


class Schemas:
    """The schemas of named types while a schema is made."""

    def __init__(self, is_output: bool) -> None:
        self.is_output = is_output
        self.named: dict[str, Schema] = {}
        self._names: dict[int, str] = {}

    def reference(self, codec: Named) -> Schema:
        name = self._names.get(id(codec))
        if name is None:
            name = base = re.sub(r"\W+", "_", codec.name).strip("_") or "type"
            number = 2
            while name in self.named:
                name, number = f"{base}_{number}", number + 1
            self._names[id(codec)] = name
            self.named[name] = {}
            self.named[name] = codec.inner.schema(self)
        return {"$ref": f"#/$defs/{name}"}

    def whole(self, schema: Schema) -> Schema:
        """The schema with the definitions it needs. What is used once stands where it is used."""
        uses: dict[str, int] = {}
        for part in (schema, *self.named.values()):
            for name in _references(part):
                uses[name] = uses.get(name, 0) + 1
        recursive = {name for name in self.named if self._reaches(name, name)}
        inlined = {name for name in self.named if uses.get(name) == 1 and name not in recursive}

        def resolve(node: Any) -> Any:
            if isinstance(node, list):
                return [resolve(item) for item in node]
            if not isinstance(node, dict):
                return node
            name = _name_of(node)
            if name in inlined:
                others = {key: value for key, value in node.items() if key != "$ref"}
                return {**resolve(self.named[name]), **others}
            return {key: resolve(value) for key, value in node.items()}

        whole: Schema = resolve(schema)
        definitions = {name: resolve(part) for name, part in self.named.items() if name not in inlined}
        return {**whole, "$defs": definitions} if definitions else whole

    def _reaches(self, start: str, goal: str) -> bool:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for name in _references(self.named[waiting.pop()]):
                if name == goal:
                    return True
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return False


def _name_of(node: dict[str, Any]) -> str:
    reference = node.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else ""


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if name := _name_of(node):
            yield name
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def shown(value: Any) -> str:
    """A value as messages show it: its kind, and its beginning."""
    if value is None:
        return "null"
    kinds = {
        bool: "boolean",
        int: "integer",
        float: "number",
        Digits: "number",
        str: "string",
        list: "array",
        dict: "object",
    }
    kind = kinds.get(type(value), type(value).__name__)
    if isinstance(value, dict):
        return f"an {kind}"
    text = repr(value)
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} ({text if len(text) <= 40 else text[:37] + '...'})"


class Named(Codec):
    """A type with a name, which may be within itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inner = Codec()  # Until it is made: it may be within itself.

    def schema(self, schemas: Schemas) -> Schema:
        return schemas.reference(self)

    def decode(self, value: Any) -> Any:
        return self.inner.decode(value)

    def encode(self, value: Any) -> Any:
        return self.inner.encode(value)

    def likes(self, value: Any) -> bool:
        return self.inner.likes(value)

    def from_text(self, text: str) -> Any:
        return self.inner.from_text(text)


def schema_of(codec: Codec, is_output: bool) -> Schema:
    schemas = Schemas(is_output)
    return schemas.whole(codec.schema(schemas))
