"""Functions of the program as tools: asynchronous ones run on the loop of the run that calls them, with its context
variables; synchronous ones on a thread.

Each call is answered exactly once, when its function returns: the host has long ended a call that is late, and counts
the function as running until then.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import inspect
import logging
import queue
import threading
import traceback
from typing import Any, Callable, Mapping, Protocol

from ._exceptions import FrameTooLarge, HostClosed
from ._frames import Frame, line
from ._loops import Loop
from ._signatures import _json
from ._signatures._codec import Codec, Mismatch, Named, Schema, schema_of
from ._signatures._composites import DictCodec, ObjectCodec
from ._signatures._content import Audio, Contents, Image, Link, Output, Text, is_content
from ._signatures._errors import ToolError, describe
from ._signatures._functions import NAME, Function
from ._signatures._scalars import ANY, StrCodec
from ._signatures._types import Unsupported

_log = logging.getLogger("toolhost")

MAX_CALLS = 64
"""How many functions run at once, unless the Host says otherwise."""

_current_call: contextvars.ContextVar[RunningCall | None] = contextvars.ContextVar("toolhost_call", default=None)
"""The call whose function runs: what that function runs is nested in it."""


class RunningCall:
    """A call of the host, until its function returns or the host ends."""

    __slots__ = ("id", "functions", "is_open", "is_cancelled", "_cancel", "_lock")

    def __init__(self, id: int, functions: Functions) -> None:
        self.id = id
        self.functions = functions
        self.is_open = True
        self.is_cancelled = False
        self._cancel: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Cancels its function once, if that can be cancelled."""
        with self._lock:
            self.is_cancelled = True
            cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def cancelled_by(self, cancel: Callable[[], None]) -> None:
        """How its function is cancelled."""
        with self._lock:
            if not self.is_cancelled:
                self._cancel = cancel
                return
        cancel()


