"""HTTP requests, as far as the manifest grants their addresses.

    response = http.get("https://api.example.com/now", params={"city": "Oslo"})
    response.raise_for_status()
    return response.json()["temperature"]

The functions ending in `_async` let the requests of an async tool run side by side. Redirects are not followed: where one
leads may not be granted. `urllib`, `requests` and `httpx` need sockets and threads that a component does not have.
"""

from __future__ import annotations

import dataclasses
import json as json_module
import urllib.parse
from typing import Any, Iterator, Mapping, MutableMapping, Union

from . import _host
from ._errors import ToolError

Params = Union[Mapping[str, Any], "list[tuple[str, Any]]"]

_SHOWN = 500
"""How much of a response that is an error is shown, in characters."""


class HTTPError(ToolError):
    """There is no response, or its status is one of failure."""


class Headers(MutableMapping[str, str]):
    """Headers by name, in whatever case. Several of one name are joined by commas; `all` has each."""

    def __init__(self, headers: Mapping[str, str] | list[tuple[str, str]] | None = None) -> None:
        self._entries = list(headers.items() if isinstance(headers, Mapping) else headers or [])

    def __getitem__(self, name: str) -> str:
        found = self.all(name)
        if not found:
            raise KeyError(name)
        return ", ".join(found)

    def __setitem__(self, name: str, value: str) -> None:
        self._entries = [entry for entry in self._entries if entry[0].lower() != name.lower()]
        self._entries.append((name, value))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._entries = [entry for entry in self._entries if entry[0].lower() != name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.all(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._entries))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._entries})

    def __repr__(self) -> str:
        return f"Headers({self._entries!r})"

    def all(self, name: str) -> list[str]:
        return [value for other, value in self._entries if other.lower() == name.lower()]

    def entries(self) -> list[tuple[str, str]]:
        """Each as it is."""
        return list(self._entries)


@dataclasses.dataclass
class Request:
    method: str
    url: str
    headers: Headers = dataclasses.field(default_factory=Headers)
    content: bytes | None = None
    timeout: float | None = None
    """For the connection, the first byte of the response, and between two of its chunks: each, in seconds."""


@dataclasses.dataclass
class Response:
    status_code: int
    content: bytes = b""
    headers: Headers = dataclasses.field(default_factory=Headers)
    url: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def encoding(self) -> str:
        _, _, charset = self.headers.get("content-type", "").lower().partition("charset=")
        return charset.split(";")[0].strip(" \"'") or "utf-8"

    @property
    def text(self) -> str:
        """The body; what is not of its encoding in it is replaced."""
        try:
            return self.content.decode(self.encoding, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        try:
            return json_module.loads(self.content)
        except ValueError as error:
            raise HTTPError(f"{self.url} did not answer with JSON: {error}") from error

    def raise_for_status(self) -> Response:
        """This response, or an `HTTPError` with its status and the beginning of its body unless it is one of success."""
        if self.ok:
            return self
        body = self.text.strip()[:_SHOWN]
        raise HTTPError(f"{self.url} answered status {self.status_code}{': ' + body if body else ''}")


def request(
    method: str,
    url: str,
    *,
    params: Params | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Mapping[str, Any] | bytes | str | None = None,
    timeout: float | None = None,
) -> Response:
    """Sends a request, and waits for the whole response. `data` as a mapping is sent as a form."""
    return _host.current.send(_request(method, url, params, headers, json, data, timeout))


def get(
    url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None, timeout: float | None = None
) -> Response:
    return request("GET", url, params=params, headers=headers, timeout=timeout)


def post(
    url: str,
    *,
    params: Params | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Mapping[str, Any] | bytes | str | None = None,
    timeout: float | None = None,
) -> Response:
    return request("POST", url, params=params, headers=headers, json=json, data=data, timeout=timeout)


async def request_async(
    method: str,
    url: str,
    *,
    params: Params | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Mapping[str, Any] | bytes | str | None = None,
    timeout: float | None = None,
) -> Response:
    return await _host.current.send_async(_request(method, url, params, headers, json, data, timeout))


async def get_async(
    url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None, timeout: float | None = None
) -> Response:
    return await request_async("GET", url, params=params, headers=headers, timeout=timeout)


async def post_async(
    url: str,
    *,
    params: Params | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Mapping[str, Any] | bytes | str | None = None,
    timeout: float | None = None,
) -> Response:
    return await request_async("POST", url, params=params, headers=headers, json=json, data=data, timeout=timeout)


def _request(
    method: str,
    url: str,
    params: Params | None,
    headers: Mapping[str, str] | None,
    json: Any,
    data: Mapping[str, Any] | bytes | str | None,
    timeout: float | None,
) -> Request:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        raise HTTPError(f"{url!r} is not a URL: it must start with https:// or http://")
    if parts.username is not None:
        raise HTTPError(f"{parts.hostname}: credentials in URLs are not supported: send them in a header")
    query = parts.query
    if params:
        more = urllib.parse.urlencode(params, doseq=True)
        query = f"{query}&{more}" if query else more
    # What is in the address as people write it, spaces and letters of any alphabet, is escaped; what is escaped stays.
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(query, safe="/?%:@!$&'()*+,;=~-._[]")
    netloc = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
    address = urllib.parse.urlunsplit((parts.scheme.lower(), netloc, path, query, ""))
    sent = Headers(dict(headers or {}))
    content: bytes | None = None
    if json is not None:
        content = json_module.dumps(json, allow_nan=False).encode()
        sent.setdefault("content-type", "application/json")
    elif isinstance(data, str):
        content = data.encode()
    elif isinstance(data, bytes):
        content = data
    elif data is not None:
        content = urllib.parse.urlencode(data, doseq=True).encode()
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    return Request(method.upper(), address, sent, content, timeout)
