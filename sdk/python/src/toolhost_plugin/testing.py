"""For the unit tests of a plugin: what the host grants, and what a client would reply. It runs on any Python.

    with testing.Host(config={"unit": "°C"}, secrets={"KEY": "s3cret"}, http=lambda request: http.Response(200, b"12")) as host:
        assert host.call(temperature, city="Oslo").text == "12 °C"
        assert host.logs == [("info", "asked for Oslo")]

`host.call` takes JSON as a model writes it, checks it, and returns what the model gets. A tool can be called as the function
that it is, too.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, Callable, Mapping, TypeVar, Union

from . import _host, _json, _registry, _session, prompts, resources
from ._call_error import CallError
from ._content import Content, Contents, Output, Text
from ._errors import Denied, ToolError
from ._scalars import ANY
from ._session import Completion, InputRequired, Message, Question, Reply, Root
from ._tool import Tool
from .http import Request, Response

__all__ = ["Completion", "Host", "Reply", "Result", "Root", "declined", "dismissed"]

declined = Reply("declined")
"""The user said no."""

dismissed = Reply("dismissed")
"""The user did not say."""

Answer = Union[Reply, Completion, str, "list[Root]", "dict[str, Any]", None, Any]
"""What a question is answered with: a dict (or a dataclass) fills in a form, a text is what the model said, `None` visits a page."""

T = TypeVar("T")

_MOST_ROUNDS = 100


@dataclasses.dataclass(frozen=True)
class Result:
    """What a tool answered."""

    content: list[Content]
    structured: Any
    """JSON: decoded, as a program gets it."""

    @property
    def text(self) -> str:
        """The texts in it, one a line."""
        texts = [
            part.text if isinstance(part, Text) else part for part in self.content if isinstance(part, (str, Text))
        ]
        return "\n".join(texts)


class Host:
    """What the host grants while a test runs: nothing that is not said. Use it in a `with`."""

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        http: Callable[[Request], Any] | None = None,
        tools: Mapping[str, Callable[..., Any]] | None = None,
        answers: Mapping[str, Answer] | None = None,
        can_ask: bool = True,
    ) -> None:
        """`http` answers requests: it returns a `Response`. `tools` has the tools that `call_tool` calls, by their names: one
        that raises a `ToolError` fails. `answers` has the replies to questions by their keys."""
        self._config = dict(config or {})
        self._secrets = dict(secrets or {})
        self._http = http
        self._tools = dict(tools or {})
        self._can_ask = can_ask
        self._before: list[_host.Host] = []
        self._sessions: list[Any] = []
        self.answers = dict(answers or {})
        self.logs: list[tuple[str, str]] = []
        self.progressed: list[tuple[float, float | None, str | None]] = []
        self.requests: list[Request] = []
        self.called: list[tuple[str, Any]] = []
        """The calls of tools: name and arguments."""
        self.asked: dict[str, Question] = {}
        """The questions that `call` had to ask, by their keys."""
        self.updated: list[str] = []
        """The URIs of resources that were said to have changed."""

    def __enter__(self) -> Host:
        self._before.append(_host.use(self))
        self._sessions.append(_session.begin(_session.Session(b"", {key: self._reply(key) for key in self.answers})))
        return self

    def __exit__(self, *_: object) -> None:
        _session.end(self._sessions.pop())
        _host.use(self._before.pop())

    def call(
        self, tool: str | Callable[..., Any], arguments: Mapping[str, Any] | str | None = None, /, **more: Any
    ) -> Result:
        """Calls a tool, by its function or its name, with arguments that go through JSON; asks what it asks, from `answers`.

        Raises:
            ToolError: What the model reads. Any other exception is raised as it is.
        """
        found = _registry.tools.get(tool) if isinstance(tool, str) else _registry.tools.of(tool)
        if found is None:
            raise LookupError(f"{tool!r} is not a tool: is its module imported, and has it `@tool`?")
        text = arguments if isinstance(arguments, str) else _json.dumps(ANY.encode({**(arguments or {}), **more}))
        output = self._rounds(lambda: found.call(text))
        return _result(output)

    def read(self, uri: str) -> list[Contents]:
        """Reads a resource."""
        provided, variables = resources.find(uri)
        return self._rounds(lambda: provided.read(uri, variables))

    def prompt(self, prompt: str | Callable[..., Any], /, **texts: str) -> list[Message]:
        """Fills in a prompt, whose arguments are texts."""
        found = _registry.prompts.get(prompt) if isinstance(prompt, str) else _registry.prompts.of(prompt)
        if found is None:
            raise LookupError(f"{prompt!r} is not a prompt")
        return self._rounds(lambda: found.call(texts))

    def complete(self, of: str, argument: str, typed: str = "", **others: str) -> list[str]:
        """What is suggested for an argument."""
        return prompts.complete(of, argument, typed, others)[0]

    def _rounds(self, run: Callable[[], T]) -> T:
        """As the host does it: a call that asks ends, and begins anew with the replies."""
        state: bytes = b""
        replies: dict[str, Reply] = {}
        with self:
            for _ in range(_MOST_ROUNDS):
                token = _session.begin(_session.Session(state, replies))
                try:
                    return run()
                except InputRequired as asked:
                    self.asked.update(asked.questions)
                    state = asked.state
                    replies = {key: self._reply(key) for key in asked.questions}
                finally:
                    _session.end(token)
        raise ToolError(f"it still asks after {_MOST_ROUNDS} rounds: {', '.join(self.asked)}")

    def _reply(self, key: str) -> Reply:
        if key not in self.answers:
            raise LookupError(f"the test has no answer to the question `{key}`: give `testing.Host` some `answers`")
        answer = self.answers[key]
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, str):
            answer = Completion(answer, "test")
        if isinstance(answer, Completion):
            return Reply("completion", answer)
        if isinstance(answer, list):
            return Reply("roots", answer)
        return Reply("accepted", None if answer is None else ANY.encode(answer))

    # What the plugin sees of the host.

    def log(self, level: _host.Level, message: str) -> None:
        self.logs.append((level, message))

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        self.progressed.append((done, total, message))

    def can_ask(self, kind: _host.Kind) -> bool:
        return self._can_ask

    def resource_updated(self, uri: str) -> None:
        self.updated.append(uri)

    def resources_changed(self) -> None:
        pass

    def config(self, key: str) -> str | None:
        value = self._config.get(key)
        return value if value is None or isinstance(value, str) else _json.dumps(value)

    def secret(self, name: str) -> str | None:
        return self._secrets.get(name)

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        if self._http is None:
            raise Denied(f"{request.url} is not granted: pass `http=` to `testing.Host`")
        response = self._http(request)
        if not isinstance(response, Response):
            raise TypeError(f"`http` of `testing.Host` returned a {type(response).__name__}, not an `http.Response`")
        response.url = response.url or request.url
        return response

    async def send_async(self, request: Request) -> Response:
        if self._http is not None and inspect.iscoroutinefunction(self._http):
            self.requests.append(request)
            response: Response = await self._http(request)
            response.url = response.url or request.url
            return response
        return self.send(request)

    async def call_tool(self, tool: str, arguments: str) -> Any:
        decoded = _json.loads(arguments)
        self.called.append((tool, decoded))
        if tool not in self._tools:
            raise CallError(f"tool {tool} is not granted: pass `tools=` to `testing.Host`", code="denied")
        try:
            value = self._tools[tool](**decoded)
            if inspect.isawaitable(value):
                value = await value
        except CallError:
            raise
        except ToolError as error:
            raise CallError(error.message, code=error.kind) from None
        if isinstance(value, Output):
            return list(value.content) if value.structured is None else value.structured
        # As the host does it: a value is JSON.
        return _json.loads(_json.dumps(ANY.encode(value)))


def _result(output: Output) -> Result:
    structured = None if output.structured is None else _json.loads(_json.dumps(ANY.encode(output.structured)))
    return Result(list(output.content), structured)


def tools() -> list[Tool]:
    """All tools that are defined, with their schemas."""
    return list(_registry.tools)
