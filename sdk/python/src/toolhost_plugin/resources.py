"""Things that have a URI and can be read.

@resource("note://welcome", mime_type="text/plain")
def welcome() -> str:
    return "Nice to see you."

@resource("note://by-day/{day}")          # a template: `{name}` is anything but a slash, `{+name}` anything
def by_day(day: date) -> str:
    return f"On {day:%A}: nothing."

@listing                                   # resources that are not known before
def notes() -> list[Resource]:
    return [Resource(f"note://by-day/{day}", name=day) for day in os.listdir("/notes")]
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import urllib.parse
from typing import Any, Callable, Iterable, TypeVar

from . import _registry
from ._codec import Mismatch
from ._content import Contents, Icon, icons
from ._errors import InvalidArguments
from ._functions import Function, locals_of_caller
from ._host import resource_updated, resources_changed

__all__ = ["Contents", "NotFound", "Resource", "listing", "resource", "resource_updated", "resources_changed"]

F = TypeVar("F", bound=Callable[..., Any])


class NotFound(InvalidArguments):
    """There is no resource of this URI."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"there is no resource {uri}")


@dataclasses.dataclass(frozen=True)
class Resource:
    """A resource as it is listed."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    """In bytes."""
    icons: tuple[Icon, ...] = ()


class Provided:
    """A function that is read as a resource, or as all those of a template."""

    def __init__(self, function: Function, listed: Resource, version: Callable[..., str] | None) -> None:
        self.function = function
        self.listed = listed
        self.version = version
        self.is_template = "{" in listed.uri
        self._pattern, self.variables = _pattern(listed.uri)

    def match(self, uri: str) -> dict[str, str] | None:
        found = self._pattern.fullmatch(uri)
        return (
            {name: urllib.parse.unquote(part) for name, part in zip(self.variables, found.groups())} if found else None
        )

    def read(self, uri: str, variables: dict[str, str]) -> list[Contents]:
        return contents(uri, self.listed.mime_type, self.function.call(self._values(uri, variables)))

    def version_of(self, uri: str, variables: dict[str, str]) -> str:
        if self.version is not None:
            return str(self.version(**self._values(uri, variables)))
        digest = hashlib.sha256()
        for part in self.read(uri, variables):
            body = part.body.encode() if isinstance(part.body, str) else part.body
            digest.update(f"{part.uri}\0{part.mime_type}\0{len(body)}\0".encode() + body)
        return digest.hexdigest()

    def _values(self, uri: str, variables: dict[str, str]) -> dict[str, Any]:
        try:
            return self.function.decode_texts(variables)
        except Mismatch:
            # A URI that no such resource can have.
            raise NotFound(uri) from None

    def check(self) -> None:
        named = {member.json_name for member in self.function.arguments.members}
        if named != set(self.variables):
            raise TypeError(
                f"{self.function.where}: the arguments of `{self.function.function.__name__}` are not the variables of "
                f"{self.listed.uri}"
            )


def _pattern(template: str) -> tuple[re.Pattern[str], list[str]]:
    variables: list[str] = []
    pattern = ""
    for part in re.split(r"(\{\+?\w+\})", template):
        if part.startswith("{"):
            variables.append(part.strip("{+}"))
            pattern += "(.+)" if part.startswith("{+") else "([^/]+)"
        else:
            pattern += re.escape(part)
    return re.compile(pattern, re.DOTALL), variables


def contents(uri: str, mime_type: str | None, result: Any) -> list[Contents]:
    """What a function returned, as the contents of a resource."""
    if isinstance(result, list):
        return [part for item in result for part in contents(uri, mime_type, item)]
    if isinstance(result, (str, bytes)):
        result = Contents(result)
    if not isinstance(result, Contents):
        raise TypeError(f"{uri} is a str, bytes, `Contents`, or a list of these, not a {type(result).__name__}")
    return [dataclasses.replace(result, uri=result.uri or uri, mime_type=result.mime_type or mime_type)]


def resource(
    uri: str,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    mime_type: str | None = None,
    icon: str | Icon | Iterable[str | Icon] | None = None,
    version: Callable[..., str] | None = None,
) -> Callable[[F], F]:
    """Makes a resource of a function, or a template whose variables are its arguments. It returns a str, bytes, `Contents`, or a
    list of these. `version` is a function with the same arguments, of something that changes when the resource does; without
    it the resource is read to see."""
    local_names = locals_of_caller(1)

    def register(function: F) -> F:
        read = Function(function, local_names)
        said = read.docs.description if description is None else description
        listed = Resource(uri, name or function.__name__, title, said or None, mime_type, None, icons(icon))
        _registry.resources.add(uri, Provided(read, listed, version), read)
        return function

    return register


def listing(function: F) -> F:
    """A function that lists resources beside those of functions: asked whenever a client lists them. Templates read them."""
    _registry.listings.append(function)
    return function


def find(uri: str) -> tuple[Provided, dict[str, str]]:
    """What reads this URI: resources go before templates."""
    for provided in sorted(_registry.resources, key=lambda provided: provided.is_template):
        variables = provided.match(uri)
        if variables is not None:
            return provided, variables
    raise NotFound(uri)


def listed() -> list[Resource]:
    fixed = [provided.listed for provided in _registry.resources if not provided.is_template]
    return fixed + [found for function in _registry.listings for found in function()]
