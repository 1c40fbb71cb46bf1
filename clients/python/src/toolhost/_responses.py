"""Models' responses: SDKs' objects, dicts, JSON and event streams, as the host reads them."""

from __future__ import annotations

import base64
import codecs
import dataclasses
import datetime
import enum
import json
from typing import Any, AsyncIterable, Callable, Iterable, Mapping, Union

from ._frames import dumps

Stream = Union[AsyncIterable[Any], Iterable[Any]]

_HELPER_EVENTS = frozenset({"text", "thinking", "citation", "signature", "compaction", "input_json"})
"""What Anthropic's streaming helper adds to the API's own events."""


def is_stream(response: Any) -> bool:
    """Whether it is a response that arrives piece by piece."""
    if isinstance(response, (str, bytes, bytearray, Mapping, list, tuple)) or _dump_of(response) is not None:
        return False
    return hasattr(response, "__aiter__") or hasattr(response, "__iter__")


def to_json(response: Any) -> str:
    """A whole response as JSON text."""
    if isinstance(response, (bytes, bytearray)):
        # Not UTF-8 is the host's to report.
        return dumps(bytes(response).decode("utf-8", "replace"))
    if isinstance(response, str):
        return dumps(response)
    return dumps(plain(response))


def event_to_json(event: Any) -> str | None:
    """An event of an SDK's stream as JSON text; `None` for one that the SDK has added."""
    if isinstance(event, str):
        return event
    kind = getattr(event, "type", None)
    if kind in _HELPER_EVENTS:
        return None
    # The helper of OpenAI's chat completions wraps the API's chunks, and adds its own.
    if kind == "chunk" and hasattr(event, "chunk"):
        event = event.chunk
    elif isinstance(kind, str) and kind.startswith(("content.", "tool_calls.", "refusal.", "logprobs.")):
        return None
    value = plain(event)
    return dumps(value)


def plain(value: Any) -> Any:
    """Plain data, whatever it is made of."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return plain(value.value)
    dump = _dump_of(value)
    if dump is not None:
        return plain(dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(
        f"cannot read a response of type {type(value).__module__}.{type(value).__qualname__}: pass the SDK's response "
        "object, a dict, or the JSON text"
    )


def _dump_of(value: Any) -> Any:
    """How an object of an SDK is written as plain data, by the API's names."""
    if isinstance(value, type):
        return None
    if hasattr(value, "model_dump"):  # pydantic: openai, anthropic, google-genai, ollama, litellm
        return lambda: value.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name in ("to_dict", "to_json_dict", "dict"):
        method = getattr(value, name, None)
        if callable(method):
            return method
    if hasattr(value, "to_json"):
        return lambda: json.loads(value.to_json())
    return None


class Sender:
    """Encodes the pieces of a stream. The first one decides whether they are events or text."""

    def __init__(self, on_event: Callable[[Any], None] | None) -> None:
        self.kind: str | None = None
        self._on_event = on_event
        # A character may be cut in two.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, event: Any) -> tuple[str | None, str | None]:
        """The kind of stream, if it begins now, and the data to send, if there is any."""
        if self._on_event is not None:
            self._on_event(event)
        kind = None
        if self.kind is None:
            kind = self.kind = "text" if isinstance(event, (str, bytes, bytearray)) else "events"
        if isinstance(event, (bytes, bytearray)):
            return kind, self._decoder.decode(bytes(event))
        if isinstance(event, str):
            return kind, event
        return kind, event_to_json(event)
