"""Functions that call the host: no deadlock at one call at a time, and the end of a call ends what it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import manifest, needs
from test_host import END, events

import toolhost
from toolhost import Call, Host, SyncHost


def one_at_a_time(*plugins: str) -> dict[str, Any]:
    return manifest(*plugins, **{"max-concurrency": 1})


def test_functions_call_the_host_at_one_call_at_a_time(checked: Path) -> None:
    async def main() -> None:
        async with Host(one_at_a_time("calculator"), max_calls=1) as host:

            @host.tool
            async def down(n: int) -> str:
                if n == 0:
                    return (await host.call("calculate", {"expression": "6*7"})).text
                return (await host.call("down", {"n": n - 1})).text

            @host.tool
            async def together() -> str:
                calls = [Call("calculate", {"expression": f"{n}+1"}) for n in range(8)]
                both = await asyncio.gather(host.run_all(calls), host.call("down", {"n": 1}))
                return " ".join(result.text for result in both[0]) + " " + both[1].text

            results = await asyncio.gather(*(host.call("down", {"n": n % 15}) for n in range(30)))
            assert [result.text for result in results] == ["42"] * 30
            result = await host.call("together")
            assert result.text == "1 2 3 4 5 6 7 8 42"
            assert result.usage.calls == 11
            too_deep = await host.call("down", {"n": 16})
            assert "nested more than 16 deep" in too_deep.text

    asyncio.run(asyncio.wait_for(main(), 60))


def test_synchronous_functions_too() -> None:
    with SyncHost(one_at_a_time("calculator"), max_calls=1) as host:

        @host.tool
        def down(n: int) -> str:
            if n == 0:
                return host.call("calculate", {"expression": "6*7"}).text
            return host.call("down", {"n": n - 1}).text

        @host.tool
        async def from_the_loop() -> str:
            return (await asyncio.to_thread(host.call, "down", {"n": 2})).text

        @host.tool
        async def blocks_its_own_loop() -> str:
            return host.call("down", {"n": 0}).text

        assert host.call("down", {"n": 14}, timeout=60).text == "42"
        assert host.call("from_the_loop").text == "42"
        assert "asyncio.to_thread" in host.call("blocks_its_own_loop").text


def test_a_stream_in_a_function() -> None:
    async def main() -> None:
        async with Host(one_at_a_time(), max_calls=1) as host:

            @host.tool(read_only=True)
            async def leaf() -> str:
                return "leaf"

            @host.tool
            async def agent() -> str:
                async def stream() -> Any:
                    for event in events("leaf", "leaf"):
                        yield event
                    yield END

                return json.dumps([message["content"] for message in await host.answers(stream())])

            assert json.loads((await host.call("agent")).text) == ["leaf", "leaf"]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_trio() -> None:
    needs("trio")
    import trio

    async def main() -> None:
        with trio.fail_after(60):
            async with Host(one_at_a_time("calculator"), max_calls=1) as host:

                @host.tool
                async def down(n: int) -> str:
                    if n == 0:
                        return (await host.call("calculate", {"expression": "6*7"})).text
                    return (await host.call("down", {"n": n - 1})).text

                assert (await host.call("down", {"n": 5})).text == "42"

    trio.run(main)


def test_the_end_of_a_call_ends_what_its_function_runs() -> None:
    async def main() -> None:
        async with Host() as host:
            left: list[asyncio.Task[toolhost.Result]] = []
            started, cancelled = asyncio.Event(), asyncio.Event()

            @host.tool
            async def waits() -> None:
                started.set()
                try:
                    await asyncio.sleep(3600)
                finally:
                    cancelled.set()

            @host.tool
            async def does_not_wait() -> str:
                left.append(asyncio.create_task(host.call("waits")))
                await started.wait()
                return "returned"

            assert (await host.call("does_not_wait")).text == "returned"
            result = await left[0]
            assert result.error is not None and result.error.code == "cancelled"
            await cancelled.wait()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_what_a_function_starts_when_it_has_returned_is_a_run_of_its_own() -> None:
    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            left: list[asyncio.Task[toolhost.Result]] = []
            returned = asyncio.Event()

            @host.tool
            async def starts() -> None:
                async def later() -> toolhost.Result:
                    await returned.wait()
                    return await host.call("calculate", {"expression": "1+1"})

                left.append(asyncio.create_task(later()))

            await host.call("starts")
            returned.set()
            assert (await left[0]).text == "2"

    asyncio.run(asyncio.wait_for(main(), 60))


def test_another_host_in_a_function_knows_nothing_of_the_call() -> None:
    async def main() -> None:
        async with Host() as one, Host(manifest("calculator")) as other:

            @one.tool
            async def delegates() -> str:
                return (await other.call("calculate", {"expression": "2+2"})).text

            assert (await one.call("delegates")).text == "4"

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_nested_call_is_for_the_client_of_its_call() -> None:
    async def main() -> None:
        async with Host() as host:

            @host.tool
            async def leaf() -> str:
                return "leaf"

            @host.tool
            async def asks_for_another() -> str:
                return (await host.call("leaf", client="bob")).text

            result = await host.call("asks_for_another", client="alice")
            assert not result.ok and "alice" in result.text
            assert (await host.call("asks_for_another", client="bob")).text == "leaf"

    asyncio.run(asyncio.wait_for(main(), 60))


def test_an_answer_of_an_ended_host_does_not_reach_the_next() -> None:
    import threading

    let_go, has_returned = threading.Event(), threading.Event()
    host = SyncHost()

    @host.tool
    def slow(who: str) -> str:
        if who == "first":
            let_go.wait(60)
        return who

    @host.tool
    def releases() -> str:
        let_go.set()
        has_returned.wait(0.2)
        return "own"

    with host:
        thread = threading.Thread(target=lambda: pytest.raises(toolhost.HostClosed, host.call, "slow", {"who": "first"}))
        thread.start()
        process = host._connection.process
        while not host._connection.functions._calls:
            pass
        assert process is not None
        process.kill()
        thread.join(60)
        host.close()
    with host:
        # Its call has the id of the other's.
        assert host.call("releases").text == "own"
