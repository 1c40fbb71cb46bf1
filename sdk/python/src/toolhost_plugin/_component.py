"""The exports of the component, and the host behind `_host`. Imported only in components."""

from __future__ import annotations

import linecache
import logging
import os
import random
import re
import sys
import traceback
from typing import Any, Callable, Iterable, TypeVar

from componentize_py_types import Err
from wit_world.imports import host as wit_host
from wit_world.imports import toolhost_types as wit

from . import _host, _json, _registry, _session, prompts, resources
from ._content import Audio, Contents, Icon, Image, Link, Output, Text
from ._errors import ToolError, describe, grouped
from ._json import well_formed
from ._session import Completion, InputRequired, Message, Question, Reply, Role, Root

T = TypeVar("T")

_LEVELS = {
    "debug": wit_host.Level.DEBUG,
    "info": wit_host.Level.INFO,
    "notice": wit_host.Level.NOTICE,
    "warning": wit_host.Level.WARNING,
    "error": wit_host.Level.ERROR,
}
_FOLDERS = re.compile(r'File "/\d+/')
"""Where a build has the files: the folders that it imports from are numbered."""
_KINDS = {
    "form": wit.QuestionKind.FORM,
    "page": wit.QuestionKind.PAGE,
    "prompt": wit.QuestionKind.PROMPT,
    "roots": wit.QuestionKind.ROOTS,
}


class ComponentHost:
    def log(self, level: _host.Level, message: str) -> None:
        wit_host.log(_LEVELS[level], well_formed(message))

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        wit_host.progress(done, total, _text(message))

    def can_ask(self, kind: _host.Kind) -> bool:
        return bool(wit_host.can_ask(_KINDS[kind]))

    def resource_updated(self, uri: str) -> None:
        wit_host.resource_updated(well_formed(uri))

    def resources_changed(self) -> None:
        wit_host.resources_changed()

    def config(self, key: str) -> str | None:
        value: str | None = wit_host.config(well_formed(key))
        return value

    def secret(self, name: str) -> str | None:
        value: str | None = wit_host.secret(well_formed(name))
        return value

    def send(self, request: Any) -> Any:
        from . import _wasi_http

        return _wasi_http.send(request)

    async def send_async(self, request: Any) -> Any:
        from . import _wasi_http

        return await _wasi_http.send_async(request)

    async def call_tool(self, tool: str, arguments: str) -> Any:
        from . import _wit_calls

        return await _wit_calls.call_tool(tool, arguments)


class _Handler(logging.Handler):
    """`logging` goes to the log of the call."""

    def emit(self, record: logging.LogRecord) -> None:
        level = (
            "error"
            if record.levelno >= 40
            else "warning"
            if record.levelno >= 30
            else "info"
            if record.levelno >= 20
            else "debug"
        )
        wit_host.log(_LEVELS[level], well_formed(self.format(record)))


def prepare(modules: Iterable[Any]) -> None:
    """Everything that can be done before the first call: it is part of the component."""
    _host.use(ComponentHost())
    if not logging.root.handlers:
        logging.root.addHandler(_Handler())
        logging.root.setLevel(logging.INFO)
    if "asyncio" in sys.modules:
        from ._loop import install

        install()
    for tool in _registry.tools:
        tool.input_schema()
        tool.output_schema()
    for prompt in _registry.prompts:
        prompt.arguments()
    for provided in _registry.resources:
        provided.check()
    for module in modules:
        # Tracebacks show the lines, though the files are not there. Entries without a time are never looked for again.
        path = getattr(module, "__file__", None)
        if path and path.endswith(".py") and (lines := linecache.getlines(path)):
            linecache.cache[path] = (sum(map(len, lines)), None, lines, path)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]


def _served(call: Callable[[], T], resumed: Any = None) -> T:
    """Runs what the host asked for; what it raises becomes an error of the interface."""
    if "random" in sys.modules:
        # Else every call would have the numbers of the time of the build.
        random.seed(os.urandom(16))
    session = (
        _session.Session(bytes(resumed.state), {key: _reply(reply) for key, reply in resumed.replies})
        if resumed
        else None
    )
    _session.begin(session)
    try:
        return call()
    except BaseException as error:
        raise Err(_error(error)) from None
    finally:
        sys.stdout.flush()


