"""Calls of the host's other tools, which `permissions.tools` of the manifest grants.

    from toolhost_plugin.calls import call_tool

    texts = await asyncio.gather(call_tool("fs_read", path="a.txt"), call_tool("fs_read", path="b.txt"))

A plugin that does not import this module cannot call tools.
"""

from __future__ import annotations

from typing import Any

from . import _host, _json
from ._call_error import CallError
from ._scalars import ANY

__all__ = ["CallError", "call_tool"]


async def call_tool(tool: str, /, **arguments: Any) -> Any:
    """Calls a tool. Calls that are awaited together run together.

    Returns the structured output, or else the text, or else the contents.

    Raises:
        CallError: Why there is none.
    """
    try:
        return await _host.current.call_tool(tool, _json.dumps(ANY.encode(arguments)))
    except CallError as error:
        error.tool = error.tool or tool
        raise
