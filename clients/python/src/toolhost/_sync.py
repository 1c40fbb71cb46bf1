"""`SyncHost`: the host, for programs without an event loop, notebooks and servers with threads."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Mapping

from . import _frames, _responses
from ._connection import Manifest, Waiting, manifest_source
from ._host import HostBase, in_order, messages, raise_failure
from ._loops import ThreadWaiter
from ._process import END_TIMEOUT
from ._results import Call, Format, Result, Results


class SyncHost(HostBase):
    """The tools of a manifest, and functions of this program, from any thread.

    ```python
    with toolhost.SyncHost("toolhost.toml") as host:
        reply = client.responses.create(model=model, input=history, tools=host.tools("openai-responses"))
        history += reply.output + host.answers(reply)
    ```

    It is `Host` without `await`. Asynchronous functions run on a loop of their own.
    """

    def __enter__(self) -> SyncHost:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> SyncHost:
        """Starts the host, where a `with` statement does not fit, as in a notebook."""
        greeting = self._connection.open(None)
        try:
            greeting.end_on_thread()
        except BaseException:
            self._connection.close()
            raise
        self._connection.greeted(greeting)
        return self

    def close(self) -> None:
        """Ends the host: what runs is cancelled."""
        process = self._connection.process
        self._connection.close()
        if process is not None:
            process.wait(END_TIMEOUT + 1)

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        id: str | None = None,
        client: str | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Result:
        """Calls one tool. `timeout` is in seconds, and counts if it is sooner than the tool's own."""
        waiting = self._run(Call(name, arguments, id), None, client, timeout, idempotency_key)
        if waiting.error is not None:
            raise waiting.error
        return waiting.results[0]

    def run_all(
        self,
        response: Any,
        *,
        format: Format | None = None,
        client: str | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Results:
        """Runs the calls of a response, or a list of `Call`, and returns their results in the order of the calls."""
        return in_order(self._run(response, format, client, timeout, idempotency_key))

    def answers(
        self,
        response: Any,
        *,
        format: Format | None = None,
        client: str | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        on_event: Callable[[Any], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Runs the calls of a response, and returns the messages that go back to the model; none if it has no calls.

        Of a stream, calls that can change nothing start while it arrives. `on_event` sees each of its events.
        """
        wanted = ',"results":false,"messages":true'
        return messages(self._run(response, format, client, timeout, idempotency_key, wanted, on_event))

    def run(
        self,
        response: Any,
        *,
        format: Format | None = None,
        client: str | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Iterator[Result]:
        """Runs the calls of a response, or a list of `Call`, and yields each result as it completes.

        Of a stream, results are yielded once it has ended; its calls start while it arrives.
        """
        waiting = self._start(response, format, client, timeout, idempotency_key)
        seen: list[Result] = []
        try:
            while True:
                waiter = waiting.watch()
                is_over = waiting.done is not None
                while waiting.results:
                    result = waiting.results.popleft()
                    seen.append(result)
                    yield result
                if is_over:
                    break
                waiter.wait()
        finally:
            self._connection.cancel(waiting)
        raise_failure(waiting, seen)

    def reload(self, manifest: Manifest = None) -> None:
        """Loads the manifest, its plugins and its servers again. What runs goes on; if it fails, nothing changes."""
        waiting = Waiting(None)
        named = f',"manifest":{_frames.dumps(manifest_source(manifest))}' if manifest is not None else ""
        self._connection.begin(waiting, '{"type":"reload"', named)
        waiting.end_on_thread()
        if waiting.error is not None:
            raise waiting.error

    def _run(
        self,
        response: Any,
        format: Format | None,
        client: str | None,
        timeout: float | None,
        idempotency_key: str | None,
        wanted: str = "",
        on_event: Callable[[Any], None] | None = None,
    ) -> Waiting:
        """Runs a response to its end."""
        waiting = self._start(response, format, client, timeout, idempotency_key, wanted, on_event)
        try:
            waiting.end_on_thread()
        except BaseException:
            self._connection.cancel(waiting)
            raise
        return waiting

    def _start(
        self,
        response: Any,
        format: Format | None,
        client: str | None,
        timeout: float | None,
        idempotency_key: str | None,
        wanted: str = "",
        on_event: Callable[[Any], None] | None = None,
    ) -> Waiting:
        """Sends a whole response, or a stream to its end."""
        if self._connection.runs_functions_here():
            raise RuntimeError(
                "an asynchronous function of a SyncHost cannot wait for the host on the loop that it runs on: "
                "make it a `def`, or `await asyncio.to_thread(host.call, ...)`"
            )
        self._room()
        waiting = Waiting(None)
        if isinstance(response, Call) or not _responses.is_stream(response):
            self._begin(waiting, response, None, format, client, timeout, idempotency_key, wanted)
            return waiting
        if hasattr(response, "__aiter__") and not hasattr(response, "__iter__"):
            raise TypeError("SyncHost cannot read an asynchronous stream: use Host, or the SDK's synchronous client")
        sender = _responses.Sender(on_event)
        try:
            for event in response:
                kind, data = sender.take(event)
                if kind is not None:
                    self._begin(waiting, None, kind, format, client, timeout, idempotency_key, wanted)
                if data is not None:
                    self._connection.send_of(waiting, {"type": "data", "data": data})
                self._room()
                if waiting.done is not None:
                    return waiting
        except BaseException as error:
            if sender.kind is not None:
                # What ran has its results; the program hears of its own error.
                frame = {"type": "end", "error": f"{type(error).__name__}: {error}"}
                with contextlib.suppress(Exception):
                    self._connection.send_of(waiting, frame)
                    waiting.end_on_thread(END_TIMEOUT)
            raise
        if sender.kind is None:
            self._begin(waiting, None, "text", format, client, timeout, idempotency_key, wanted)
        self._connection.send_of(waiting, {"type": "end"})
        return waiting

    def _room(self) -> None:
        """Waits while the host reads more slowly than this program writes."""
        process = self._connection.process
        if process is not None and process.backlog_size:
            waiter = ThreadWaiter()
            process.when_drained(waiter.set)
            waiter.wait()
