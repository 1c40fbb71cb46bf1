"""What was reported of other clients that keep a process at the other end of a pipe, tried on this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from conftest import manifest, needs
from test_lifecycle import SOURCE, is_gone

import toolhost
from toolhost import Call, Host, SyncHost


def pid_of(host: Any) -> int:
    process = host._connection.process
    assert process is not None
    pid: int = process.pid
    return pid


def fake(tmp_path: Path, text: str) -> str:
    """A binary that is no host."""
    binary = tmp_path / "toolhost"
    binary.write_text(text)
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return str(binary)


def test_hosts_are_closed_in_any_order_and_by_any_task() -> None:
    """modelcontextprotocol/python-sdk#577, microsoft/agent-framework#2846: only the task that opened it, and the last first."""

    async def main() -> None:
        hosts = [Host(manifest("calculator")) for _ in range(3)]
        for host in hosts:
            await asyncio.create_task(host.__aenter__())  # type: ignore[arg-type]
        pids = [pid_of(host) for host in hosts]
        for host in hosts:
            assert (await host.call("calculate", {"expression": "1+1"})).text == "2"
            await asyncio.create_task(host.close())
        assert all(is_gone(pid) for pid in pids)

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_cancelling_what_is_around_a_call_ends_the_process(library: str) -> None:
    """pydantic/pydantic-ai#8548: the process is left when an outer scope is cancelled."""
    needs("anyio"), needs("trio")
    import anyio

    pids = []

    async def main() -> None:
        with anyio.CancelScope() as outer:
            async with Host() as host:
                pids.append(pid_of(host))

                @host.tool
                async def waits() -> None:
                    outer.cancel()
                    await anyio.sleep(3600)

                await host.call("waits")

    anyio.run(main, backend=library)
    assert is_gone(pids[0])


def test_a_timeout_around_opening_leaves_no_process(tmp_path: Path) -> None:
    """pincerhq/pincer#96: a timeout around the start of a server that does not answer."""
    left = tmp_path / "pid"
    host = Host(binary=fake(tmp_path, f"#!/bin/sh\necho $$ > {left}\nexec sleep 3600\n"))

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(host.__aenter__(), 0.5)

    asyncio.run(asyncio.wait_for(main(), 60))
    # The shell may not have come that far.
    if left.exists() and left.read_text():
        assert is_gone(int(left.read_text()))


def test_a_binary_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    """evanw/esbuild#2129: a wrong path of the binary hangs."""
    for text in ("no program", "#!/nowhere/sh\n", "#!/bin/sh\nexit 3\n", "#!/bin/sh\necho what\nexec sleep 3600\n"):
        with pytest.raises((toolhost.HostClosed, OSError)), SyncHost(binary=fake(tmp_path, text)):
            pass

        async def main() -> None:
            async with Host(binary=str(tmp_path / "toolhost")):
                pass

        with pytest.raises((toolhost.HostClosed, OSError)):
            asyncio.run(asyncio.wait_for(main(), 30))
    with pytest.raises(toolhost.BinaryNotFound), SyncHost(binary=tmp_path):
        pass


def test_a_host_that_has_died_can_be_opened_again() -> None:
    """evanw/esbuild#2884: a service that has died is never started again."""
    host = SyncHost(manifest("calculator"))
    for _ in range(3):
        with host:
            assert host.call("calculate", {"expression": "1+1"}).text == "2"
            pid = pid_of(host)
            os.kill(pid, 9)
            with pytest.raises(toolhost.HostClosed, match="SIGKILL"):
                while True:
                    host.call("calculate", {"expression": "1+1"})
        assert is_gone(pid)


def test_both_ends_write_much_without_a_deadlock() -> None:
    """bitwisecook/tcl-lsp#1334, quick-lint/quick-lint-js#237: both block in a write, as neither reads."""

    async def main() -> None:
        async with Host(manifest("echo")) as host:
            text = "x" * 300_000
            runs = [host.run_all([Call("echo", {"text": text})] * 8) for _ in range(12)]
            for results in await asyncio.gather(*runs):
                assert all(result.text == text for result in results)

    asyncio.run(asyncio.wait_for(main(), 120))


def test_nobody_reads_stderr() -> None:
    """modelcontextprotocol/typescript-sdk#2776, autozimu/LanguageClient-neovim#101: a full stderr stops the server."""
    program = """
        import time, toolhost
        with toolhost.SyncHost(env={"TOOLHOST_LOG": "toolhost=trace"}, max_calls=64) as host:
            @host.tool(timeout=0.01)
            def late() -> None:
                time.sleep(1.2)
            @host.tool
            def soon() -> str:
                return "soon"
            # Each is reported.
            for _ in range(3):
                host.run_all([toolhost.Call("late")] * 30)
            print(host.call("soon", timeout=30).text, flush=True)
    """
    read, write = os.pipe()
    try:
        # It is full from the start.
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            stderr=write,
            text=True,
            timeout=90,
            check=False,
        )
    finally:
        os.close(read), os.close(write)
    assert ran.stdout == "soon\n"


def test_a_loop_that_is_closed_leaves_no_noise() -> None:
    """python/cpython#114177: an exception in `__del__` once the loop is closed, and an orphan."""
    program = """
        import asyncio, toolhost
        async def main():
            host = await toolhost.Host().__aenter__()
            @host.tool
            async def waits() -> None:
                await asyncio.sleep(3600)
            asyncio.ensure_future(host.call("waits"))
            await asyncio.sleep(0.05)
            print(host._connection.process.pid, flush=True)
        asyncio.run(main())
    """
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0 and is_gone(int(ran.stdout))
    assert "Traceback" not in ran.stderr, ran.stderr


def test_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """MagicStack/uvloop#128: children are not reaped."""
    needs("uvloop")
    uvloop = __import__("uvloop")

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            pid = pid_of(host)

            @host.tool
            async def naps() -> str:
                await asyncio.sleep(0)
                return "rested"

            calls = [Call("calculate", {"expression": "1+1"}), Call("naps")] * 50
            assert [result.text for result in await host.run_all(calls)] == ["2", "rested"] * 50
        assert is_gone(pid)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 60))
    finally:
        loop.close()
