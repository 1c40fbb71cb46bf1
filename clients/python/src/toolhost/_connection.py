"""The protocol with one host: who waits for which frame.

Frames are read on the reader's thread, or on a loop's. What runs on another loop gets them there, all that were read at
once by one wake-up; what waits on a thread gets them at once.
"""

from __future__ import annotations

import collections
import contextvars
import itertools
import logging
import os
import threading
import warnings
from typing import Any, Callable, Iterable, Mapping, Sequence

from . import _binary, _frames
from ._exceptions import FrameErrorCode, FrameTooLarge, HostClosed, failed
from ._frames import Frame
from ._functions import MAX_CALLS, Functions
from ._loops import AsyncioLoop, BackgroundLoop, Loop, ThreadWaiter, Waiter
from ._process import HIGH_WATER, Process
from ._results import Result, result_of
from ._version import VERSION

_log = logging.getLogger("toolhost")

REQUEST_TIMEOUT = 60.0
"""For requests that the host answers at once; one that does not is broken."""

Manifest = str | os.PathLike[str] | Mapping[str, Any] | None


class Waiting:
    """Something that waits for frames of the host: a run, or a request."""

    __slots__ = ("id", "loop", "context", "results", "done", "error", "_waiter")

    def __init__(self, loop: Loop | None) -> None:
        self.id = 0
        self.loop = loop
        self.context: contextvars.Context | None = None
        self.results: collections.deque[Result] = collections.deque()
        """Those that were not taken yet."""
        self.done: Frame | None = None
        """The last frame."""
        self.error: Exception | None = None
        self._waiter: Waiter | ThreadWaiter | None = None

    def take(self, frame: Frame) -> None:
        """A frame for it, on its loop's thread."""
        kind = frame["type"]
        if kind == "result":
            self.results.append(result_of(frame["index"], frame["result"]))
        else:
            if kind == "error":
                self.error = failed(frame["code"], frame["message"])
            elif kind == "done":
                for last in frame.get("results", ()):
                    self.results.append(result_of(last["index"], last["result"]))
                failure = frame.get("failure")
                if failure:
                    self.error = failed(failure["code"], failure["message"])
            self.done = frame
        self.wake()

    def close(self, why: str) -> None:
        """There will be no more frames."""
        if self.done is None:
            self.error = HostClosed(why)
            self.done = {}
            self.wake()

    def wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set()

    async def more(self) -> None:
        """Waits for the next frame."""
        assert self.loop is not None
        waiter = self._waiter = self.loop.waiter()
        await waiter.wait()

    async def end(self) -> None:
        """Waits for the last frame."""
        while self.done is None:
            await self.more()

    def watch(self) -> ThreadWaiter:
        """What is set by the next frame. Made before what came is looked at, so that nothing is missed."""
        waiter = self._waiter = ThreadWaiter()
        return waiter

    def end_on_thread(self, timeout: float | None = None) -> None:
        """Waits for the last frame, without a loop."""
        while True:
            waiter = self.watch()
            if self.done is not None:
                return
            if not waiter.wait(-1 if timeout is None else timeout):
                raise TimeoutError(f"the host did not answer within {timeout} s")


def _deliver(items: list[tuple[Waiting, Frame]]) -> None:
    for waiting, frame in items:
        waiting.take(frame)


class _Outgoing:
    """Frames of one turn of a loop, which are sent together."""

    __slots__ = ("loop", "lines", "is_scheduled")

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.lines: list[bytes] = []
        self.is_scheduled = False