def _error(error: BaseException) -> Any:
    meant = _meant(error)
    if isinstance(meant, InputRequired):
        questions = [(well_formed(key), _question(question)) for key, question in meant.questions.items()]
        return wit.Error_InputRequired(wit.InputRequired(questions, meant.state))
    if isinstance(meant, ToolError):
        kinds = {"invalid-arguments": wit.Error_InvalidArguments, "denied": wit.Error_Denied}
        return kinds.get(meant.kind, wit.Error_Failed)(well_formed(describe(meant)))
    shown = "".join(traceback.format_exception(type(error), error, _own(error.__traceback__)))
    ComponentHost().log("error", _FOLDERS.sub('File "', shown).rstrip())
    return wit.Error_Failed(well_formed(describe(error)))


def _own(trace: Any) -> Any:
    """The traceback without the frames of this package that lead to the tool."""
    folder = os.path.dirname(__file__)
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(folder):
        inner = inner.tb_next
    return inner or trace


def _meant(error: BaseException) -> BaseException:
    """Of a group of exceptions the one that is an answer: task groups wrap what their tasks raise."""
    for member in grouped(error) or ():
        found = _meant(member)
        if isinstance(found, (InputRequired, ToolError)):
            return found
    return error


def _text(text: str | None) -> str | None:
    return None if text is None else well_formed(text)


def _icons(icons: Iterable[Icon]) -> list[Any]:
    return [wit.Icon(well_formed(icon.src), _text(icon.mime_type), list(icon.sizes)) for icon in icons]


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return wit.Content_Text(well_formed(content))
    if isinstance(content, Text):
        return wit.Content_Text(well_formed(content.text))
    if isinstance(content, Image):
        return wit.Content_Image(wit.Media(bytes(content.data), well_formed(content.mime_type)))
    if isinstance(content, Audio):
        return wit.Content_Audio(wit.Media(bytes(content.data), well_formed(content.mime_type)))
    if isinstance(content, Link):
        link = wit.ResourceLink(
            well_formed(content.uri), well_formed(content.name), _text(content.description), _text(content.mime_type)
        )
        return wit.Content_Link(link)
    if isinstance(content, Contents):
        return wit.Content_Embedded(_embedded(content))
    raise TypeError(
        f"a {type(content).__name__} is not content: use a str, `Text`, `Image`, `Audio`, `Link` or `Contents`"
    )


def _embedded(contents: Contents) -> Any:
    body = contents.body
    written = wit.ResourceBody_Text(well_formed(body)) if isinstance(body, str) else wit.ResourceBody_Blob(bytes(body))
    return wit.EmbeddedResource(well_formed(contents.uri), _text(contents.mime_type), written)


def _message(message: Message) -> Any:
    role = wit.Role.USER if message.role == "user" else wit.Role.ASSISTANT
    return wit.Message(role, _content(message.content))


def _question(question: Question) -> Any:
    details = question.details
    if question.kind == "form":
        return wit.Question_Form(wit.Form(well_formed(details["message"]), _json.dumps(details["schema"])))
    if question.kind == "page":
        page = wit.Page(well_formed(details["message"]), well_formed(details["url"]), well_formed(details["id"]))
        return wit.Question_Page(page)
    if question.kind == "prompt":
        messages = [_message(message) for message in details["messages"]]
        stops = [well_formed(stop) for stop in details["stop_sequences"]]
        return wit.Question_Prompt(
            wit.Prompt(messages, _text(details["system"]), details["max_tokens"], details["temperature"], stops)
        )
    return wit.Question_Roots()


