"""How values of each kind of type are written in JSON: their schema, and values read and written by it.

Values are checked in both directions: JSON that does not fit the type, and results that are not of it, raise `Mismatch`,
which names the place. `_types` makes these codecs of type hints.
"""

from __future__ import annotations

import binascii
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import math
import re
from typing import Any, Callable, Iterator, Mapping, cast

from ._json import Digits, dumps

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
    kinds = {bool: "boolean", int: "integer", float: "number", Digits: "number", str: "string", list: "array", dict: "object"}
    kind = kinds.get(type(value), type(value).__name__)
    if isinstance(value, dict):
        return f"an {kind}"
    text = repr(value)
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} ({text if len(text) <= 40 else text[:37] + '...'})"


# Plain values


class AnyCodec(Codec):
    """Whatever it is: JSON as `json.loads` has it, and results written by what they are."""

    def schema(self, schemas: Schemas) -> Schema:
        return {}

    def decode(self, value: Any) -> Any:
        if isinstance(value, Digits):
            return float(value)
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if isinstance(value, dict):
            return {key: self.decode(item) for key, item in value.items()}
        return value

    def encode(self, value: Any) -> Any:
        from ._types import codec_of

        if value is None or isinstance(value, (bool, str)) and not isinstance(value, enum.Enum):
            return value
        if type(value) is int or type(value) is float and math.isfinite(value):
            return value
        if isinstance(value, collections.abc.Mapping):
            return {_key(key): _encode_at(self, key, item) for key, item in value.items()}
        if isinstance(value, (set, frozenset)):
            return _sorted([self.encode(item) for item in value])
        if isinstance(value, collections.abc.Sequence) and not isinstance(value, (str, bytes, bytearray)):
            return [_encode_at(self, index, item) for index, item in enumerate(value)]
        if isinstance(value, (bool, int, float, str)) and not isinstance(value, enum.Enum):
            return codec_of(type(value).__mro__[-2]).encode(value)
        if isinstance(value, type) or type(value).__module__ == "builtins" and not isinstance(value, (bytes, float)):
            raise Mismatch(f"{shown(value)} cannot be written as JSON")
        return codec_of(type(value)).encode(value)


def _key(key: Any) -> str:
    if isinstance(key, str) and not isinstance(key, enum.Enum):
        return key
    encoded = ANY.encode(key)
    if isinstance(encoded, (dict, list)):
        raise Mismatch(f"{shown(key)} cannot be the key of a JSON object")
    return encoded if isinstance(encoded, str) else dumps(encoded)


def _sorted(values: list[Any]) -> list[Any]:
    """A set has no order, and the order of its strings is another in every process."""
    return sorted(values, key=lambda value: (type(value).__name__, value if isinstance(value, (int, float)) else 0, dumps(value)))


def _encode_at(codec: Codec, key: Any, value: Any) -> Any:
    try:
        return codec.encode(value)
    except Mismatch as error:
        raise error.at(key if isinstance(key, int) else str(key)) from None


class NoneCodec(Codec):
    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "null"}

    def decode(self, value: Any) -> None:
        if value is not None:
            raise Mismatch(f"expected null, got {shown(value)}")

    encode = decode


