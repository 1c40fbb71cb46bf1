"""The questions and replies of the current call, and the state that is carried to the next round."""

from __future__ import annotations

import base64
import contextvars
import dataclasses
import hashlib
import json
from typing import Any, Literal, Mapping

from . import _content, _json

Role = Literal["user", "assistant"]
ReplyKind = Literal["accepted", "declined", "dismissed", "completion", "roots"]


@dataclasses.dataclass(frozen=True)
class Message:
    """One piece of a conversation."""

    role: Role
    content: _content.Content


@dataclasses.dataclass(frozen=True)
class Completion:
    """What the client's model said."""

    content: _content.Content
    model: str = ""
    stop_reason: str | None = None
    role: Role = "assistant"

    @property
    def text(self) -> str:
        """What it said, if that is a text; else nothing."""
        if isinstance(self.content, _content.Text):
            return self.content.text
        return self.content if isinstance(self.content, str) else ""


@dataclasses.dataclass(frozen=True)
class Root:
    """A folder of the client's."""

    uri: str
    name: str | None = None


@dataclasses.dataclass(frozen=True)
class Question:
    kind: Literal["form", "page", "prompt", "roots"]
    details: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came of a question. The value is JSON for a form, a `Completion`, or a list of `Root`."""

    kind: ReplyKind
    value: Any = None


Answered = Reply


class InputRequired(BaseException):
    """Nothing is wrong: this has to be asked first. No `Exception`, so that `except Exception` does not swallow it."""

    def __init__(self, questions: Mapping[str, Question], state: bytes) -> None:
        super().__init__(f"this has to be asked first: {', '.join(questions)}")
        self.questions = dict(questions)
        self.state = state


class Session:
    def __init__(self, state: bytes = b"", replies: Mapping[str, Reply] | None = None) -> None:
        # The host knows that the plugin wrote it. If that was another version of the plugin, all is asked again.
        try:
            known = json.loads(state) if state else {}
            self._replies = {key: _read(reply) for key, reply in known.get("replies", {}).items()}
            self.kept: dict[str, Any] = known.get("kept", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            self._replies, self.kept = {}, {}
        # A client may have answered what it was not asked: only what was asked for goes on.
        self._asked = set(self._replies)
        for key, reply in (replies or {}).items():
            self._replies.setdefault(key, reply)

    def reply(self, key: str) -> Reply | None:
        reply = self._replies.get(key)
        if reply is not None:
            self._asked.add(key)
        return reply

    def forget(self, key: str) -> None:
        self._replies.pop(key, None)

    def keep(self, key: str, value: Any) -> None:
        _json.dumps(value)
        self.kept[key] = value

    def state(self) -> bytes:
        replies = {key: _write(reply) for key, reply in self._replies.items() if key in self._asked}
        state = {name: part for name, part in (("replies", replies), ("kept", self.kept)) if part}
        return _json.dumps(state).encode() if state else b""


def _write(reply: Reply) -> Any:
    if isinstance(reply.value, Completion):
        said = reply.value
        if isinstance(said.content, (_content.Image, _content.Audio)):
            data = base64.b64encode(said.content.data).decode()
            kind = type(said.content).__name__
            content: Any = {"kind": kind, "data": data, "mime_type": said.content.mime_type}
        else:
            content = said.text
        value: Any = {"content": content, "model": said.model, "stop_reason": said.stop_reason, "role": said.role}
    elif reply.kind == "roots":
        value = [[root.uri, root.name] for root in reply.value]
    else:
        value = reply.value
    return [reply.kind, value]


def _read(written: Any) -> Reply:
    kind, value = written
    if kind == "completion":
        content = value["content"]
        if isinstance(content, dict):
            make = _content.Image if content["kind"] == "Image" else _content.Audio
            content = make(base64.b64decode(content["data"]), content["mime_type"])
        value = Completion(content, value["model"], value["stop_reason"], value["role"])
    elif kind == "roots":
        value = [Root(uri, name) for uri, name in value]
    return Reply(kind, value)


_current: contextvars.ContextVar[Session | None] = contextvars.ContextVar("toolhost_plugin_session", default=None)


def current() -> Session:
    session = _current.get()
    if session is None:
        session = Session()
        _current.set(session)
    return session


def begin(session: Session | None) -> contextvars.Token[Session | None]:
    """A call begins, with what is known of its questions."""
    return _current.set(session)


def end(token: contextvars.Token[Session | None]) -> None:
    _current.reset(token)


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
