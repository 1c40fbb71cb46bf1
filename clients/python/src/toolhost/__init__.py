"""Runs the tool calls of language models in parallel, each in a fresh WebAssembly sandbox.

    async with toolhost.Host("toolhost.toml") as host:
        reply = await client.responses.create(model=model, input=history, tools=host.tools("openai-responses"))
        history += reply.output + await host.answers(reply)

`SyncHost` is the same without `await`. Both take the response objects of the model SDKs, dicts, JSON, and streams.
"""

from ._exceptions import (
    BinaryNotFound,
    FrameErrorCode,
    FrameTooLarge,
    HostClosed,
    InvalidTool,
    ManifestError,
    RequestFailed,
    ResponseError,
    ToolhostError,
)
from ._host import Host
from ._results import Call, CallError, ErrorCode, Format, LogLine, Repair, Result, Results, Usage
from ._signatures._codec import Field
from ._signatures._content import Audio, Contents, Image, Link, Output, Text
from ._signatures._errors import Denied, InvalidArguments, ToolError
from ._sync import SyncHost
from ._version import VERSION as __version__

__all__ = [
    "Audio",
    "BinaryNotFound",
    "Call",
    "CallError",
    "Contents",
    "Denied",
    "ErrorCode",
    "Field",
    "Format",
    "FrameErrorCode",
    "FrameTooLarge",
    "Host",
    "HostClosed",
    "Image",
    "InvalidArguments",
    "InvalidTool",
    "Link",
    "LogLine",
    "ManifestError",
    "Output",
    "Repair",
    "RequestFailed",
    "ResponseError",
    "Result",
    "Results",
    "SyncHost",
    "Text",
    "ToolError",
    "ToolhostError",
    "Usage",
    "__version__",
]
