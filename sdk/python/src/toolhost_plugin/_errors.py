"""Errors of tools, and how exceptions are shown to the model."""

from __future__ import annotations

import traceback


class ToolError(Exception):
    """The tool could not do it. The model reads the message unchanged."""

    kind = "failed"

    @property
    def message(self) -> str:
        return super().__str__()


class InvalidArguments(ToolError):
    """The arguments fit the schema and are wrong all the same: say which, and why. The model can correct them."""

    kind = "invalid-arguments"


class Denied(ToolError):
    """The call needs something that the manifest does not grant: name it."""

    kind = "denied"


def describe(error: BaseException) -> str:
    """The last line that Python prints of an exception, and the lines of those in a group."""
    if isinstance(error, ToolError) and error.message:
        return error.message
    lines = "".join(traceback.format_exception_only(type(error), error)).strip()
    members = grouped(error)
    if members is None:
        return lines
    if len(members) == 1:
        return describe(members[0])
    return "\n".join([lines, *("- " + describe(member) for member in members)])


def grouped(error: BaseException) -> tuple[BaseException, ...] | None:
    """The exceptions of an exception group, which Python 3.10 has not."""
    members = getattr(error, "exceptions", None)
    if not isinstance(members, tuple) or type(error).__name__ not in ("ExceptionGroup", "BaseExceptionGroup"):
        return None
    return members
