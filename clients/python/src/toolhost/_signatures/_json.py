"""Lossless JSON: integers of any size, decimals by their digits; NaN and lone surrogates are not written."""

from __future__ import annotations

import json
from typing import Any


class Digits(float):
    """A number with a fraction or an exponent that still knows how it was written."""

    text: str


def _digits(text: str) -> Digits:
    number = Digits(text)
    number.text = text
    return number


def loads(text: str, keep_digits: bool = False) -> Any:
    """Reads JSON. With `keep_digits`, floats are `Digits`."""
    return json.loads(text, parse_float=_digits if keep_digits else None, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> str:
    return well_formed(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def well_formed(text: str) -> str:
    """The text with U+FFFD for surrogates that have lost their other half, which UTF-8 cannot have."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
