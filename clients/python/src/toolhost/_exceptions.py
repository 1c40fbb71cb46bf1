"""What is raised: faults of the host, the manifest or the program. A tool that fails is a `Result`, not an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._results import Result

FrameErrorCode = Literal[
    "invalid-frame",
    "too-large",
    "unsupported-version",
    "invalid-manifest",
    "untrusted",
    "invalid-tool",
    "unknown-format",
    "invalid-response",
    "broken-stream",
]


class ToolhostError(Exception):
    """The host cannot do what it was asked for."""


class BinaryNotFound(ToolhostError):
    """There is no `toolhost` binary. The message says where it was looked for."""


class HostClosed(ToolhostError):
    """The host is closed, or its process has ended."""

    results: list[Result]
    """The results of the run that came before."""

    def __init__(self, message: str, results: list[Result] | None = None) -> None:
        super().__init__(message)
        self.results = results or []


class FrameTooLarge(ToolhostError, ValueError):
    """A request is longer than the host reads."""


class RequestFailed(ToolhostError):
    """The host refused a request."""

    code: FrameErrorCode

    def __init__(self, code: FrameErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ManifestError(RequestFailed):
    """The manifest, or something that it names, cannot be loaded; or it is not trusted."""


class InvalidTool(RequestFailed):
    """A function cannot be a tool."""


class ResponseError(RequestFailed):
    """A model's response cannot be read, or its stream broke."""

    results: list[Result]
    """The results of calls that had run by then."""

    def __init__(self, code: FrameErrorCode, message: str, results: list[Result] | None = None) -> None:
        super().__init__(code, message)
        self.results = results or []


def failed(code: FrameErrorCode, message: str) -> RequestFailed:
    """The exception of an error frame."""
    if code in ("invalid-manifest", "untrusted"):
        return ManifestError(code, message)
    if code == "invalid-tool":
        return InvalidTool(code, message)
    if code in ("invalid-response", "broken-stream", "unknown-format"):
        return ResponseError(code, message)
    return RequestFailed(code, message)
