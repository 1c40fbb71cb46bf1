"""Codecs of plain values: what has no parts of its own, and whatever it is."""

from __future__ import annotations

import binascii
import collections.abc
import datetime
import decimal
import enum
import math
from typing import Any, Callable

from ._codec import Codec, Mismatch, Schema, Schemas, shown
from ._json import Digits, dumps


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
            return {key_text(key): encode_at(self, key, item) for key, item in value.items()}
        if isinstance(value, (set, frozenset)):
            return in_order([self.encode(item) for item in value])
        if isinstance(value, collections.abc.Sequence) and not isinstance(value, (str, bytes, bytearray)):
            return [encode_at(self, index, item) for index, item in enumerate(value)]
        if isinstance(value, (bool, int, float, str)) and not isinstance(value, enum.Enum):
            return codec_of(type(value).__mro__[-2]).encode(value)
        if isinstance(value, type) or type(value).__module__ == "builtins" and not isinstance(value, (bytes, float)):
            raise Mismatch(f"{shown(value)} cannot be written as JSON")
        return codec_of(type(value)).encode(value)


def key_text(key: Any) -> str:
    if isinstance(key, str) and not isinstance(key, enum.Enum):
        return key
    encoded = ANY.encode(key)
    if isinstance(encoded, (dict, list)):
        raise Mismatch(f"{shown(key)} cannot be the key of a JSON object")
    return encoded if isinstance(encoded, str) else dumps(encoded)


def in_order(values: list[Any]) -> list[Any]:
    """A set has no order, and the order of its strings is another in every process."""
    return sorted(
        values, key=lambda value: (type(value).__name__, value if isinstance(value, (int, float)) else 0, dumps(value))
    )


def encode_at(codec: Codec, key: Any, value: Any) -> Any:
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
            raise Mismatch(f"{value} cannot be represented in JSON")
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
            raise Mismatch(f"expected a string containing a {name}, got {shown(value)}")
        try:
            return self.read(value)
        except (ValueError, decimal.InvalidOperation, binascii.Error):
            raise Mismatch(f"expected a string containing a {name}, got {shown(value)}") from None

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
            raise Mismatch(f"{value} cannot be represented in JSON")
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
            if (
                written == value
                and isinstance(written, bool) is isinstance(value, bool)
                and (not isinstance(value, str) or isinstance(written, str))
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
        self.names = [
            name for name, member in cls.__members__.items() if member.value and member.value & (member.value - 1) == 0
        ]

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