class BoolCodec(Codec):
    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "boolean"}

    def decode(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Mismatch(f"expected a boolean, got {shown(value)}")
        return value

    encode = decode

    def from_text(self, text: str) -> bool:
        if text.strip().lower() not in ("true", "false"):
            raise Mismatch(f"expected true or false, got {shown(text)}")
        return text.strip().lower() == "true"


class IntCodec(Codec):
    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "integer"}

    def decode(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Mismatch(f"expected an integer, got {shown(value)}")
        return value

    def encode(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Mismatch(f"expected an int, got {shown(value)}")
        return int(value)

    def from_text(self, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise Mismatch(f"expected an integer, got {shown(text)}") from None


class FloatCodec(Codec):
    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "number"}

    def decode(self, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Mismatch(f"expected a number, got {shown(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise Mismatch("the number is too large for a float")
        return number

    def encode(self, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Mismatch(f"expected a float, got {shown(value)}")
        if not math.isfinite(value):
            raise Mismatch(f"{value} has no form in JSON")
        return value if type(value) in (int, float) else float(value)

    def likes(self, value: Any) -> bool:
        return isinstance(value, float) and math.isfinite(value)

    def from_text(self, text: str) -> float:
        try:
            return self.decode(float(text))
        except ValueError:
            raise Mismatch(f"expected a number, got {shown(text)}") from None


class StrCodec(Codec):
    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "string"}

    def decode(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Mismatch(f"expected a string, got {shown(value)}")
        return value

    def encode(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Mismatch(f"expected a str, got {shown(value)}")
        return str.__str__(value)

    def likes(self, value: Any) -> bool:
        return isinstance(value, str) and not isinstance(value, enum.Enum)


class TextCodec(Codec):
    """A class whose values are written as strings."""

    def __init__(self, cls: type, extra: Schema, read: Callable[[str], Any], write: Callable[[Any], str]) -> None:
        self.cls = cls
        self.extra = extra
        self.read = read
        self.write = write

    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "string", **self.extra}

    def decode(self, value: Any) -> Any:
        name = self.cls.__name__
        if not isinstance(value, str):
            raise Mismatch(f"expected a string with a {name}, got {shown(value)}")
        try:
            return self.read(value)
        except (ValueError, decimal.InvalidOperation, binascii.Error):
            raise Mismatch(f"expected a string with a {name}, got {shown(value)}") from None

    def encode(self, value: Any) -> str:
        # A datetime is a date too, and is not meant where a date is promised.
        if not isinstance(value, self.cls) or self.cls is datetime.date and isinstance(value, datetime.datetime):
            raise Mismatch(f"expected a {self.cls.__name__}, got {shown(value)}")
        return self.write(value)


class DecimalCodec(Codec):
    """A string, as floats round decimals; numbers are read too, by their digits."""

    def schema(self, schemas: Schemas) -> Schema:
        pattern = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
        return {"type": "string" if schemas.is_output else ["string", "number"], "pattern": pattern}

    def decode(self, value: Any) -> decimal.Decimal:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            text = value if isinstance(value, str) else getattr(value, "text", None) or repr(value)
            try:
                number = decimal.Decimal(text.strip())
            except decimal.InvalidOperation:
                number = decimal.Decimal("nan")
            if number.is_finite():
                return number
        raise Mismatch(f"expected a decimal number, got {shown(value)}")

    def encode(self, value: Any) -> str:
        if not isinstance(value, decimal.Decimal):
            raise Mismatch(f"expected a Decimal, got {shown(value)}")
        if not value.is_finite():
            raise Mismatch(f"{value} has no form in JSON")
        return str(value)


class ChoiceCodec(Codec):
    """`Literal`, and enums by their values."""

    def __init__(self, choices: list[tuple[Any, Any]], description: str | None = None) -> None:
        self.choices = choices
        self.description = description

    def schema(self, schemas: Schemas) -> Schema:
        values = [value for value, _ in self.choices]
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
        found = list(dict.fromkeys(kinds[type(value)] for value in values))
        schema: Schema = {"type": found[0] if len(found) == 1 else found, "enum": values}
        if self.description:
            schema["description"] = self.description
        return schema

    def decode(self, value: Any) -> Any:
        for written, choice in self.choices:
            # True == 1, and they are two values all the same.
            if written == value and isinstance(written, bool) is isinstance(value, bool) and (
                not isinstance(value, str) or isinstance(written, str)
            ):
                return choice
        raise Mismatch(f"expected {self._expected()}, got {shown(value)}")

    def encode(self, value: Any) -> Any:
        for written, choice in self.choices:
            if type(choice) is type(value) and choice == value:
                return written
        raise Mismatch(f"expected {self._expected()}, got {shown(value)}")

    def from_text(self, text: str) -> Any:
        for written, choice in self.choices:
            if text == (written if isinstance(written, str) else dumps(written)):
                return choice
        raise Mismatch(f"expected {self._expected()}, got {shown(text)}")

    def _expected(self) -> str:
        return " or ".join(dumps(value) for value, _ in self.choices)


class FlagCodec(Codec):
    """Several members of a `Flag`, as an array of their names."""

    def __init__(self, cls: type[enum.Flag]) -> None:
        self.cls = cls
        self.names = [name for name, member in cls.__members__.items() if member.value and member.value & (member.value - 1) == 0]

    def schema(self, schemas: Schemas) -> Schema:
        return {"type": "array", "items": {"type": "string", "enum": self.names}, "uniqueItems": True}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, list) or not all(name in self.names for name in value):
            raise Mismatch(f"expected an array of {', '.join(self.names)}, got {shown(value)}")
        flags = self.cls(0)
        for name in value:
            flags |= self.cls[name]
        return flags

    def encode(self, value: Any) -> list[str]:
        if not isinstance(value, self.cls):
            raise Mismatch(f"expected a {self.cls.__name__}, got {shown(value)}")
        return [name for name in self.names if self.cls[name] in value]


# Values of values


class ListCodec(Codec):
    """Sequences and sets."""

    def __init__(self, item: Codec, make: Callable[[list[Any]], Any], accepts: tuple[type, ...], unique: bool) -> None:
        self.item = item
        self.make = make
        self.accepts = accepts
        self.unique = unique

    def schema(self, schemas: Schemas) -> Schema:
        schema: Schema = {"type": "array", "items": self.item.schema(schemas)}
        return {**schema, "uniqueItems": True} if self.unique else schema

    def decode(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise Mismatch(f"expected an array, got {shown(value)}")
        items = [_decode_at(self.item, index, item) for index, item in enumerate(value)]
        try:
            return self.make(items)
        except TypeError as error:
            raise Mismatch(f"not for a set: {error}") from None

    def encode(self, value: Any) -> list[Any]:
        if not isinstance(value, self.accepts) or isinstance(value, (str, bytes, bytearray)):
            raise Mismatch(f"expected a {self.accepts[0].__name__.lower()}, got {shown(value)}")
        values = cast("list[Any]", value)
        items = [_encode_at(self.item, index, item) for index, item in enumerate(values)]
        return _sorted(items) if self.unique else items


def _decode_at(codec: Codec, key: str | int, value: Any) -> Any:
    try:
        return codec.decode(value)
    except Mismatch as error:
        raise error.at(key) from None


class TupleCodec(Codec):
    """`tuple[int, str]`, and named tuples: an array with a type for each place."""

    def __init__(self, items: list[Codec], names: list[str] | None = None, make: Callable[..., Any] | None = None) -> None:
        self.items = items
        self.names = names
        self.make = make
        self.required = len(items)

    def schema(self, schemas: Schemas) -> Schema:
        places = [item.schema(schemas) for item in self.items]
        if self.names:
            places = [{"title": name, **place} for name, place in zip(self.names, places)]
        count = len(places)
        return {"type": "array", "prefixItems": places, "items": False, "minItems": self.required, "maxItems": count}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, list) or not self.required <= len(value) <= len(self.items):
            raise Mismatch(f"expected an array of {len(self.items)} values, got {shown(value)}")
        items = [_decode_at(codec, index, item) for index, (codec, item) in enumerate(zip(self.items, value))]
        return self.make(*items) if self.make else tuple(items)

    def encode(self, value: Any) -> list[Any]:
        if not isinstance(value, tuple) or len(value) != len(self.items):
            raise Mismatch(f"expected a tuple of {len(self.items)}, got {shown(value)}")
        return [_encode_at(codec, index, item) for index, (codec, item) in enumerate(zip(self.items, value))]


class DictCodec(Codec):
    """`dict[str, int]`: an object with any keys. Keys that are no strings are written as their text."""

    def __init__(self, key: Codec, value: Codec) -> None:
        self.key = key
        self.value = value

    def schema(self, schemas: Schemas) -> Schema:
        schema: Schema = {"type": "object"}
        value = self.value.schema(schemas)
        if value:
            schema["additionalProperties"] = value
        if not isinstance(self.key, (StrCodec, AnyCodec)):
            names = self.key.schema(schemas)
            if isinstance(self.key, ChoiceCodec):
                names = {"enum": [text if isinstance(text, str) else dumps(text) for text, _ in self.key.choices]}
            elif names.get("type") == "integer":
                names = {"pattern": "^-?[0-9]+$"}
            elif names.get("type") != "string":
                names = {}
            if names:
                schema["propertyNames"] = names
        return schema

    def decode(self, value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise Mismatch(f"expected an object, got {shown(value)}")
        result = {}
        for key, item in value.items():
            try:
                result[self.key.from_text(key)] = self.value.decode(item)
            except Mismatch as error:
                raise error.at(key) from None
        return result

    def encode(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, collections.abc.Mapping):
            raise Mismatch(f"expected a dict, got {shown(value)}")
        result = {}
        for key, item in value.items():
            written = _encode_at(self.key, _key(key), key)
            result[written if isinstance(written, str) else dumps(written)] = _encode_at(self.value, _key(key), item)
        return result


@dataclasses.dataclass
class Member:
    """A member of an object, or an argument."""

    name: str
    json_name: str
    codec: Codec
    required: bool
    description: str | None = None
    default: Any = NO_DEFAULT
    extra: Schema = dataclasses.field(default_factory=dict)

    def schema(self, schemas: Schemas) -> Schema:
        schema = dict(self.codec.schema(schemas))
        if self.description:
            schema["description"] = self.description
        schema.update(self.extra)
        if self.default is not NO_DEFAULT and not schemas.is_output:
            try:
                schema["default"] = self.codec.encode(self.default)
            except Mismatch:
                pass  # A sentinel is the function's own.
        return schema


class ObjectCodec(Codec):
    """Dataclasses and typed dictionaries: an object with a member for each field."""

    def __init__(
        self,
        members: list[Member],
        make: Callable[[dict[str, Any]], Any],
        take: Callable[[Any], Mapping[str, Any]],
        is_open: bool = False,
        description: str = "",
    ) -> None:
        self.members = members
        self.make = make
        self.take = take
        self.is_open = is_open
        self.description = description

    def schema(self, schemas: Schemas) -> Schema:
        schema: Schema = {"type": "object"}
        if self.description:
            schema["description"] = self.description
        schema["properties"] = {member.json_name: member.schema(schemas) for member in self.members}
        always = schemas.is_output and not self.is_open
        required = [member.json_name for member in self.members if member.required or always]
        if required:
            schema["required"] = required
        if not self.is_open:
            schema["additionalProperties"] = False
        return schema

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(f"expected an object, got {shown(value)}")
        values: dict[str, Any] = {}
        for member in self.members:
            if member.json_name in value:
                values[member.name] = _decode_at(member.codec, member.json_name, value[member.json_name])
            elif member.required:
                raise Mismatch(f"missing member `{member.json_name}`")
        known = {member.json_name for member in self.members}
        unknown = [key for key in value if key not in known]
        if unknown and not self.is_open:
            raise Mismatch(f"unknown member `{unknown[0]}`; there is {', '.join(f'`{name}`' for name in known) or 'none'}")
        for key in unknown:
            values[key] = ANY.decode(value[key])
        try:
            return self.make(values)
        except (TypeError, ValueError) as error:
            raise Mismatch(str(error)) from error

    def encode(self, value: Any) -> dict[str, Any]:
        values = self.take(value)
        result: dict[str, Any] = {}
        for member in self.members:
            if member.name in values:
                result[member.json_name] = _encode_at(member.codec, member.json_name, values[member.name])
            elif member.required:
                raise Mismatch(f"missing member `{member.name}`")
        known = {member.name for member in self.members}
        for key, item in values.items():
            if key not in known:
                if not self.is_open:
                    raise Mismatch(f"unknown member `{key}`")
                result[key] = _encode_at(ANY, key, item)
        return result


class UnionCodec(Codec):
    """One of several types: the first that fits, but one that fits exactly goes before one that converts."""

    def __init__(self, members: list[Codec]) -> None:
        self.members = members

    def schema(self, schemas: Schemas) -> Schema:
        cases: list[Schema] = []
        for member in self.members:
            case = member.schema(schemas)
            if case not in cases:
                cases.append(case)
        if {} in cases:
            return {}
        if {"type": "null"} in cases and len(cases) == 2:
            [case] = [case for case in cases if case != {"type": "null"}]
            kind = case.get("type")
            # `["string", "null"]` gives better messages than `anyOf`.
            if isinstance(kind, str) and kind not in ("object", "array") and "description" not in case:
                nullable = {**case, "type": [kind, "null"]}
                if "enum" in case:
                    nullable["enum"] = [*case["enum"], None]
                return nullable
        if all(set(case) == {"type"} and isinstance(case["type"], str) for case in cases):
            return {"type": [case["type"] for case in cases]}
        return {"anyOf": cases}

    def decode(self, value: Any) -> Any:
        errors: list[Mismatch] = []
        for member in sorted(self.members, key=lambda member: not self._is_exact(member, value)):
            try:
                return member.decode(value)
            except Mismatch as error:
                errors.append(error)
        raise max(errors, key=lambda error: len(error.path)) if any(error.path for error in errors) else Mismatch(
            "; ".join(dict.fromkeys(error.why for error in errors))
        )

    @staticmethod
    def _is_exact(member: Codec, value: Any) -> bool:
        if isinstance(member, Constrained):
            return UnionCodec._is_exact(member.inner, value)
        if type(value) in (bool, int):
            return not isinstance(member, (FloatCodec, DecimalCodec))
        return True

    def encode(self, value: Any) -> Any:
        errors: list[str] = []
        for member in sorted(self.members, key=lambda member: not member.likes(value)):
            try:
                return member.encode(value)
            except Mismatch as error:
                errors.append(str(error))
        raise Mismatch("; ".join(dict.fromkeys(errors)))

    def from_text(self, text: str) -> Any:
        errors: list[str] = []
        # Any text is a string, so that comes last.
        for member in sorted(self.members, key=lambda member: isinstance(member, StrCodec)):
            try:
                return member.from_text(text)
            except Mismatch as error:
                errors.append(str(error))
        raise Mismatch("; ".join(dict.fromkeys(errors)))


class Constrained(Codec):
    """A type with what `Annotated` says of it."""

    def __init__(self, inner: Codec, field: Field) -> None:
        self.inner = inner
        self.field = field
        self.pattern = re.compile(field.pattern) if field.pattern else None

    def schema(self, schemas: Schemas) -> Schema:
        schema = dict(self.inner.schema(schemas))
        field = self.field
        counted = {"array": "Items", "object": "Properties"}.get(str(schema.get("type")), "Length")
        said = {
            "title": field.title,
            "description": field.description,
            "examples": [self.inner.encode(example) for example in field.examples] or None,
            "exclusiveMinimum": field.gt,
            "minimum": field.ge,
            "exclusiveMaximum": field.lt,
            "maximum": field.le,
            "multipleOf": field.multiple_of,
            f"min{counted}": field.min_length,
            f"max{counted}": field.max_length,
            "pattern": field.pattern,
        }
        return {**schema, **{key: value for key, value in said.items() if value is not None}}

    def decode(self, value: Any) -> Any:
        return self._checked(self.inner.decode(value))

    def encode(self, value: Any) -> Any:
        return self.inner.encode(self._checked(value))

    def from_text(self, text: str) -> Any:
        return self._checked(self.inner.from_text(text))

    def _checked(self, value: Any) -> Any:
        field = self.field
        bounds: list[tuple[Any, str, Callable[[Any], bool]]] = [
            (field.gt, "over", lambda bound: value > bound),
            (field.ge, "at least", lambda bound: value >= bound),
            (field.lt, "under", lambda bound: value < bound),
            (field.le, "at most", lambda bound: value <= bound),
            (field.multiple_of, "a multiple of", lambda bound: value % bound == 0),
            (field.min_length, "of a length of at least", lambda bound: len(value) >= bound),
            (field.max_length, "of a length of at most", lambda bound: len(value) <= bound),
        ]
        if value is not None:
            for bound, words, holds in bounds:
                if bound is not None and not holds(bound):
                    raise Mismatch(f"must be {words} {bound}, got {shown(value)}")
            if self.pattern and isinstance(value, str) and not self.pattern.search(value):
                raise Mismatch(f"must match {field.pattern}, got {shown(value)}")
        return value


class Named(Codec):
    """A type with a name, which may be within itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inner: Codec = AnyCodec()

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


class SubclassCodec(Codec):
    """A class of the author's that is a string or a number."""

    def __init__(self, cls: type, inner: Codec) -> None:
        self.cls = cls
        self.inner = inner

    def schema(self, schemas: Schemas) -> Schema:
        return self.inner.schema(schemas)

    def decode(self, value: Any) -> Any:
        return self.cls(self.inner.decode(value))

    def encode(self, value: Any) -> Any:
        if not isinstance(value, self.cls):
            raise Mismatch(f"expected a {self.cls.__name__}, got {shown(value)}")
        return self.inner.encode(value)


ANY = AnyCodec()


def schema_of(codec: Codec, is_output: bool) -> Schema:
    schemas = Schemas(is_output)
    return schemas.whole(codec.schema(schemas))
