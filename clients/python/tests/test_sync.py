"""`SyncHost`: from threads, without a loop, beside a running loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import chat, manifest
from test_host import CALLS, END, events

import toolhost
from toolhost import Call, SyncHost


def test_it_does_what_the_other_does(checked: Path) -> None:
    with SyncHost(manifest("calculator")) as host:
        assert host.tools()[0]["function"]["name"] == "calculate"
        assert host.call("calculate", {"expression": "6*7"}).text == "42"
        assert [result.id for result in host.run_all(CALLS)] == ["c1", "c2", "c3"]
        assert {result.index for result in host.run(CALLS)} == {0, 1, 2}
        assert host.answers(CALLS)[0]["content"] == "42"
        with pytest.raises(toolhost.ResponseError):
            host.run_all("<html>")
        host.reload({})
        assert host.tools() == []


def test_functions_of_both_kinds() -> None:
    with SyncHost() as host:

        @host.tool
        def add(a: int, b: int) -> int:
            return a + b

        @host.tool
        async def both() -> str:
            one, two = await asyncio.gather(asyncio.sleep(0, "a"), asyncio.sleep(0, "b"))
            return one + two

        assert host.call("add", {"a": 1, "b": 2}).text == "3"
        assert host.call("both").text == "ab"


def test_a_stream_of_a_synchronous_client() -> None:
    with SyncHost() as host:
        ran = threading.Event()

        @host.tool(read_only=True)
        def early() -> str:
            ran.set()
            return "early"

        def stream(as_text: bool) -> Iterator[Any]:
            ran.clear()
            for event in events("early", "early"):
                yield f"data: {json.dumps(event)}\n\n" if as_text else event
            assert ran.wait(30)
            yield f"data: {json.dumps(END)}\n\n" if as_text else END

        for as_text in (False, True):
            assert [message["content"] for message in host.answers(stream(as_text))] == ["early", "early"]

        def raises() -> Iterator[Any]:
            yield from events("early")
            raise ConnectionError("reset")

        with pytest.raises(ConnectionError):
            host.answers(raises())
        assert host.call("early").ok


def test_many_threads_use_one_host() -> None:
    with SyncHost(manifest("calculator")) as host:

        def one(n: int) -> str:
            return host.call("calculate", {"expression": f"{n}+1"}).text

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            assert list(pool.map(one, range(400))) == [str(n + 1) for n in range(400)]


def test_inside_a_running_loop_as_in_a_notebook() -> None:
    async def cell() -> None:
        host = SyncHost(manifest("calculator")).open()

        @host.tool
        async def on_its_own_loop() -> str:
            await asyncio.sleep(0)
            return "yes"

        assert host.call("calculate", {"expression": "1+1"}).text == "2"
        assert host.call("on_its_own_loop").text == "yes"
        host.close()

    asyncio.run(cell())


def test_leaving_a_loop_over_results_cancels_the_rest() -> None:
    with SyncHost() as host:
        cancelled = threading.Event()

        @host.tool
        async def waits() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

        @host.tool
        def quick() -> None: ...

        results = host.run([Call("waits"), Call("quick")])
        assert next(results).name == "quick"
        results.close()  # type: ignore[attr-defined]
        assert cancelled.wait(30)


def test_an_asynchronous_stream_is_refused() -> None:
    async def stream() -> Any:
        yield {}

    with SyncHost() as host, pytest.raises(TypeError, match="asynchronous stream"):
        host.run_all(stream())


def test_a_host_that_is_not_closed_ends_with_its_last_reference() -> None:
    host = SyncHost().open()
    process = host._connection.process
    assert process is not None
    del host
    assert process.wait(30)


def test_the_time_of_a_deadline_is_not_that_of_the_function() -> None:
    with SyncHost() as host:
        let_go = threading.Event()

        @host.tool(timeout=0.05)
        def runs_on() -> None:
            let_go.wait(30)

        begun = time.monotonic()
        results = host.run_all(chat(("c1", "runs_on", {}), ("c2", "runs_on", {})))
        assert [result.error.code for result in results if result.error] == ["timeout", "timeout"]
        assert time.monotonic() - begun < 20
        let_go.set()
