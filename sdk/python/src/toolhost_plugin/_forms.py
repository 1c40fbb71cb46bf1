"""Flat schemas for elicitation forms, derived from types."""

from __future__ import annotations

from typing import Any

from ._codec import Codec, Mismatch, Schema, schema_of
from ._scalars import ANY
from ._types import Builder

_EVERYWHERE = ("title", "description", "default")
_BY_TYPE: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format", "enum"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "boolean": (),
    "array": ("minItems", "maxItems"),
}
_FORMATS = ("email", "uri", "date", "date-time")


class Form:
    def __init__(self, form: type | Schema) -> None:
        self.codec: Codec
        if isinstance(form, dict):
            self.codec, self.schema = ANY, form
        else:
            self.codec = Builder(form.__module__).codec(form)
            self.schema = _flat(form.__name__, schema_of(self.codec, is_output=False))

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise Mismatch("the form is not filled in")
        return self.codec.decode(value)


def _flat(name: str, schema: Schema) -> Schema:
    if schema.get("type") != "object" or "properties" not in schema:
        raise TypeError(f"`{name}` cannot be a form: it is neither a dataclass nor a TypedDict with fields")
    properties = {}
    for key, field in schema["properties"].items():
        flat = _field(field, schema.get("$defs", {}))
        if flat is None:
            raise TypeError(
                f"`{name}` cannot be a form: `{key}` is no string, number, boolean, choice of strings, or list of such choices"
            )
        properties[key] = flat
    form: Schema = {"type": "object", "properties": properties}
    return {**form, "required": schema["required"]} if "required" in schema else form


def _field(field: Schema, definitions: dict[str, Schema]) -> Schema | None:
    if "$ref" in field:
        field = {
            **definitions[field["$ref"].rpartition("/")[2]],
            **{key: value for key, value in field.items() if key != "$ref"},
        }
    field = _without_null(field)
    kind = field.get("type")
    if not isinstance(kind, str) or kind not in _BY_TYPE:
        return None
    flat: Schema = {"type": kind}
    for key in (*_EVERYWHERE, *_BY_TYPE[kind]):
        if (
            key in field
            and not (key == "format" and field[key] not in _FORMATS)
            and not (key == "default" and field[key] is None)
        ):
            flat[key] = field[key]
    if kind == "array":
        items = _field(field.get("items", {}), definitions)
        if not items or "enum" not in items:
            return None
        flat["items"] = {"type": "string", "enum": items["enum"]}
    elif "enum" in field and kind != "string":
        return None
    return flat


def _without_null(field: Schema) -> Schema:
    """What is optional is left out of a form, not null."""
    cases = [case for case in field.get("anyOf", []) if case != {"type": "null"}]
    if len(cases) == 1:
        field = {**cases[0], **{key: value for key, value in field.items() if key != "anyOf"}}
    kinds = field.get("type")
    if isinstance(kinds, list):
        kinds = [kind for kind in kinds if kind != "null"]
        field = {**field, "type": kinds[0] if len(kinds) == 1 else kinds}
    if "enum" in field:
        field = {**field, "enum": [value for value in field["enum"] if value is not None]}
    return field
