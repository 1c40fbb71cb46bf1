"""An `asyncio` event loop for components, over `wasi:io/poll`."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any, Callable, Mapping, TypeVar

T = TypeVar("T")

# The host's modules, in components that send requests: set by `_wasi_http`. Others wait for time alone.
poll: Any = None
monotonic_clock: Any = None


@dataclasses.dataclass
class Calls:
    """Calls of tools."""

    running: Mapping[int, Any]
    wait: Callable[[float | None], None]
    """Waits until a call has ended, for so many seconds at most."""


# In components that call tools: set by `_wit_calls`.
calls: Calls | None = None

LOOK = 0.005
"""How long calls are waited for before pollables are looked at, in seconds."""


class _Selector:
    """What the base loop waits with: timers, and pollables of the host."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, asyncio.Future[None]]] = []

    def select(self, timeout: float | None) -> list[Any]:
        if calls is not None and calls.running:
            if self.waiting:
                if self._poll(0):
                    return []
                timeout = LOOK if timeout is None else min(LOOK, timeout)
            calls.wait(None if timeout is None else max(0, timeout))
            return []
        if not self.waiting:
            if timeout is None:
                raise RuntimeError(
                    "the tool awaits something that can never happen: there are no threads and no sockets"
                )
            if timeout > 0:
                time.sleep(timeout)
            return []
        self._poll(timeout)
        return []

    def _poll(self, timeout: float | None) -> bool:
        """Waits until a pollable is ready. Returns whether one was."""
        pollables = [pollable for pollable, _ in self.waiting]
        timer = None
        if timeout is not None:
            timer = monotonic_clock.subscribe_duration(max(0, int(timeout * 1e9)))
            pollables.append(timer)
        ready = set(poll.poll(pollables))
        if timer is not None:
            timer.__exit__(None, None, None)
        waiting = len(self.waiting)
        still = []
        for index, (pollable, future) in enumerate(self.waiting):
            if index in ready or future.cancelled():
                pollable.__exit__(None, None, None)
                if not future.done():
                    future.set_result(None)
            else:
                still.append((pollable, future))
        self.waiting = still
        return len(still) < waiting

    def close(self) -> None:
        pass


class Loop(asyncio.BaseEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._selector = _Selector()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """There are no threads: what `asyncio.to_thread` is given runs here and now."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def wait_for(self, pollable: Any) -> None:
        future = self.create_future()
        self._selector.waiting.append((pollable, future))
        await future


def install() -> None:
    """Makes this the loop of `asyncio.run`, whoever calls it."""
    asyncio.events.new_event_loop = asyncio.new_event_loop = Loop
