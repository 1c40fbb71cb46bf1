"""Codecs of types made of other types: lists, dicts, dataclasses, unions; and of annotated types."""

from __future__ import annotations

import collections.abc
import dataclasses
import re
from typing import Any, Callable, Mapping, cast

from ._codec import NO_DEFAULT, Codec, Field, Mismatch, Schema, Schemas, shown
from ._json import dumps
from ._scalars import ANY, AnyCodec, ChoiceCodec, DecimalCodec, FloatCodec, StrCodec, encode_at, in_order, key_text


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
        items = [decode_at(self.item, index, item) for index, item in enumerate(value)]
        try:
            return self.make(items)
        except TypeError as error:
            raise Mismatch(f"not for a set: {error}") from None

    def encode(self, value: Any) -> list[Any]:
        if not isinstance(value, self.accepts) or isinstance(value, (str, bytes, bytearray)):
            raise Mismatch(f"expected a {self.accepts[0].__name__.lower()}, got {shown(value)}")
        values = cast("list[Any]", value)
        items = [encode_at(self.item, index, item) for index, item in enumerate(values)]
        return in_order(items) if self.unique else items


def decode_at(codec: Codec, key: str | int, value: Any) -> Any:
    try:
        return codec.decode(value)
    except Mismatch as error:
        raise error.at(key) from None


class TupleCodec(Codec):
    """`tuple[int, str]`, and named tuples: an array with a type for each place."""

    def __init__(
        self, items: list[Codec], names: list[str] | None = None, make: Callable[..., Any] | None = None
    ) -> None:
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
        items = [decode_at(codec, index, item) for index, (codec, item) in enumerate(zip(self.items, value))]
        return self.make(*items) if self.make else tuple(items)

    def encode(self, value: Any) -> list[Any]:
        if not isinstance(value, tuple) or len(value) != len(self.items):
            raise Mismatch(f"expected a tuple of {len(self.items)}, got {shown(value)}")
        return [encode_at(codec, index, item) for index, (codec, item) in enumerate(zip(self.items, value))]


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
            written = encode_at(self.key, key_text(key), key)
            result[written if isinstance(written, str) else dumps(written)] = encode_at(self.value, key_text(key), item)
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
                values[member.name] = decode_at(member.codec, member.json_name, value[member.json_name])
            elif member.required:
                raise Mismatch(f"missing member `{member.json_name}`")
        known = [member.json_name for member in self.members]
        unknown = [key for key in value if key not in known]
        if unknown and not self.is_open:
            raise Mismatch(
                f"unknown member `{unknown[0]}`; there is {', '.join(f'`{name}`' for name in known) or 'none'}"
            )
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
                result[member.json_name] = encode_at(member.codec, member.json_name, values[member.name])
            elif member.required:
                raise Mismatch(f"missing member `{member.name}`")
        known = {member.name for member in self.members}
        for key, item in values.items():
            if key not in known:
                if not self.is_open:
                    raise Mismatch(f"unknown member `{key}`")
                result[key] = encode_at(ANY, key, item)
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
        raise (
            max(errors, key=lambda error: len(error.path))
            if any(error.path for error in errors)
            else Mismatch("; ".join(dict.fromkeys(error.why for error in errors)))
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
