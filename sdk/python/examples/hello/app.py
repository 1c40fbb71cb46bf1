"""A first plugin: a tool, with its arguments and its result."""

from dataclasses import dataclass
from typing import Annotated, Literal

from toolhost_plugin import Field, InvalidArguments, config, log, tool


@dataclass
class Greeting:
    """A greeting.

    Attributes:
        text: What to say.
        length: How many letters that has.
    """

    text: str
    length: int


@tool(read_only=True, idempotent=True, open_world=False)
def greet(
    name: str,
    times: Annotated[int, Field(ge=1, le=10)] = 1,
    language: Literal["English", "Deutsch"] = "English",
) -> Greeting:
    """Greets somebody.

    Args:
        name: Who to greet.
        times: How often.
        language: In which language.
    """
    if not name.strip():
        raise InvalidArguments("`name` is empty")
    word = {"English": "Hello", "Deutsch": "Hallo"}[language]
    log(f"greeting {name} in {language}")
    text = " ".join([f"{word}, {name}{config('mark') or '!'}"] * times)
    return Greeting(text, len(text))
