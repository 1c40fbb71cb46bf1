"""Contents of results: texts, images, audio, links and embedded resources."""

from __future__ import annotations

import dataclasses
from typing import Any, Union


@dataclasses.dataclass(frozen=True)
class Text:
    """A text for the model."""

    text: str


@dataclasses.dataclass(frozen=True)
class Image:
    """An image, with a media type such as `image/png`."""

    data: bytes
    mime_type: str = "image/png"


@dataclasses.dataclass(frozen=True)
class Audio:
    """A sound, with a media type such as `audio/wav`."""

    data: bytes
    mime_type: str = "audio/wav"


@dataclasses.dataclass(frozen=True)
class Link:
    """Where something can be read."""

    uri: str
    name: str
    description: str | None = None
    mime_type: str | None = None


@dataclasses.dataclass(frozen=True)
class Contents:
    """Something that has a URI, with its contents: a text, or bytes."""

    body: str | bytes
    mime_type: str | None = None
    uri: str = ""


Content = Union[str, Text, Image, Audio, Link, Contents]
"""A string is a text."""


@dataclasses.dataclass(frozen=True)
class Output:
    """Several contents, and perhaps a value for programs."""

    content: list[Content]
    structured: Any = None


@dataclasses.dataclass(frozen=True)
class Icon:
    """A picture that stands for something, by its `https:` or `data:` URI."""

    src: str
    mime_type: str | None = None
    sizes: tuple[str, ...] = ()


CONTENT_TYPES = (Text, Image, Audio, Link, Contents)


def is_content(value: Any) -> bool:
    return isinstance(value, CONTENT_TYPES)


def icons(given: Any) -> tuple[Icon, ...]:
    """Icons as options name them: a URI, an `Icon`, or several of these."""
    if given is None:
        return ()
    if isinstance(given, (str, Icon)):
        given = (given,)
    return tuple(Icon(icon) if isinstance(icon, str) else icon for icon in given)
