"""Forks, exits, closed loops, killed processes: nothing hangs, and no process is left."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import BINARY, manifest, needs

import toolhost
from toolhost import Call, Host, SyncHost

SOURCE = str(Path(toolhost.__file__).resolve().parents[1])


def is_gone(pid: int) -> bool:
    """Whether a process has ended, within a while."""
    for _ in range(3000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # An orphan that has ended stays a zombie until it is reaped.
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def program(text: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program with the client; a hang is an error."""
    env = {**os.environ, "PYTHONPATH": SOURCE}
    code = "import toolhost, asyncio, os, sys, threading, time\n" + textwrap.dedent(text)
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_the_interpreter_exits_with_an_open_host() -> None:
    ended = program(
        """
        host = toolhost.SyncHost().open()
        keep = [host]
        print(host._connection.process.pid)
        """
    )
    assert ended.returncode == 0, ended.stderr
    assert is_gone(int(ended.stdout)) and ended.stderr == ""


def test_the_interpreter_exits_while_functions_hang() -> None:
    begun = time.monotonic()
    ended = program(
        """
        async def main():
            async with toolhost.Host() as host:
                @host.tool(timeout=0.05)
                def hangs() -> None:
                    time.sleep(3600)
                result = await host.call("hangs")
                print(host._connection.process.pid, result.error.code)
        asyncio.run(main())
        """
    )
    assert ended.returncode == 0, ended.stderr
    pid, code = ended.stdout.split()
    assert code == "timeout" and is_gone(int(pid))
    assert time.monotonic() - begun < 40


def test_a_program_that_is_killed_leaves_no_host() -> None:
    ended = program(
        """
        host = toolhost.SyncHost().open()
        @host.tool
        def hangs() -> None:
            time.sleep(3600)
        threading.Thread(target=host.call, args=("hangs",), daemon=True).start()
        print(host._connection.process.pid, flush=True)
        time.sleep(0.1)
        os.kill(os.getpid(), 9)
        """
    )
    assert ended.returncode == -signal.SIGKILL
    assert is_gone(int(ended.stdout))


def test_a_raised_exception_ends_the_host() -> None:
    ended = program(
        """
        async def main():
            async with toolhost.Host() as host:
                print(host._connection.process.pid, flush=True)
                raise RuntimeError("mine")
        asyncio.run(main())
        """
    )
    assert ended.returncode == 1 and "RuntimeError: mine" in ended.stderr
    assert is_gone(int(ended.stdout))


def test_a_fork_does_not_share_the_host() -> None:
    with SyncHost(manifest("calculator")) as host:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    host.call("calculate", {"expression": "1"})
                except toolhost.HostClosed as error:
                    if "os.fork" in str(error):
                        # A host of its own works.
                        with SyncHost(manifest("calculator")) as own:
                            status = 0 if own.call("calculate", {"expression": "2+2"}).text == "4" else 2
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            assert host.call("calculate", {"expression": "1+1"}).text == "2"


def test_a_forked_child_does_not_keep_the_host_alive() -> None:
    host = SyncHost().open()
    process = host._connection.process
    assert process is not None
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        begun = time.monotonic()
        host.close()
        # Its stdin has no other end in the child.
        assert process.wait(5) and time.monotonic() - begun < 5
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)
        os.close(read), os.close(write)


def _in_child(sender: Any) -> None:
    with SyncHost(manifest("calculator")) as host:
        sender.send(host.call("calculate", {"expression": "6*7"}).text)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    with SyncHost(manifest("calculator")) as host:
        context = multiprocessing.get_context(method)
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_in_child, args=(sender,))
        child.start()
        assert receiver.poll(60) and receiver.recv() == "42"
        child.join(30)
        assert child.exitcode == 0
        assert host.call("calculate", {"expression": "1+1"}).text == "2"


def test_a_host_outlives_the_loop_that_opened_it() -> None:
    host = Host(manifest("calculator"))
    asyncio.run(host.__aenter__())  # type: ignore[arg-type]

    @host.tool
    async def naps() -> str:
        await asyncio.sleep(0)
        return "rested"

    async def call(name: str) -> toolhost.Result:
        return await host.call(name, {"expression": "1+1"} if name == "calculate" else {})

    for _ in range(3):
        assert asyncio.run(call("calculate")).text == "2"
        assert asyncio.run(call("naps")).text == "rested"
    asyncio.run(host.close())


def test_a_loop_that_is_closed_while_calls_run() -> None:
    host = Host()

    @host.tool
    async def waits() -> None:
        await asyncio.sleep(3600)

    async def leave() -> None:
        await host.__aenter__()
        for _ in range(10):
            asyncio.ensure_future(host.call("waits"))
        await asyncio.sleep(0.05)

    asyncio.run(leave())

    async def again() -> None:
        result = await host.call("waits", timeout=0.05)
        assert result.error is not None and result.error.code == "timeout"
        await host.close()

    asyncio.run(again())


STRESS_CALLS = int(os.environ.get("TOOLHOST_STRESS_CALLS") or 1200)
"""`.ci/full` makes them 12,000."""


