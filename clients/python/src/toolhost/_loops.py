"""What differs between asyncio, trio and no loop at all: how another thread wakes the caller, and where functions run."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from typing import Any, Awaitable, Callable, Coroutine, Protocol

CoroutineFunction = Callable[[], Coroutine[Any, Any, None]]


class Waiter(Protocol):
    """Completes once."""

    def set(self) -> None: ...

    def wait(self) -> Awaitable[None]: ...


class Loop(Protocol):
    """An event loop, from any thread."""

    @property
    def post(self) -> Callable[..., object]:
        """Calls a function on the loop's thread, soon. Raises `RuntimeError` once the loop is closed."""
        raise NotImplementedError

    @property
    def soon(self) -> Callable[..., object]:
        """The same on the loop's own thread, after what is ready now."""
        raise NotImplementedError

    def waiter(self) -> Waiter: ...

    def start(self, function: CoroutineFunction, context: contextvars.Context) -> Callable[[], None]:
        """Starts a task, on the loop's thread. Returns what cancels it."""
        raise NotImplementedError


class AsyncioWaiter:
    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        return self._future


class AsyncioLoop:
    """An asyncio loop, also those of uvloop, anyio and notebooks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.can_read = os.name == "posix"
        """Whether it can wait for a pipe."""
        self.post: Callable[..., object] = loop.call_soon_threadsafe
        self.soon: Callable[..., object] = loop.call_soon
        self._tasks: set[asyncio.Task[None]] = set()

    def waiter(self) -> AsyncioWaiter:
        return AsyncioWaiter(self.loop)

    def start(self, function: CoroutineFunction, context: contextvars.Context) -> Callable[[], None]:
        task = context.run(self.loop.create_task, function())
        # The loop itself keeps only a weak reference.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def cancel() -> None:
            task.cancel()

        return cancel


class _TrioWaiter:
    def __init__(self) -> None:
        import trio

        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


class TrioLoop:
    """A run of trio, also under anyio."""

    def __init__(self) -> None:
        import trio

        self.token = trio.lowlevel.current_trio_token()
        # `RunFinishedError` is a `RuntimeError`.
        self.post: Callable[..., object] = self.token.run_sync_soon
        self.soon: Callable[..., object] = self.token.run_sync_soon

    def waiter(self) -> _TrioWaiter:
        return _TrioWaiter()

    def start(self, function: CoroutineFunction, context: contextvars.Context) -> Callable[[], None]:
        import trio

        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await function()

        trio.lowlevel.spawn_system_task(run, name="toolhost function", context=context)
        return scope.cancel


_known = threading.local()


def current() -> Loop:
    """The loop of the calling task."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return _current_trio()
    known: AsyncioLoop | None = getattr(_known, "loop", None)
    if known is None or known.loop is not running:
        known = _known.loop = AsyncioLoop(running)
    return known


def _current_trio() -> Loop:
    if "trio" in sys.modules:
        import trio

        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            pass
        else:
            known: TrioLoop | None = getattr(_known, "trio", None)
            if known is None or known.token is not token:
                known = _known.trio = TrioLoop()
            return known
    raise RuntimeError("a Host is used inside asyncio or trio; without them, use SyncHost")


class BackgroundLoop:
    """An asyncio loop on a thread of its own, for the async functions of programs that have no loop."""

    def __init__(self) -> None:
        self._loop: AsyncioLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def is_here(self) -> bool:
        return self._thread is threading.current_thread()

    def get(self) -> AsyncioLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=loop.run_forever, name="toolhost-functions", daemon=True)
                self._thread.start()
                self._loop = AsyncioLoop(loop)
            return self._loop

    def close(self) -> None:
        with self._lock:
            if self._loop is not None:
                loop = self._loop.loop
                loop.call_soon_threadsafe(loop.stop)
                self._loop = None


class ThreadWaiter:
    """Waits on a thread without a loop. A lock wakes faster than an event."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # It was set before.

    def wait(self, timeout: float = -1) -> bool:
        if self._lock.acquire(timeout=timeout):
            self.set()
            return True
        return False