class ProgramTool:
    """A function as the host lists it."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None,
        title: str | None,
        description: str | None,
        hints: Mapping[str, bool | None],
        timeout: float | None,
        local_names: Mapping[str, Any] | None,
    ) -> None:
        self.function = Function(function, local_names)
        self.name = name or function.__name__
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.function.where}: {self.name!r} cannot be the name of a tool: use letters, digits, `_` and `-`"
            )
        self.is_async = inspect.iscoroutinefunction(function)
        self.declaration: Frame = {
            "name": self.name,
            "description": self.function.docs.description if description is None else description,
            "input_schema": self.function.input_schema(),
            "annotations": {hint: value for hint, value in hints.items() if value is not None},
        }
        if title:
            self.declaration["title"] = title
        if timeout is not None:
            self.declaration["timeout_ms"] = max(1, round(timeout * 1000))
        self._codec, self._is_wrapped = self._result_codec()
        if self._codec is not None:
            self.declaration["output_schema"] = self._output_schema(self._codec)

    def _result_codec(self) -> tuple[Codec | None, bool]:
        """How a structured result is written, and whether it is no object, so that it needs one around it."""
        hint = self.function.returns
        if hint in (inspect.Signature.empty, Any, None, type(None), str, Text, Image, Audio, Link, Contents, Output):
            return None, False
        try:
            codec = self.function.types.codec(hint)
        except Unsupported:
            # Such as a list of contents: written by what it is.
            return None, False
        inner = codec
        while isinstance(inner, Named):
            inner = inner.inner
        if codec is ANY or isinstance(inner, StrCodec):
            return None, False
        return codec, not isinstance(inner, (ObjectCodec, DictCodec))

    def _output_schema(self, codec: Codec) -> Schema:
        schema = schema_of(codec, is_output=True)
        if not self._is_wrapped:
            return {"type": "object", **schema}
        definitions = schema.pop("$defs", None)
        wrapped: Schema = {
            "type": "object",
            "properties": {"result": schema},
            "required": ["result"],
            "additionalProperties": False,
        }
        return {**wrapped, "$defs": definitions} if definitions else wrapped

    def answer(self, result: Any) -> Frame:
        """What the function returned, as an answer."""
        if isinstance(result, Output):
            answer: Frame = {"content": [_block(part) for part in result.content]}
            if result.structured is not None:
                answer["structured"] = ANY.encode(result.structured)
            return answer
        if is_content(result):
            return {"content": [_block(result)]}
        if isinstance(result, (list, tuple)) and result and any(is_content(part) for part in result):
            return {"content": [_block(part if is_content(part) else _text(part)) for part in result]}
        if self._codec is None:
            if result is None:
                # A model takes an empty answer for a failure.
                return {"content": [{"type": "text", "text": "Done."}]}
            written = ANY.encode(result)
            answer = {"content": [{"type": "text", "text": _text(written)}]}
            if isinstance(written, dict):
                answer["structured"] = written
            return answer
        written = self._codec.encode(result)
        return {
            "content": [{"type": "text", "text": _text(written)}],
            "structured": {"result": written} if self._is_wrapped else written,
        }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json.dumps(value)


def _block(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, (Image, Audio)):
        kind = "image" if isinstance(part, Image) else "audio"
        return {"type": kind, "data": base64.b64encode(part.data).decode(), "mimeType": part.mime_type}
    if isinstance(part, Link):
        said = {"uri": part.uri, "name": part.name, "description": part.description, "mimeType": part.mime_type}
        return {"type": "resource_link", **{key: value for key, value in said.items() if value is not None}}
    if isinstance(part, Contents):
        resource: dict[str, Any] = {"uri": part.uri}
        if part.mime_type is not None:
            resource["mimeType"] = part.mime_type
        if isinstance(part.body, str):
            resource["text"] = part.body
        else:
            resource["blob"] = base64.b64encode(part.body).decode()
        return {"type": "resource", "resource": resource}
    raise TypeError(f"a {type(part).__name__} is no content")


class Caller(Protocol):
    """The run that a function is called by."""

    loop: Loop | None
    context: contextvars.Context | None


class Functions:
    """The functions of a program, and their calls."""

    def __init__(
        self, send: Callable[[bytes], None], background: Callable[[], Loop], max_calls: int = MAX_CALLS
    ) -> None:
        self.tools: dict[str, ProgramTool] = {}
        self.max_calls = max_calls
        self._send = send
        self._background = background
        self._calls: dict[int, RunningCall] = {}
        self._workers = _Workers()

    def declarations(self) -> list[Frame]:
        return [tool.declaration for tool in self.tools.values()]

    def current_call(self) -> int | None:
        """The call of this host whose function runs here."""
        call = _current_call.get()
        # What a function leaves running when it returns is a run of its own.
        return call.id if call is not None and call.functions is self and call.is_open else None

    def call(self, frame: Frame, caller: Caller | None) -> None:
        """Starts a call, on the reader's thread."""
        call = self._calls[frame["id"]] = RunningCall(frame["id"], self)
        tool = self.tools.get(frame["tool"])
        if tool is None:
            self._fail(call, "failed", f"the program has no function for `{frame['tool']}` any more")
            return
        context = (caller.context if caller is not None else None) or contextvars.Context()
        # Two calls of one run must not share a context: it is entered by one at a time.
        context = context.copy()
        if not tool.is_async:
            self._workers.submit(lambda: context.run(self._run, call, tool, frame["arguments"]))
            return
        loop = (caller.loop if caller is not None else None) or self._background()
        try:
            loop.post(self._start, loop, context, call, tool, frame["arguments"])
        except RuntimeError:
            self._fail(call, "failed", f"`{tool.name}` cannot run: the event loop that asked for it is closed")

    def cancel(self, call: int) -> None:
        """The host has ended the call: an asynchronous function is cancelled."""
        if (running := self._calls.get(call)) is not None:
            running.cancel()

    def _start(
        self, loop: Loop, context: contextvars.Context, call: RunningCall, tool: ProgramTool, arguments: Any
    ) -> None:
        if call.is_cancelled:
            self._fail(call, "cancelled", "cancelled")
            return
        cancel = loop.start(lambda: self._run_async(call, tool, arguments), context)

        def cancel_from_any_thread() -> None:
            try:
                loop.post(cancel)
            except RuntimeError:
                pass  # The loop is closed, and with it the task is gone.

        call.cancelled_by(cancel_from_any_thread)

    def _run(self, call: RunningCall, tool: ProgramTool, arguments: Any) -> None:
        if call.is_cancelled:
            self._fail(call, "cancelled", "cancelled")
            return
        _current_call.set(call)
        try:
            answer = tool.answer(tool.function.function(**tool.function.decode(arguments)))
        except BaseException as error:
            self._failed(call, tool, error)
        else:
            self._answer(call, answer)

    async def _run_async(self, call: RunningCall, tool: ProgramTool, arguments: Any) -> None:
        _current_call.set(call)
        try:
            answer = tool.answer(await tool.function.function(**tool.function.decode(arguments)))
        except asyncio.CancelledError as error:
            self._failed(call, tool, error)
            raise
        except BaseException as error:
            self._failed(call, tool, error)
            if not isinstance(error, Exception):
                raise  # Such as trio's `Cancelled`.
        else:
            self._answer(call, answer)

    def _failed(self, call: RunningCall, tool: ProgramTool, error: BaseException) -> None:
        if isinstance(error, ToolError):
            self._fail(call, error.kind, describe(error))
        elif isinstance(error, Mismatch):
            self._fail(call, "invalid-arguments", str(error))
        elif type(error).__name__ in ("CancelledError", "Cancelled"):
            self._fail(call, "cancelled", "cancelled")
        else:
            # The model reads the last line, the program's author all of them.
            _log.warning("`%s` failed", tool.name, exc_info=error)
            self._fail(call, "failed", "".join(traceback.format_exception_only(type(error), error)).strip())

    def _fail(self, call: RunningCall, code: str, message: str) -> None:
        self._answer(call, {"error": {"code": code, "message": message}})

    def _answer(self, call: RunningCall, answer: Frame) -> None:
        if not call.is_open:
            return  # Its host has ended. Another may have a call with this id.
        call.is_open = False
        self._calls.pop(call.id, None)
        try:
            sent = line({"type": "answer", "id": call.id, **answer})
        except (ValueError, TypeError) as error:
            message = f"its result cannot be written as JSON: {error}"
            sent = line({"type": "answer", "id": call.id, "error": {"message": message}})
        try:
            self._send(sent)
        except HostClosed:
            pass  # Nobody waits for it any more.
        except FrameTooLarge as error:
            message = f"its result is too long: {error}"
            self._send(line({"type": "answer", "id": call.id, "error": {"message": message}}))

    def close(self) -> None:
        """The host has ended: cancels asynchronous functions, and discards what the others return."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.is_open = False
            call.cancel()
        workers, self._workers = self._workers, _Workers()
        workers.close()


class _Workers:
    """Threads for synchronous functions, started as needed: the host bounds their number, and a function that waits for
    a nested call must not keep that from running. Unlike those of an executor they are daemons: the interpreter's exit
    does not wait for a function that hangs."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._idle = 0

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            else:
                self._count += 1
                threading.Thread(target=self._work, name="toolhost-function", daemon=True).start()
        self._jobs.put(job)

    def close(self) -> None:
        """Ends the threads once their functions have returned."""
        with self._lock:
            count = self._count
        for _ in range(count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # What the function left behind is not kept until the next.
            del job
            with self._lock:
                self._idle += 1
