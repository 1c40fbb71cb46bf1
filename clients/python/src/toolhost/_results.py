"""What calls are, and what comes of them."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Mapping

ErrorCode = Literal[
    "unknown-tool",
    "not-found",
    "invalid-arguments",
    "timeout",
    "limit",
    "invalid-options",
    "denied",
    "trap",
    "failed",
    "input-required",
    "cancelled",
    "internal",
]
"""The codes of docs/errors.md."""

Format = Literal[
    "openai-chat", "openai-responses", "anthropic", "gemini", "ollama", "bedrock", "mcp", "json"
]
"""The wire formats of docs/wire.md."""


@dataclasses.dataclass(slots=True)
class Call:
    """A call by hand: `arguments` is a dict, or the JSON text that a model wrote."""

    name: str
    arguments: Mapping[str, Any] | str | None = None
    id: str | None = None


@dataclasses.dataclass(slots=True)
class CallError:
    """Why a call has no output."""

    code: ErrorCode
    message: str


@dataclasses.dataclass(slots=True)
class Usage:
    """What a call used."""

    queue_ms: float
    run_ms: float
    cpu_ms: float
    peak_memory_bytes: int
    output_bytes: int
    calls: int = 0
    """The calls that it made, and those that they made."""


@dataclasses.dataclass(slots=True)
class LogLine:
    """A line of a call's log."""

    source: str
    text: str


@dataclasses.dataclass(slots=True)
class Repair:
    """A mistake in a call's arguments that was repaired: where (a JSON Pointer), and what."""

    path: str
    what: str


@dataclasses.dataclass(slots=True)
class Result:
    """The result of one call, whatever came of it."""

    index: int
    """The call's position in its run."""
    id: str | None
    """The call's id."""
    name: str
    """The tool's name as it was called."""
    text: str
    """What the model sees; an error reads `Error: …`."""
    error: CallError | None
    """Why there is no output."""
    structured: Any
    """The output for programs, if the tool gave one."""
    content: list[dict[str, Any]]
    """The parts of the output, as MCP writes them."""
    usage: Usage
    log: list[LogLine]
    repairs: list[Repair]

    @property
    def ok(self) -> bool:
        return self.error is None


def result_of(index: int, body: dict[str, Any]) -> Result:
    """The result in a frame."""
    get = body.get
    error = get("error")
    text = body["text"]
    content = get("content")
    if content is None:
        content = [] if error else [{"type": "text", "text": text}]
    usage = body["usage"]
    log = get("log")
    repairs = get("repairs")
    return Result(
        index,
        get("id"),
        body["name"],
        text,
        CallError(error["code"], error["message"]) if error else None,
        get("structured"),
        content,
        Usage(
            usage["queue_ms"],
            usage["run_ms"],
            usage["cpu_ms"],
            usage["peak_memory_bytes"],
            usage["output_bytes"],
            usage.get("calls", 0),
        ),
        [LogLine(line["source"], line["text"]) for line in log] if log else [],
        [Repair(repair["path"], repair["what"]) for repair in repairs] if repairs else [],
    )


class Results(list[Result]):
    """The results of a run in the order of its calls. Notebooks draw their timeline."""

    def _repr_html_(self) -> str:
        from ._timeline import draw

        return draw(self)