class Connection:
    """A host that runs, or will."""

    def __init__(
        self,
        manifest: Manifest,
        binary: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
        max_calls: int | None,
        plugins: Iterable[str],
    ) -> None:
        self.manifest = manifest
        self._plugins = list(plugins)
        self._binary = binary
        self._command = ""
        self._env = env
        self.process: Process | None = None
        self._background = BackgroundLoop()
        self.functions = Functions(self.send, self._background.get, max_calls or MAX_CALLS)
        self._waiting: dict[int, Waiting] = {}
        self._ids = itertools.count(1)
        self._greeting: Waiting | None = None
        self._max_frame = 1 << 62
        self._outgoing: _Outgoing | None = None
        self._tools: dict[str, Any] = {}
        self._why_closed: str | None = None
        self._lock = threading.Lock()

    # -- opening and closing

    def open(self, loop: Loop | None) -> Waiting:
        """Starts the process. The greeting is waited for by the caller."""
        if self.process is not None:
            raise RuntimeError("this Host is open already")
        self._why_closed = None
        binary = self._command = _binary.find(self._binary)
        env = {**os.environ, **self._env} if self._env is not None else None
        greeting = self._greeting = Waiting(loop)
        self.process = Process([binary, "pipe"], env, self._read, self._ended, lambda: bool(self._waiting))
        hello = {
            "type": "hello",
            "version": _frames.VERSION,
            "client": f"toolhost-client {VERSION}",
            "manifest": manifest_source(self.manifest),
            "plugins": self._plugins,
            "tools": self.functions.declarations(),
            "max_calls": self.functions.max_calls,
        }
        try:
            self.send(_frames.line(hello))
        except BaseException:
            self.close()
            raise
        return greeting

    def greeted(self, greeting: Waiting) -> None:
        """Raises if the host did not start."""
        if greeting.error is not None:
            self.close()
            raise greeting.error
        hello = greeting.done or {}
        self._max_frame = hello["max_frame"]
        host: str = hello["host"]
        if host != VERSION:
            warnings.warn(
                f"the toolhost binary {self._command} has version {host}, and toolhost-client {VERSION}: "
                "install the same of both",
                RuntimeWarning,
                stacklevel=4,
            )

    def close(self) -> None:
        """Ends the process, without waiting for it."""
        process, self.process = self.process, None
        if process is not None:
            process.close()
        self._background.close()

    def _ended(self, why: str) -> None:
        """On the reader's thread, after the last frame."""
        self._why_closed = why
        self.functions.close()
        waiting = list(self._waiting.values())
        self._waiting.clear()
        if self._greeting is not None:
            waiting.append(self._greeting)
        for it in waiting:
            if it.loop is None:
                it.close(why)
            else:
                _posted(it.loop, it.close, why)

    def runs_functions_here(self) -> bool:
        """Whether this is the thread of the loop for functions that have none of their own."""
        return self._background.is_here()

    # -- sending

    def send(self, data: bytes) -> None:
        process = self.process
        if process is None:
            raise HostClosed(self._why_closed or "the Host is not open: use it as a context manager")
        if len(data) > self._max_frame:
            raise FrameTooLarge(f"a frame of {len(data)} bytes; the host reads at most {self._max_frame}")
        process.send(data)

    def send_soon(self, loop: Loop, data: bytes) -> None:
        """Sends a frame with the others of this turn of the loop: one write for all calls of a gather."""
        if len(self._waiting) <= 1:
            # Nothing to wait for.
            outgoing = self._outgoing
            if outgoing is None or not outgoing.lines:
                self.send(data)
                return
        outgoing = self._outgoing
        if outgoing is None or outgoing.loop is not loop:
            if outgoing is not None:
                self._flush(outgoing)
            outgoing = self._outgoing = _Outgoing(loop)
        if len(data) > self._max_frame:
            raise FrameTooLarge(f"a frame of {len(data)} bytes; the host reads at most {self._max_frame}")
        outgoing.lines.append(data)
        if not outgoing.is_scheduled:
            outgoing.is_scheduled = True
            loop.soon(lambda: self._flush(outgoing))

    def _flush(self, outgoing: _Outgoing) -> None:
        with self._lock:
            lines, outgoing.lines = outgoing.lines, []
            outgoing.is_scheduled = False
            if lines:
                try:
                    self.send(b"".join(lines))
                except HostClosed as error:
                    self._ended(str(error))

    async def room(self, loop: Loop) -> None:
        """Waits while the host reads more slowly than this program writes."""
        process = self.process
        while process is not None and process.backlog_size > HIGH_WATER:
            waiter = loop.waiter()
            process.when_drained(lambda: _posted(loop, waiter.set))
            await waiter.wait()

    # -- runs and requests

    def begin(self, waiting: Waiting, head: str, rest: str) -> None:
        """Sends what `waiting` waits for: a frame from its type to before its id, and from after it."""
        number = waiting.id = next(self._ids)
        if self.functions.tools:
            waiting.context = contextvars.copy_context()
        data = f'{head},"id":{number}{rest}}}\n'.encode()
        self._waiting[number] = waiting
        try:
            if waiting.loop is None:
                self.send(data)
            else:
                loop = waiting.loop
                process = self.process
                if process is not None and process.lent_to is not loop and isinstance(loop, AsyncioLoop):
                    process.lend(loop)
                self.send_soon(loop, data)
        except BaseException:
            self._waiting.pop(number, None)
            waiting.id = 0
            raise

    def send_of(self, waiting: Waiting, frame: Frame) -> None:
        """Sends another frame of a run, after the one that began it."""
        data = _frames.line({**frame, "id": waiting.id})
        if waiting.loop is None:
            self.send(data)
        else:
            self.send_soon(waiting.loop, data)

    def cancel(self, waiting: Waiting) -> None:
        """Cancels an abandoned run. Its last frame is still read, and dropped."""
        if waiting.done is None and waiting.id in self._waiting:
            try:
                self.send_of(waiting, {"type": "cancel"})
            except (HostClosed, RuntimeError):
                pass

    def request(self, frame: Frame) -> Frame:
        """A request that the host answers at once: on this thread, also if that is a loop's."""
        waiting = Waiting(None)
        members = "".join(f',"{key}":{_frames.dumps(value)}' for key, value in frame.items() if key != "type")
        self.flush()
        self.begin(waiting, f'{{"type":"{frame["type"]}"', members)
        waiting.end_on_thread(REQUEST_TIMEOUT)
        if waiting.error is not None:
            raise waiting.error
        return waiting.done or {}

    def flush(self) -> None:
        """Frames that were begun before go first."""
        if self._outgoing is not None:
            self._flush(self._outgoing)

    def tools(self, format: str) -> Any:
        known = self._tools.get(format)
        if known is None:
            known = self._tools[format] = self.request({"type": "tools", "format": format})
            for left_out in known.get("left_out", ()):
                _log.warning("`%s` is omitted for %s: it %s", left_out["tool"], format, left_out["why"])
        return known["tools"]

    def declare(self) -> None:
        """Tells a running host of the functions."""
        if self.process is not None:
            self.request({"type": "declare", "tools": self.functions.declarations()})
            self._tools.clear()

    # -- reading

    def _read(self, lines: Sequence[bytes], here: Loop | None) -> None:
        """Frames of the host, on the reader's thread or on that of the loop `here`."""
        by_loop: dict[Loop, list[tuple[Waiting, Frame]]] = {}
        waiting_of = self._waiting
        for line in lines:
            frame: Frame = _frames.loads(line)
            kind = frame["type"]
            waiting: Waiting | None
            if kind == "done":
                waiting = waiting_of.pop(frame["run"], None)
            elif kind == "result":
                waiting = waiting_of.get(frame["run"])
            else:
                waiting = self._other(kind, frame)
            if waiting is None:
                continue
            loop = waiting.loop
            if loop is None:
                waiting.take(frame)
            else:
                batch = by_loop.get(loop)
                if batch is None:
                    by_loop[loop] = [(waiting, frame)]
                else:
                    batch.append((waiting, frame))
        for loop, items in by_loop.items():
            if loop is here:
                _deliver(items)
            else:
                _posted(loop, _deliver, items)

    def _other(self, kind: str, frame: Frame) -> Waiting | None:
        """A frame that is not about a run's calls. Returns who waits for it."""
        if kind == "call":
            run = frame.get("run")
            self.functions.call(frame, self._waiting.get(run) if run is not None else None)
        elif kind == "cancel":
            self.functions.cancel(frame["id"])
        elif kind == "changed":
            self._tools.clear()
        elif kind == "hello":
            greeting, self._greeting = self._greeting, None
            return greeting
        elif kind in ("ok", "tools") or kind == "error" and "id" in frame:
            return self._waiting.pop(frame["id"], None)
        elif kind == "error":
            if self._greeting is not None:
                greeting, self._greeting = self._greeting, None
                return greeting
            code: FrameErrorCode = frame["code"]
            _log.error("the host ended the session: %s (%s)", frame["message"], code)
        return None


def _posted(loop: Loop, callback: Callable[..., object], *args: Any) -> None:
    try:
        loop.post(callback, *args)
    except RuntimeError:
        pass  # The loop is closed, and its tasks with it.


def manifest_source(manifest: Manifest) -> Frame:
    if manifest is None:
        return {"inline": {"tables": {}}}
    if isinstance(manifest, Mapping):
        return {"inline": {"tables": dict(manifest)}}
    return {"file": os.fspath(manifest)}
