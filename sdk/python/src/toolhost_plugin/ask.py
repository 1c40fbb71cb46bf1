"""Questions to the client: its user, its model, and itself.

Asking reads like any other call:

    @dataclass
    class Person:
        name: str
        age: int | None = None

    @tool
    def greet() -> str:
        who = ask.form("who", "Who are you?", Person)
        return f"Hello, {who.name}!"

Nothing waits, though. Without a reply the function raises `InputRequired`, which ends the call, and the host passes the
question on. With the reply it calls the tool again, in a fresh instance: the code runs from the top, and each question finds
its reply by its key. So

- a key names one question: no two of a tool may share it,
- what comes before a question is done in every round: keep it cheap and without effect, or `remember` it.

Replies of earlier rounds come along in a state that the host signs. Who asked can read it: no secret belongs there.
"""

from __future__ import annotations

from typing import Any, Callable, Generic, Sequence, TypeVar, cast, overload

from . import _forms, _host, _session
from ._codec import Mismatch, Schema
from ._content import Text
from ._errors import ToolError
from ._host import Kind
from ._session import Answered, Completion, InputRequired, Message, Question, Reply, Root

T = TypeVar("T")

__all__ = [
    "Completion", "Declined", "Dismissed", "Form", "InputRequired", "Page", "Refused", "Root", "Roots", "Sample",
    "all", "can", "form", "one", "page", "remember", "roots", "sample",
]  # fmt: skip


class Refused(ToolError):
    """The user gave no answer. Catch it to go on without one."""


class Declined(Refused):
    """The user said no."""


class Dismissed(Refused):
    """The user did not say."""


class Ask(Generic[T]):
    """A question, and how its reply is read."""

    key: str

    def question(self) -> Question:
        raise NotImplementedError

    def hear(self, reply: Answered) -> T:
        """The answer in a reply; a `Mismatch` if it does not fit, and the question is asked again."""
        raise NotImplementedError


class Form(Ask[T]):
    """Has the user fill in a form: a dataclass or a `TypedDict` of strings, numbers, booleans and choices, or a JSON Schema."""

    def __init__(self, key: str, message: str, form: type[T] | Schema) -> None:
        self.key = key
        self.message = message
        self.form = _forms.Form(form)

    def question(self) -> Question:
        return Question("form", {"message": self.message, "schema": self.form.schema})

    def hear(self, reply: Answered) -> T:
        if reply.kind != "accepted":
            raise Mismatch("it is the reply to a question of another kind")
        return cast(T, self.form.decode(reply.value))


class Page(Ask[None]):
    """Has the user visit a page, to log in somewhere for instance. That they agreed does not mean that they are done there."""

    def __init__(self, key: str, message: str, url: str, id: str | None = None) -> None:
        self.key = key
        self.message = message
        self.url = url
        self.id = id or _session.digest(key, url)

    def question(self) -> Question:
        return Question("page", {"message": self.message, "url": self.url, "id": self.id})

    def hear(self, reply: Answered) -> None:
        if reply.kind != "accepted":
            raise Mismatch("it is the reply to a question of another kind")


class Sample(Ask[Completion]):
    """Has the client's model go on with a conversation: a text, or messages."""

    def __init__(
        self,
        key: str,
        messages: str | Sequence[Message],
        *,
        system: str | None = None,
        max_tokens: int = 1000,
        temperature: float | None = None,
        stop_sequences: Sequence[str] = (),
    ) -> None:
        self.key = key
        self.messages = [Message("user", Text(messages))] if isinstance(messages, str) else list(messages)
        self.settings = {
            "system": system,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stop_sequences": list(stop_sequences),
        }

    def question(self) -> Question:
        return Question("prompt", {"messages": self.messages, **self.settings})

    def hear(self, reply: Answered) -> Completion:
        if not isinstance(reply.value, Completion):
            raise Mismatch("it is the reply to a question of another kind")
        return reply.value


class Roots(Ask["list[Root]"]):
    """The folders that the client works on."""

    def __init__(self, key: str = "roots") -> None:
        self.key = key

    def question(self) -> Question:
        return Question("roots", {})

    def hear(self, reply: Answered) -> list[Root]:
        if reply.kind != "roots":
            raise Mismatch("it is the reply to a question of another kind")
        return cast("list[Root]", reply.value)


@overload
def form(key: str, message: str, form: type[T]) -> T: ...


@overload
def form(key: str, message: str, form: Schema) -> dict[str, Any]: ...


def form(key: str, message: str, form: Any) -> Any:
    """Has the user fill in a form; raises `Refused` if they do not. An answer that does not fit is asked for again."""
    return one(Form(key, message, form))


def page(key: str, message: str, url: str) -> None:
    """Has the user visit a page; raises `Refused` if they do not agree."""
    one(Page(key, message, url))


def sample(
    key: str,
    messages: str | Sequence[Message],
    *,
    system: str | None = None,
    max_tokens: int = 1000,
    temperature: float | None = None,
    stop_sequences: Sequence[str] = (),
) -> Completion:
    """Has the client's model answer: `.text` is what it said."""
    return one(
        Sample(
            key, messages, system=system, max_tokens=max_tokens, temperature=temperature, stop_sequences=stop_sequences
        )
    )


def roots() -> list[Root]:
    """The folders that the client works on; the question's key is `roots`."""
    return one(Roots())


def one(question: Ask[T]) -> T:
    """Asks one question."""
    answers = all(question)
    return cast(T, answers[0])


def all(*questions: Ask[Any]) -> list[Any]:
    """Asks several questions in one round; the answers come in their order. What is answered already is not asked again."""
    answers: list[Any] = []
    missing: dict[str, Question] = {}
    for question in questions:
        reply = _session.current().reply(question.key)
        if reply is not None:
            try:
                answers.append(_heard(question, reply))
                continue
            except Mismatch as error:
                _host.log.warning(f"the reply to `{question.key}` does not fit: {error}")
                _session.current().forget(question.key)
        if question.key in missing:
            raise ToolError(f"two questions have the key `{question.key}`")
        missing[question.key] = question.question()
    if missing:
        raise InputRequired(missing, _session.current().state())
    return answers


def _heard(question: Ask[T], reply: Reply) -> T:
    if reply.kind == "declined":
        raise Declined(f"the user declined to answer the question `{question.key}`")
    if reply.kind == "dismissed":
        raise Dismissed(f"the user dismissed the question `{question.key}` without an answer")
    return question.hear(Answered(reply.kind, reply.value))


def can(kind: Kind) -> bool:
    """Whether there is somebody who could answer: `"form"`, `"page"`, `"prompt"` or `"roots"`."""
    return _host.current.can_ask(kind)


def remember(key: str, make: Callable[[], T]) -> T:
    """Makes a value in the first round, and finds it again in later ones: for what is expensive to make, or would not be the
    same twice. It must be JSON, and who asked can read it."""
    session = _session.current()
    if key in session.kept:
        return cast(T, session.kept[key])
    value = make()
    session.keep(key, value)
    return value
