"""Calls of tools over `toolhost:calls`."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from componentize_py_types import Err
from wit_world.imports import calls as wit
from wit_world.imports import toolhost_types as types

from . import _json, _loop
from ._content import Audio, Content, Contents, Image, Link
from ._call_error import CallError
from ._json import well_formed

running: dict[int, asyncio.Future[Any]] = {}
"""What waits for each call that has not ended."""


async def call_tool(tool: str, arguments: str) -> Any:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, _loop.Loop):
        raise RuntimeError("another event loop runs")
    try:
        number = wit.start(well_formed(tool), arguments)
    except Err as error:
        raise _error(error.value) from None
    future = running[number] = loop.create_future()
    return await future


def wait(most: float | None) -> None:
    """Waits until a call has ended, for so many seconds at most."""
    if most is not None:
        try:
            wit.start_timer(math.ceil(most * 1000))
        except Err:
            # Without a clock it waits for as long as the calls do, unless it is to look only.
            if most == 0:
                return
    for number, outcome in wit.wait():
        future = running.pop(number, None)
        if future is None or future.done():
            continue  # A timer, or a call that nothing waits for any more.
        if isinstance(outcome, Err):
            future.set_exception(_error(outcome.value))
        else:
            future.set_result(_value(outcome.value))


def _error(error: Any) -> CallError:
    return CallError(error.message, code=error.code)


def _value(output: Any) -> Any:
    if output.structured is not None:
        return _json.loads(output.structured)
    if all(isinstance(part, types.Content_Text) for part in output.content):
        return "\n".join(part.value for part in output.content)
    return [_content(part) for part in output.content]


def _content(part: Any) -> Content:
    value = part.value
    if isinstance(part, types.Content_Image):
        return Image(value.data, value.mime_type)
    if isinstance(part, types.Content_Audio):
        return Audio(value.data, value.mime_type)
    if isinstance(part, types.Content_Link):
        return Link(value.uri, value.name, value.description, value.mime_type)
    if isinstance(part, types.Content_Embedded):
        return Contents(value.body.value, value.mime_type, value.uri)
    text: str = value
    return text


_loop.calls = _loop.Calls(running, wait)
