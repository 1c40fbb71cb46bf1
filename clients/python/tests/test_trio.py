"""`Host` under trio, and under anyio on both."""

from __future__ import annotations

from typing import Any, AsyncIterator

import anyio
import pytest
import trio
from conftest import manifest
from test_host import END, events

from toolhost import Call, Host


def test_calls_functions_and_cancellation_under_trio() -> None:
    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            started, cancelled = trio.Event(), trio.Event()

            @host.tool
            async def waits() -> None:
                started.set()
                try:
                    await trio.sleep_forever()
                finally:
                    cancelled.set()

            @host.tool
            async def add(a: int, b: int) -> int:
                await trio.lowlevel.checkpoint()
                return a + b

            assert (await host.call("calculate", {"expression": "6*7"})).text == "42"
            assert (await host.call("add", {"a": 1, "b": 2})).text == "3"
            results = [result.text async for result in host.run([Call("add", {"a": 1, "b": n}) for n in range(3)])]
            assert sorted(results) == ["1", "2", "3"]
            with trio.move_on_after(30) as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(host.call, "waits")
                    await started.wait()
                    nursery.cancel_scope.cancel()
                await cancelled.wait()
            assert not scope.cancelled_caught

            @host.tool(timeout=0.05)
            async def late() -> None:
                await trio.sleep_forever()

            result = await host.call("late")
            assert result.error is not None and result.error.code == "timeout"

            @host.tool(read_only=True)
            async def early() -> str:
                return "early"

            async def stream() -> AsyncIterator[Any]:
                for event in [*events("early"), END]:
                    yield event

            assert (await host.answers(stream()))[0]["content"] == "early"

    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_under_anyio(backend: str) -> None:
    async def main() -> None:
        async with Host() as host:

            @host.tool
            async def naps() -> str:
                await anyio.sleep(0.001)
                return "rested"

            texts: list[str] = []

            async def call() -> None:
                texts.append((await host.call("naps")).text)

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(call)
            assert texts == ["rested"] * 5

    anyio.run(main, backend=backend)
