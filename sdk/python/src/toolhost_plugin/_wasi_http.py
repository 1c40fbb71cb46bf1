"""Requests over `wasi:http`."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any

from componentize_py_types import Err, Ok
from wit_world.imports import http_types as wasi
from wit_world.imports import monotonic_clock, outgoing_handler, poll, streams

from . import _loop
from ._errors import Denied
from ._json import well_formed
from .http import Headers, HTTPError, Request, Response

_loop.poll, _loop.monotonic_clock = poll, monotonic_clock

_WRITE_CHUNK = 4096
"""The host takes no more at once, in bytes."""
_READ_CHUNK = 65_536
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


def send(request: Request) -> Response:
    future = _begin(request)
    while (result := future.get()) is None:
        pollable = future.subscribe()
        pollable.block()
        _drop(pollable)
    response, body, stream = _head(request, future, result)
    content = b""
    while (chunk := _chunk(request, stream.blocking_read)) is not None:
        content += chunk
    return _finish(request, response, body, stream, content)


async def send_async(request: Request) -> Response:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, _loop.Loop):
        raise RuntimeError("another event loop runs")
    future = _begin(request)
    while (result := future.get()) is None:
        await loop.wait_for(future.subscribe())
    response, body, stream = _head(request, future, result)
    content = b""
    while (chunk := _chunk(request, stream.read)) is not None:
        if not chunk:
            await loop.wait_for(stream.subscribe())
        content += chunk
    return _finish(request, response, body, stream, content)


def _begin(request: Request) -> Any:
    parts = urllib.parse.urlsplit(request.url)
    fields = wasi.Fields()
    headers = request.headers.entries()
    if request.content is not None:
        headers.append(("content-length", str(len(request.content))))
    for name, value in headers:
        try:
            fields.append(well_formed(name), str(value).encode("utf-8", "replace"))
        except Err as error:
            raise HTTPError(f"the header {name!r} cannot be set: {_words(error.value, 'HeaderError_')}") from None
    outgoing = wasi.OutgoingRequest(fields)
    method = (
        getattr(wasi, f"Method_{request.method.title()}")()
        if request.method in _METHODS
        else wasi.Method_Other(request.method)
    )
    try:
        outgoing.set_method(method)
        outgoing.set_scheme(wasi.Scheme_Https() if parts.scheme == "https" else wasi.Scheme_Http())
        outgoing.set_authority(parts.netloc)
        outgoing.set_path_with_query(urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")))
    except Err:
        raise HTTPError(f"{request.url!r} cannot be requested by {request.method}") from None
    options = None
    if request.timeout is not None:
        options = wasi.RequestOptions()
        duration = max(1, int(request.timeout * 1e9))
        options.set_connect_timeout(duration)
        options.set_first_byte_timeout(duration)
        options.set_between_bytes_timeout(duration)
    body = outgoing.body() if request.content is not None else None
    # The host may only take the body while it sends it: first the request, then the body.
    try:
        future = outgoing_handler.handle(outgoing, options)
    except Err as error:
        raise _error(request, error.value) from None
    if body is not None and request.content is not None:
        _write(request, body, request.content)
    return future


def _write(request: Request, body: Any, content: bytes) -> None:
    stream = body.write()
    try:
        for start in range(0, len(content), _WRITE_CHUNK):
            stream.blocking_write_and_flush(content[start : start + _WRITE_CHUNK])
    except Err:
        # A server may answer before it has read all: its response says more than this failure.
        return
    finally:
        _drop(stream)
    try:
        wasi.OutgoingBody.finish(body, None)
    except Err as error:
        raise _error(request, error.value) from None


def _head(request: Request, future: Any, result: Any) -> tuple[Any, Any, Any]:
    _drop(future)
    inner = result.value if isinstance(result, Ok) else result
    if not isinstance(inner, Ok):
        raise _error(request, inner.value)
    response = inner.value
    body = response.consume()
    return response, body, body.stream()


def _chunk(request: Request, read: Any) -> bytes | None:
    try:
        return bytes(read(_READ_CHUNK))
    except Err as error:
        if isinstance(error.value, streams.StreamError_Closed):
            return None
        why = error.value.value.to_debug_string() if hasattr(error.value, "value") else ""
        raise HTTPError(f"{request.url}: the response broke off: {why}") from None


def _finish(request: Request, response: Any, body: Any, stream: Any, content: bytes) -> Response:
    headers = response.headers()
    entries = [(name.lower(), value.decode("utf-8", "replace")) for name, value in headers.entries()]
    status = response.status()
    for resource in (headers, stream, body, response):
        _drop(resource)
    return Response(status, content, Headers(entries), request.url)


def _drop(resource: Any) -> None:
    resource.__exit__(None, None, None)


def _error(request: Request, code: Any) -> Exception:
    if isinstance(code, wasi.ErrorCode_HttpRequestDenied):
        return Denied(f"{request.method} {request.url}: not granted by the manifest")
    detail = getattr(code, "value", None)
    words = _words(code, "ErrorCode_")
    return HTTPError(f"{request.url}: {words}{f': {detail}' if isinstance(detail, str) and detail else ''}")


def _words(case: Any, prefix: str) -> str:
    """The name of a case in words: `ErrorCode_ConnectionRefused` is "connection refused"."""
    name = type(case).__name__.removeprefix(prefix)
    return "".join(" " + letter.lower() if letter.isupper() else letter for letter in name).strip()