def _reply(reply: Any) -> Reply:
    if isinstance(reply, wit.Reply_Accepted):
        return Reply("accepted", None if reply.value is None else _json.loads(reply.value))
    if isinstance(reply, wit.Reply_Declined):
        return Reply("declined")
    if isinstance(reply, wit.Reply_Dismissed):
        return Reply("dismissed")
    if isinstance(reply, wit.Reply_Roots):
        return Reply("roots", [Root(root.uri, root.name) for root in reply.value])
    said = reply.value
    content = said.content
    heard: Any = ""
    if isinstance(content, wit.Content_Text):
        heard = content.value
    elif isinstance(content, wit.Content_Image):
        heard = Image(content.value.data, content.value.mime_type)
    elif isinstance(content, wit.Content_Audio):
        heard = Audio(content.value.data, content.value.mime_type)
    role: Role = "user" if said.role == wit.Role.USER else "assistant"
    return Reply("completion", Completion(heard, said.model, said.stop_reason, role))


def _written(output: Output) -> Any:
    structured = output.structured
    if structured is not None:
        from ._scalars import ANY

        structured = _json.dumps(ANY.encode(structured))
    return wit.Output([_content(part) for part in output.content], structured)


class Tools:
    def list_tools(self) -> list[Any]:
        listed = []
        for tool in _registry.tools:
            output_schema = tool.output_schema()
            listed.append(
                wit.Tool(
                    tool.name,
                    _text(tool.title),
                    well_formed(tool.description),
                    _icons(tool.icons),
                    _json.dumps(tool.input_schema()),
                    None if output_schema is None else _json.dumps(output_schema),
                    wit.Annotations(**tool.hints),
                )
            )
        return listed

    def call_tool(self, call: Any) -> Any:
        def run() -> Any:
            tool = _registry.tools.get(call.name)
            if tool is None:
                raise ToolError(f"there is no tool `{call.name}`")
            return _written(tool.call(call.arguments))

        return _served(run, call.resumed)


class Resources:
    def list_resources(self) -> list[Any]:
        from wit_world.exports import resources as wit_resources

        def run() -> list[Any]:
            return [
                wit_resources.Resource(
                    well_formed(found.uri),
                    well_formed(found.name),
                    _text(found.title),
                    _text(found.description),
                    _text(found.mime_type),
                    found.size,
                    _icons(found.icons),
                )
                for found in resources.listed()
            ]

        return _served(run)

    def list_templates(self) -> list[Any]:
        from wit_world.exports import resources as wit_resources

        templates = [provided.listed for provided in _registry.resources if provided.is_template]
        return [
            wit_resources.Template(
                found.uri,
                found.name,
                _text(found.title),
                _text(found.description),
                _text(found.mime_type),
                _icons(found.icons),
            )
            for found in templates
        ]

    def read_resource(self, read: Any) -> list[Any]:
        def run() -> list[Any]:
            provided, variables = resources.find(read.uri)
            return [_embedded(part) for part in provided.read(read.uri, variables)]

        return _served(run, read.resumed)

    def resource_version(self, uri: str) -> str:
        def run() -> str:
            provided, variables = resources.find(uri)
            return well_formed(provided.version_of(uri, variables))

        return _served(run)


class Prompts:
    def list_prompts(self) -> list[Any]:
        from wit_world.exports import prompts as wit_prompts

        return [
            wit_prompts.Prompt(
                prompt.name,
                _text(prompt.title),
                _text(prompt.description),
                _icons(prompt.icons),
                [
                    wit_prompts.Argument(name, None, _text(said), required)
                    for name, said, required in prompt.arguments()
                ],
            )
            for prompt in _registry.prompts
        ]

    def get_prompt(self, get: Any) -> Any:
        from wit_world.exports import prompts as wit_prompts

        def run() -> Any:
            prompt = _registry.prompts.get(get.name)
            if prompt is None:
                raise ToolError(f"there is no prompt `{get.name}`")
            messages = prompt.call(dict(get.arguments))
            return wit_prompts.Filled(_text(prompt.description), [_message(message) for message in messages])

        return _served(run, get.resumed)


class Completions:
    def complete(self, request: Any) -> Any:
        from wit_world.exports import completion as wit_completion

        def run() -> Any:
            values, total = prompts.complete(request.of.value, request.argument, request.value, dict(request.others))
            return wit_completion.Suggestions([well_formed(value) for value in values], total)

        return _served(run)
