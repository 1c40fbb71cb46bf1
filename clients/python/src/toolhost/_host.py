"""`Host`: the host, for programs with an event loop."""

from __future__ import annotations

import contextvars
import os
import weakref
from typing import Any, AsyncIterator, Callable, Iterable, Mapping, Sequence, TypeVar, overload

from . import _frames, _loops, _responses
from ._connection import Connection, Manifest, Waiting, manifest_source
from ._exceptions import HostClosed, ResponseError
from ._functions import ProgramTool
from ._results import Call, Format, Result, Results
from ._signatures._functions import locals_of_caller

F = TypeVar("F", bound=Callable[..., Any])


class HostBase:
    """What the two hosts share."""

    def __init__(
        self,
        manifest: Manifest = None,
        *,
        plugins: Iterable[str] = (),
        binary: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        max_calls: int | None = None,
    ) -> None:
        """A host that is started by `with`.

        Args:
            manifest: The path of a manifest, or its content as a dict; a host without plugins if there is none.
            plugins: Plugins that ship with toolhost, by name: `["calculator", "json"]`. They are granted nothing.
            binary: The `toolhost` binary, if it is not to be looked for.
            env: Environment variables for it, in addition to this process's.
            max_calls: How many functions of the program run at once [default: 64].
        """
        self._connection = Connection(manifest, binary, env, max_calls, plugins)
        weakref.finalize(self, self._connection.close)

    @overload
    def tool(self, function: F, /) -> F: ...

    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        timeout: float | None = None,
    ) -> Callable[[F], F]: ...

    def tool(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        timeout: float | None = None,
    ) -> F | Callable[[F], F]:
        """Makes a tool of a function, which stays a function.

        Its type hints are the schema, its docstring is the description. An `async def` runs on the loop of the run
        that calls it, with its context variables, and is cancelled at its deadline; a `def` runs on a thread, and at
        its deadline only its call ends.

        Args:
            name: The tool's name, when it is not the function's.
            title: A name for people.
            description: What the model reads in place of the docstring.
            read_only: It changes nothing, so that it may start while the model still speaks.
            destructive: It may destroy something.
            idempotent: A second call with the same arguments changes nothing more.
            open_world: It reaches beyond the program.
            timeout: The deadline of each call, in seconds, if it is sooner than the manifest's.
        """
        local_names = locals_of_caller(1)
        hints = {"read_only": read_only, "destructive": destructive, "idempotent": idempotent, "open_world": open_world}

        def register(function: F) -> F:
            made = ProgramTool(function, name, title, description, hints, timeout, local_names)
            tools = self._connection.functions.tools
            before = tools.get(made.name)
            tools[made.name] = made
            try:
                self._connection.declare()
            except BaseException:
                if before is None:
                    del tools[made.name]
                else:
                    tools[made.name] = before
                raise
            return function

        return register if function is None else register(function)

    def tools(self, format: Format = "openai-chat") -> Any:
        """The tools as an API takes them: what goes into the request's `tools`, or Bedrock's `toolConfig`."""
        return self._connection.tools(format)

    def _begin(
        self,
        waiting: Waiting,
        response: Any,
        kind: str | None,
        format: Format | None,
        client: str | None,
        timeout: float | None,
        idempotency_key: str | None,
        wanted: str = "",
    ) -> None:
        """Sends a `run`."""
        if kind is not None:
            what = f'"stream":"{kind}"'
        elif isinstance(response, Call):
            what = f'"calls":[{_call(response)}]'
        elif isinstance(response, (list, tuple)) and response and isinstance(response[0], Call):
            what = f'"calls":[{",".join(map(_call, response))}]'
        elif isinstance(response, (list, tuple)) and not response:
            what = '"calls":[]'
        else:
            what = f'"response":{_responses.to_json(response)}'
        options: dict[str, Any] = {}
        if format is not None:
            options["format"] = format
        if client is not None:
            options["client"] = client
        if timeout is not None:
            options["timeout_ms"] = max(1, round(timeout * 1000))
        if idempotency_key is not None:
            options["idempotency_key"] = idempotency_key
        if (parent := self._connection.functions.current_call()) is not None:
            options["parent"] = parent
        said = "," + _frames.dumps(options)[1:-1] if options else ""
        self._connection.begin(waiting, '{"type":"run"', f",{what}{said}{wanted}")


def _call(call: Call) -> str:
    arguments = call.arguments
    parts = [f'"name":{_frames.dumps(call.name)}']
    if call.id is not None:
        parts.append(f'"id":{_frames.dumps(call.id)}')
    if arguments is not None:
        parts.append(f'"arguments":{_frames.dumps(arguments)}')
    return "{" + ",".join(parts) + "}"


def in_order(waiting: Waiting) -> Results:
    """All results of a run that has ended. Raises what went wrong with the run as a whole."""
    results = Results(sorted(waiting.results, key=lambda result: result.index))
    raise_failure(waiting, results)
    return results


def raise_failure(waiting: Waiting, results: Sequence[Result]) -> None:
    error = waiting.error
    if error is not None:
        if isinstance(error, (ResponseError, HostClosed)):
            error.results = list(results)
        raise error


def messages(waiting: Waiting) -> list[dict[str, Any]]:
    raise_failure(waiting, list(waiting.results))
    found: list[dict[str, Any]] = (waiting.done or {}).get("messages", [])
    return found


