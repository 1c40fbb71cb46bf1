"""The error of calls of tools, for plugins that call none, too: only `calls` asks for the interface."""

from __future__ import annotations

from ._errors import ToolError


class CallError(ToolError):
    """A tool that was called has no output."""

    def __init__(self, message: str, *, code: str = "failed", tool: str = "") -> None:
        super().__init__(message)
        self.code = code
        """A stable name of the reason: `unknown-tool`, `invalid-arguments`, `denied`, `failed`, `timeout`, `limit` and so on."""
        self.tool = tool
        """The tool's name."""