def test_calls_with_random_cancels_and_killed_hosts() -> None:
    random.seed(18)
    rounds, at_once = STRESS_CALLS // 200, 200
    counts = {"done": 0, "cancelled": 0, "closed": 0}

    async def call(host: Host, n: int) -> None:
        wait = random.choice([None, 0, 0.001, 0.005])
        calls = [Call("calculate", {"expression": f"{n}+1"}), Call("naps", {"n": n}), Call("thread", {"n": n})]
        task = asyncio.ensure_future(host.run_all(calls[: random.randrange(1, 4)]))
        if wait is not None:
            await asyncio.sleep(wait)
            task.cancel()
        try:
            results = await task
        except asyncio.CancelledError:
            counts["cancelled"] += 1
        except toolhost.HostClosed:
            counts["closed"] += 1
        else:
            expected = [str(n + 1), str(n), str(n)]
            assert [result.text for result in results] == expected[: len(results)]
            counts["done"] += 1

    async def main() -> None:
        for round in range(rounds):
            async with Host(manifest("calculator")) as host:

                @host.tool
                async def naps(n: int) -> int:
                    await asyncio.sleep(0.001)
                    return n

                @host.tool
                def thread(n: int) -> int:
                    return n

                running = asyncio.gather(*[call(host, n) for n in range(at_once)])
                process = host._connection.process
                if round % 2 and process is not None:
                    await asyncio.sleep(random.random() / 50)
                    os.kill(process.pid, signal.SIGKILL)
                await running
                assert not host._connection._waiting or round % 2 == 0
            assert process is not None and is_gone(process.pid)

    asyncio.run(asyncio.wait_for(main(), 20 * rounds))
    assert sum(counts.values()) == rounds * at_once and min(counts["done"], counts["cancelled"]) > 100, counts


def test_an_idle_host_does_nothing() -> None:
    with SyncHost(manifest("calculator")) as host:
        assert host.call("calculate", {"expression": "1+1"}).text == "2"
        process = host._connection.process
        assert process is not None

        def switches() -> dict[str, int]:
            """How often each of its threads has run."""
            found = {}
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                lines = (task / "status").read_text().splitlines()
                found[task.name] = sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
            return found

        # Its timer ticks for a second after the last call. It comes to rest, or this takes for ever.
        for _ in range(300):
            before = switches()
            time.sleep(0.2)
            if switches() == before:
                break
        else:
            raise AssertionError("its threads never rest")
        assert host.call("calculate", {"expression": "1+1"}).text == "2"


def test_workers_of_gunicorn(tmp_path: Path) -> None:
    needs("gunicorn")
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            f"""
            import os, toolhost
            MANIFEST = {manifest("calculator")!r}
            shared = toolhost.SyncHost(MANIFEST).open()  # with --preload, before the fork
            own = None

            def app(environ, start_response):
                global own
                try:
                    shared.call("calculate", {{"expression": "1"}})
                    said = "shared"
                except toolhost.HostClosed as error:
                    said = "os.fork" if "os.fork" in str(error) else str(error)
                own = own or toolhost.SyncHost(MANIFEST).open()
                text = own.call("calculate", {{"expression": "6*7"}}).text
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [f"{{said}} {{text}} {{own._connection.process.pid}}".encode()]
            """
        )
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Workers are replaced after a few requests.
    options = ["--preload", "--workers=2", "--max-requests=5", f"--bind=127.0.0.1:{port}", "--graceful-timeout=5"]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "app:app"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE},
        stderr=subprocess.DEVNULL,
    )
    hosts = set()
    try:
        for _ in range(24):
            said, text, pid = _get(port).split()
            assert (said, text) == ("os.fork", "42")
            hosts.add(int(pid))
    finally:
        server.terminate()
        assert server.wait(60) == 0
    assert len(hosts) >= 4 and all(is_gone(pid) for pid in hosts)


def _get(port: int) -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
                return str(response.read().decode())
        except (ConnectionError, urllib.error.URLError):
            time.sleep(0.1)  # It starts, or replaces a worker.
    raise AssertionError("the server does not start")


def test_the_command_by_itself(tmp_path: Path) -> None:
    def pipe(*lines: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BINARY, "pipe"],
            input="".join(line + "\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )

    assert pipe().returncode == 0
    refused = pipe("no frame")
    assert refused.returncode == 1 and '"code":"invalid-frame"' in refused.stdout
    # A manifest that is found must be trusted; one that is named is.
    project = tmp_path / "project"
    project.mkdir()
    (project / "toolhost.toml").write_text(f'[audit]\npath = "{tmp_path}/audit.jsonl"\n')
    env = {**os.environ, "HOME": str(tmp_path)}
    untrusted = pipe('{"type":"hello","version":1}', cwd=project, env=env)
    assert '"code":"untrusted"' in untrusted.stdout and untrusted.returncode == 1
    named = pipe('{"type":"hello","version":1,"manifest":{"file":"toolhost.toml"}}', cwd=project, env=env)
    assert "error" not in named.stdout and named.returncode == 0


def test_the_binary_and_the_client_have_one_version_or_say_so(tmp_path: Path) -> None:
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[-1] == toolhost.__version__
    other = tmp_path / "toolhost"
    greeting = '{"type":"hello","version":1,"host":"9.8.7","max_frame":1000,"formats":[]}'
    other.write_text(f"#!/bin/sh\nread hello\necho '{greeting}'\ncat > /dev/null\n")
    other.chmod(0o755)
    with pytest.warns(RuntimeWarning, match=f"{other} has version 9.8.7, and toolhost-client {toolhost.__version__}"):
        with SyncHost(binary=other):
            pass
