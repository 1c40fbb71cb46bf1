"""`Host`: calls, responses, functions, cancellation, and what happens when one of the two ends."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import gc
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any, AsyncIterator, Coroutine

import pytest
from conftest import chat, manifest

import toolhost
from toolhost import Call, Field, Host

CALLS = chat(("c1", "calculate", {"expression": "6*7"}), ("c2", "calculat", {}), ("c3", "calculate", '{"expression": '))


def run(coroutine: Coroutine[Any, Any, None], patience: float = 60) -> None:
    """Runs a test. Nothing waits for that time to pass."""
    asyncio.run(asyncio.wait_for(coroutine, patience))


def test_each_call_of_a_response_has_a_result(checked: Path) -> None:
    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            results = await host.run_all(CALLS)
            assert [result.id for result in results] == ["c1", "c2", "c3"]
            assert (results[0].ok, results[0].text) == (True, "42")
            assert [result.error.code for result in results[1:] if result.error] == ["unknown-tool", "invalid-arguments"]
            assert results[0].usage.run_ms > 0
            seen = {result.index async for result in host.run(CALLS)}
            assert seen == {0, 1, 2}
            messages = await host.answers(CALLS)
            assert [message["tool_call_id"] for message in messages] == ["c1", "c2", "c3"]
            assert messages[0]["content"] == "42"

    run(main())


def test_a_response_is_taken_in_every_shape() -> None:
    async def main() -> None:
        @dataclasses.dataclass
        class Reply:
            choices: list[Any]

        async with Host(manifest("calculator")) as host:
            text = json.dumps(CALLS)
            for response in (CALLS, text, text.encode(), Reply(CALLS["choices"]), CALLS["choices"][0]["message"]):
                results = await host.run_all(response)
                assert results[0].text == "42", response
            assert await host.answers({"role": "assistant", "content": "Hello."}, format="openai-chat") == []
            with pytest.raises(toolhost.ResponseError) as error:
                await host.run_all("<html>")
            assert error.value.code == "invalid-response"
            with pytest.raises(TypeError, match="pass the SDK's response"):
                await host.run_all(object())

    run(main())


def test_calls_by_hand_and_their_options() -> None:
    async def main() -> None:
        async with Host(manifest("calculator", "misbehave")) as host:
            result = await host.call("calculate", {"expression": "1+1"}, id="mine")
            assert (result.id, result.text) == ("mine", "2")
            assert (await host.call("calculate", '{"expression": "2+2"}')).text == "4"
            late = await host.call("spin", timeout=0.1)
            assert late.error is not None and late.error.code == "timeout"
            calls = [Call("calculate", {"expression": f"{n}+1"}) for n in range(50)]
            assert [result.text for result in await host.run_all(calls)] == [str(n + 1) for n in range(50)]
            assert await host.run_all([]) == []

    run(main())


def test_the_tools_of_each_format_and_what_a_manifest_says() -> None:
    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            assert host.tools()[0]["function"]["name"] == "calculate"
            assert host.tools("anthropic")[0]["input_schema"]["type"] == "object"
            with pytest.raises(toolhost.ResponseError, match="known formats"):
                host.tools("anthropics")  # type: ignore[arg-type]
        with pytest.raises(toolhost.ManifestError, match="unknown key"):
            async with Host({"hosts": {}}):
                pass
        with pytest.raises(toolhost.ManifestError, match="null: leave it out"):
            async with Host({"host": {"timeout": None}}):
                pass
        with pytest.raises(toolhost.ManifestError, match="no-such-file.toml"):
            async with Host("no-such-file.toml"):
                pass

    run(main())


def test_plugins_that_ship_need_no_manifest() -> None:
    async def main() -> None:
        async with Host(plugins=["calculator", "json"]) as host:
            assert {"calculate", "json_query"} <= {tool["function"]["name"] for tool in host.tools()}
            await host.reload()
            assert (await host.call("calculate", {"expression": "6*7"})).text == "42"
        with pytest.raises(toolhost.ManifestError, match="is not among the built-in plugins: calculator,"):
            async with Host(plugins=["../x"]):
                pass

    run(main())


def test_a_manifest_is_reloaded(tmp_path: Path) -> None:
    file = tmp_path / "toolhost.toml"
    file.write_text("")

    async def main() -> None:
        async with Host(file) as host:
            assert host.tools() == []
            path = manifest("calculator")["plugin"]["calculator"]["path"]
            file.write_text(f'[plugin.calculator]\npath = "{path}"')
            await host.reload()
            assert len(host.tools()) == 1
            file.write_text("[plugin")
            with pytest.raises(toolhost.ManifestError):
                await host.reload()
            assert (await host.call("calculate", {"expression": "1"})).ok
            await host.reload({})
            assert host.tools() == []

    run(main())


who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@dataclasses.dataclass
class Hit:
    title: str
    score: float


def test_functions_are_tools(checked: Path) -> None:
    async def main() -> None:
        host = Host(manifest("calculator"))

        @host.tool(read_only=True, title="Search")
        async def search(query: str, limit: Annotated[int, Field(ge=1)] = 5) -> list[Hit]:
            """Finds things.

            Args:
                query: What to find.
            """
            return [Hit(query, 0.5)] * limit

        async with host:

            @host.tool
            async def whoami() -> str:
                return f"{who.get()} on {asyncio.get_running_loop() is loop}"

            @host.tool
            def thread() -> str:
                return f"{who.get()} on {threading.current_thread() is threading.main_thread()}"

            @host.tool
            def nothing() -> None:
                pass

            @host.tool
            def picture() -> toolhost.Image:
                return toolhost.Image(b"png")

            @host.tool(name="fails")
            def failing(how: str) -> int:
                if how == "denied":
                    raise toolhost.Denied("the cellar")
                if how == "told":
                    raise toolhost.ToolError("it is empty")
                return int(how)

            loop = asyncio.get_running_loop()
            declared = {tool["name"]: tool for tool in host.tools("anthropic")}
            schema = declared["search"]["input_schema"]
            assert schema["properties"]["query"]["description"] == "What to find."
            assert schema["required"] == ["query"]
            who.set("Ada")
            found = await host.call("search", {"query": "tea", "limit": "2"})
            assert found.structured == {"result": [{"title": "tea", "score": 0.5}] * 2}
            assert found.repairs[0].path == "/limit"
            assert (await host.call("whoami")).text == "Ada on True"
            assert (await host.call("thread")).text == "Ada on False"
            assert (await host.call("nothing")).text == "Done."
            assert (await host.call("picture")).content[0]["mimeType"] == "image/png"
            failed = [await host.call("fails", {"how": how}) for how in ("denied", "told", "x", "7")]
            assert [it.error.code if it.error else None for it in failed] == ["denied", "failed", "failed", None]
            assert "ValueError: invalid literal" in failed[2].text
            assert "it is empty" in failed[1].text
            assert (await host.call("search", {"query": 1, "limits": 1})).error is not None
            # A function that is declared again replaces the one before.
            host.tool(name="nothing")(lambda: "something")  # type: ignore[arg-type, return-value]
            assert (await host.call("nothing")).text == "something"
            with pytest.raises(toolhost.InvalidTool, match="another name"):
                host.tool(name="calculate")(lambda: "mine")  # type: ignore[arg-type, return-value]
            assert (await host.call("calculate", {"expression": "1"})).text == "1"

    run(main())


def test_deadlines_hold_whether_or_not_a_function_obeys() -> None:
    ended: list[str] = []

    async def main() -> None:
        async with Host(max_calls=2) as host:

            @host.tool(timeout=0.1)
            async def obeys() -> None:
                try:
                    await asyncio.sleep(3600)
                finally:
                    ended.append("obeys")

            let_go = threading.Event()

            @host.tool(timeout=0.1)
            def runs_on() -> None:
                let_go.wait(30)
                ended.append("runs on")

            @host.tool(timeout=0.1)
            async def blocks() -> None:
                time.sleep(0.5)

            begun = time.monotonic()
            results = await host.run_all([Call("obeys"), Call("runs_on")])
            assert [result.error.code for result in results if result.error] == ["timeout", "timeout"]
            assert time.monotonic() - begun < 10
            while ended != ["obeys"]:
                await asyncio.sleep(0.001)
            # One of the two slots is still taken: the next two get the other, one after the other.
            full = await host.run_all([Call("obeys"), Call("obeys")])
            assert all(result.error for result in full)
            let_go.set()
            while "runs on" not in ended:
                await asyncio.sleep(0.001)
            blocked = await host.call("blocks")
            assert blocked.error is not None and blocked.error.code == "timeout"

    run(main())


def test_a_blocked_loop_stalls_no_one_else() -> None:
    async def main() -> None:
        async with Host() as host:
            done = threading.Event()

            @host.tool
            def first() -> None:
                done.set()

            running = asyncio.ensure_future(host.call("first"))
            await asyncio.sleep(0)
            # The function runs, and its answer is sent, while this blocks the loop.
            assert done.wait(30)
            assert (await running).ok

    run(main())


def test_cancelling_the_task_cancels_the_calls() -> None:
    async def main() -> None:
        async with Host() as host:
            started, cancelled = asyncio.Event(), asyncio.Event()

            @host.tool
            async def waits() -> None:
                started.set()
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    cancelled.set()
                    raise

            task = asyncio.ensure_future(host.run_all([Call("waits")]))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await cancelled.wait()
            # Leaving a loop over results as well.
            started.clear(), cancelled.clear()

            @host.tool
            async def quick() -> None: ...

            async for result in host.run([Call("waits"), Call("quick")]):
                assert result.name == "quick"
                await started.wait()
                break
            gc.collect()
            await cancelled.wait()
            assert (await host.call("quick")).ok

    run(main())


def events(*names: str) -> list[dict[str, Any]]:
    made = []
    for index, name in enumerate(names):
        call = {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": "{}"}}
        made.append({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    return made


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


def test_calls_start_while_the_stream_arrives(checked: Path) -> None:
    async def main() -> None:
        async with Host() as host:
            ran = asyncio.Event()

            @host.tool(read_only=True)
            async def early() -> str:
                ran.set()
                return "early"

            async def stream(as_bytes: bool) -> AsyncIterator[Any]:
                ran.clear()
                for event in events("early", "early"):
                    yield f"data: {json.dumps(event)}\n\n".encode() if as_bytes else event
                await ran.wait()
                yield f"data: {json.dumps(END)}\n\ndata: [DONE]\n\n".encode() if as_bytes else END

            for as_bytes in (False, True):
                seen: list[Any] = []
                messages = await host.answers(stream(as_bytes), on_event=seen.append)
                assert [message["content"] for message in messages] == ["early", "early"]
                assert len(seen) == 3
                texts = [result.text async for result in host.run(stream(as_bytes))]
                assert texts == ["early", "early"]

    run(main())


def test_a_stream_that_breaks_raises_and_keeps_what_ran() -> None:
    async def main() -> None:
        async with Host() as host:
            ran = asyncio.Event()

            @host.tool(read_only=True)
            async def early() -> str:
                ran.set()
                return "early"

            async def raises() -> AsyncIterator[Any]:
                for event in events("early", "early"):
                    yield event
                await ran.wait()
                raise ConnectionError("reset")

            async def ends() -> AsyncIterator[Any]:
                for event in events("early", "early"):
                    yield event

            with pytest.raises(ConnectionError, match="reset"):
                await host.run_all(raises())
            with pytest.raises(ConnectionError, match="reset"):
                [result async for result in host.run(raises())]
            with pytest.raises(toolhost.ResponseError) as error:
                await host.run_all(ends())
            assert error.value.code == "broken-stream"
            assert [result.text for result in error.value.results if result.ok] == ["early"]

    run(main())


def test_a_killed_host_is_an_error_with_the_results_so_far() -> None:
    async def main() -> None:
        async with Host() as host:

            @host.tool
            async def quick() -> None: ...

            @host.tool
            async def kills() -> None:
                await asyncio.sleep(0.05)
                os.kill(host._connection.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
                await asyncio.sleep(3600)

            with pytest.raises(toolhost.HostClosed, match="killed by SIGKILL") as error:
                await host.run_all([Call("quick"), Call("kills")])
            assert [result.name for result in error.value.results] == ["quick"]
            with pytest.raises(toolhost.HostClosed, match="killed by SIGKILL"):
                await host.call("quick")
            with pytest.raises(toolhost.HostClosed):
                host.tools()

    run(main())


def test_a_host_that_is_not_open_says_so() -> None:
    async def main() -> None:
        host = Host()
        with pytest.raises(toolhost.HostClosed, match="context manager"):
            await host.call("x")
        async with host:
            with pytest.raises(RuntimeError, match="open already"):
                await host.__aenter__()
        with pytest.raises(toolhost.HostClosed):
            await host.call("x")
        # It can be opened again.
        async with host:
            assert (await host.call("x")).error is not None

    run(main())
    with pytest.raises(RuntimeError, match="SyncHost"):
        Host().__aenter__().send(None)


def test_closing_cancels_what_runs_and_ends_the_process() -> None:
    async def main() -> None:
        async with Host() as host:

            @host.tool
            async def waits() -> None:
                await asyncio.sleep(3600)

            task = asyncio.ensure_future(host.call("waits"))
            await asyncio.sleep(0.05)
            pid = host._connection.process.pid  # type: ignore[union-attr]
        ended = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended[0], toolhost.HostClosed) or ended[0].error.code == "cancelled"  # type: ignore[union-attr]
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(main())


def test_much_data_in_both_directions_at_once() -> None:
    async def main() -> None:
        async with Host({"host": {"max-input": "8MiB", "max-output": "8MiB"}}) as host:

            @host.tool
            def back(text: str) -> str:
                return text

            texts = [chr(65 + n) * (1 << 20) for n in range(24)]
            results = await asyncio.gather(*[host.call("back", {"text": text}) for text in texts])
            assert [result.text for result in results] == texts

    run(main())


def test_a_binary_that_is_not_there_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(**options: Any) -> None:
        async with Host(**options):
            pass

    with pytest.raises(toolhost.BinaryNotFound, match="the argument `binary` names a file that is not there: /nowhere"):
        run(opened(binary="/nowhere"))
    monkeypatch.setenv("TOOLHOST_BINARY", __file__)
    with pytest.raises(toolhost.BinaryNotFound, match="TOOLHOST_BINARY names a file that cannot be executed"):
        run(opened())
    monkeypatch.delenv("TOOLHOST_BINARY")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(toolhost.BinaryNotFound, match="toolhost on PATH"):
        run(opened())


def test_a_binary_that_is_no_host_is_an_error() -> None:
    async def main() -> None:
        with pytest.raises(toolhost.HostClosed, match="exit status 1"):
            async with Host(binary="/bin/false"):
                pass

    run(main())


def test_results_are_drawn_in_notebooks() -> None:
    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            drawn = (await host.run_all(CALLS))._repr_html_()
            assert drawn.count("<rect") == 6 and "invalid-arguments" in drawn

    run(main())
