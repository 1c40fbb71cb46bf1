"""Round trips through the pipe from Python, beside the same calls inside the library.

    PYTHONPATH=clients/python/src python benches/clients/pipe.py target/release/toolhost target/guests/echo.wasm

Prints the time of a call with one in flight, and calls per second with 64, through `Host` and `SyncHost`. A host's own
time for a call (`run_ms`) is what the library needs for it; the rest is the pipe, on both sides.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any, Awaitable, Callable

from toolhost import Host, SyncHost

BINARY, ECHO = sys.argv[1:3]
MANIFEST = {"host": {"max-concurrency": 64}, "plugin": {"echo": {"path": ECHO}}}
ROUNDS = 3
ARGUMENTS = {"text": "hello"}


async def alone(host: Host, calls: int) -> tuple[float, float]:
    """Microseconds for a call, and those of them that the host ran it."""
    times, inside = [], []
    for _ in range(calls):
        begun = time.perf_counter()
        result = await host.call("echo", ARGUMENTS)
        times.append(time.perf_counter() - begun)
        inside.append(result.usage.run_ms + result.usage.queue_ms)
        assert result.ok, result
    return statistics.median(times) * 1e6, statistics.median(inside) * 1e3


async def together(host: Host, calls: int, at_once: int) -> float:
    """Calls per second."""

    async def worker() -> None:
        for _ in range(calls // at_once):
            await host.call("echo", ARGUMENTS)

    begun = time.perf_counter()
    await asyncio.gather(*[worker() for _ in range(at_once)])
    return calls / (time.perf_counter() - begun)


async def best(measure: Callable[[], Awaitable[Any]], of: Callable[[list[Any]], Any]) -> Any:
    return of([await measure() for _ in range(ROUNDS)])


async def main() -> None:
    async with Host(MANIFEST, binary=BINARY) as host:
        await together(host, 2000, 64)
        total, inside = await best(lambda: alone(host, 2000), min)
        print(f"Host, one at a time:  {total:6.1f} µs a call, {inside:.1f} µs of them in the host")
        for at_once in (8, 64, 256):
            rate = await best(lambda: together(host, 20000, at_once), max)
            print(f"Host, {at_once:3} in flight:  {rate:8,.0f} calls/s")
        from toolhost import Call

        begun = time.perf_counter()
        calls = [Call("echo", ARGUMENTS) for _ in range(20000)]
        await host.run_all(calls)
        print(f"Host, one run of 20,000: {20000 / (time.perf_counter() - begun):8,.0f} calls/s")
    with SyncHost(MANIFEST, binary=BINARY) as sync:
        times = []
        for _ in range(2000):
            begun = time.perf_counter()
            sync.call("echo", ARGUMENTS)
            times.append(time.perf_counter() - begun)
        print(f"SyncHost, one at a time: {statistics.median(times) * 1e6:6.1f} µs a call")


asyncio.run(main())