class Host(HostBase):
    """The tools of a manifest, and functions of this program, for asyncio and trio.

    ```python
    async with toolhost.Host("toolhost.toml") as host:
        @host.tool(read_only=True)
        async def search(query: str, limit: int = 5) -> list[str]: ...

        reply = await client.responses.create(model=model, input=history, tools=host.tools("openai-responses"))
        history += reply.output + await host.answers(reply)
    ```

    A tool that fails, hangs or crashes has a `Result` with an `error`, as its siblings have theirs. Cancelling the task
    cancels the calls.
    """

    async def __aenter__(self) -> Host:
        loop = _loops.current()
        greeting = self._connection.open(loop)
        try:
            await greeting.end()
        except BaseException:
            self._connection.close()
            raise
        self._connection.greeted(greeting)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the host: what runs is cancelled."""
        process = self._connection.process
        self._connection.flush()
        self._connection.close()
        if process is None:
            return
        loop = _loops.current()
        waiter = loop.waiter()
        process.when_ended(lambda: _post(loop, waiter.set))
        await waiter.wait()

    async def call(
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
        waiting = await self._run(Call(name, arguments, id), None, client, timeout, idempotency_key)
        if waiting.error is not None:
            raise waiting.error
        return waiting.results[0]

    async def run_all(
        self,
        response: Any,
        *,
        format: Format | None = None,
        client: str | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Results:
        """Runs the calls of a response, or a list of `Call`, and returns their results in the order of the calls."""
        return in_order(await self._run(response, format, client, timeout, idempotency_key))

    async def answers(
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
        return messages(await self._run(response, format, client, timeout, idempotency_key, wanted, on_event))

    async def run(
        self,
        response: Any,
        *,
        format: Format | None = None,
        client: str | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncIterator[Result]:
        """Runs the calls of a response, or a list of `Call`, and yields each result as it completes."""
        loop = _loops.current()
        waiting = Waiting(loop)
        feeding: Callable[[], None] | None = None
        raised: list[Exception] = []
        if isinstance(response, Call) or not _responses.is_stream(response):
            await self._connection.room(loop)
            self._begin(waiting, response, None, format, client, timeout, idempotency_key)
        else:

            async def feed() -> None:
                try:
                    await self._streamed(waiting, response, format, client, timeout, idempotency_key)
                except Exception as error:
                    # Raised where the results are taken, after those of what ran.
                    raised.append(error)
                    if not waiting.id:
                        waiting.done = {}
                        waiting.wake()

            feeding = loop.start(feed, contextvars.copy_context())
        seen: list[Result] = []
        try:
            while True:
                while waiting.results:
                    result = waiting.results.popleft()
                    seen.append(result)
                    yield result
                if waiting.done is not None:
                    break
                await waiting.more()
        finally:
            if feeding is not None:
                feeding()
            self._connection.cancel(waiting)
        if raised:
            raise raised[0]
        raise_failure(waiting, seen)

    async def _run(
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
        loop = _loops.current()
        waiting = Waiting(loop)
        connection = self._connection
        process = connection.process
        if process is not None and process.backlog_size:
            await connection.room(loop)
        if not isinstance(response, Call) and _responses.is_stream(response):
            try:
                await self._streamed(waiting, response, format, client, timeout, idempotency_key, wanted, on_event)
            except Exception:
                # What ran ends first; the program hears of its own error.
                if waiting.id:
                    await waiting.end()
                raise
        else:
            self._begin(waiting, response, None, format, client, timeout, idempotency_key, wanted)
        try:
            await waiting.end()
        except BaseException:
            connection.cancel(waiting)
            raise
        return waiting

    async def _streamed(
        self,
        waiting: Waiting,
        response: _responses.Stream,
        format: Format | None,
        client: str | None,
        timeout: float | None,
        idempotency_key: str | None,
        wanted: str = "",
        on_event: Callable[[Any], None] | None = None,
    ) -> None:
        """Sends a stream as it arrives."""
        connection, loop = self._connection, waiting.loop
        assert loop is not None
        sender = _responses.Sender(on_event)
        try:
            async for event in _each(response):
                kind, data = sender.take(event)
                if kind is not None:
                    self._begin(waiting, None, kind, format, client, timeout, idempotency_key, wanted)
                if data is not None:
                    connection.send_of(waiting, {"type": "data", "data": data})
                    await connection.room(loop)
                if waiting.done is not None:
                    return
        except Exception as error:
            if waiting.id:
                connection.send_of(waiting, {"type": "end", "error": f"{type(error).__name__}: {error}"})
            raise
        except BaseException:
            connection.cancel(waiting)
            raise
        if sender.kind is None:
            self._begin(waiting, None, "text", format, client, timeout, idempotency_key, wanted)
        connection.send_of(waiting, {"type": "end"})

    async def reload(self, manifest: Manifest = None) -> None:
        """Loads the manifest, its plugins and its servers again. What runs goes on; if it fails, nothing changes."""
        waiting = Waiting(_loops.current())
        named = f',"manifest":{_frames.dumps(manifest_source(manifest))}' if manifest is not None else ""
        self._connection.begin(waiting, '{"type":"reload"', named)
        await waiting.end()
        if waiting.error is not None:
            raise waiting.error


async def _each(stream: Any) -> AsyncIterator[Any]:
    if hasattr(stream, "__aiter__"):
        async for event in stream:
            yield event
    else:
        for event in stream:
            yield event


def _post(loop: _loops.Loop, callback: Callable[[], None]) -> None:
    try:
        loop.post(callback)
    except RuntimeError:
        pass
