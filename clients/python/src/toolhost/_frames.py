"""Frames: JSON, one object per line."""

from __future__ import annotations

import json
from typing import Any, Callable

VERSION = 1
"""The version of the protocol (docs/pipe.md)."""

Frame = dict[str, Any]

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_encode = _encoder.encode
loads: Callable[[bytes], Any] = json.loads


def dumps(value: Any) -> str:
    """Plain data as JSON. Surrogates that have lost their other half, which no other JSON parser reads, are replaced."""
    text = _encode(value)
    if "\\ud" in text:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def line(frame: Frame) -> bytes:
    """A frame as it is sent."""
    return (dumps(frame) + "\n").encode()
