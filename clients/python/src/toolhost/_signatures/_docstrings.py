"""Parses docstrings in Google, NumPy and Sphinx style into a description and the help of each argument."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple


class Docstring(NamedTuple):
    description: str
    arguments: dict[str, str]


_GOOGLE = {
    "args",
    "arguments",
    "parameters",
    "params",
    "keyword args",
    "keyword arguments",
    "attributes",
    "other parameters",
}
_NUMPY = {"parameters", "other parameters", "attributes"}
# Sections for readers of the code, not for the model.
_DROPPED = {"returns", "return", "yields", "yield", "raises", "raise", "examples", "example", "see also", "references"}

_GOOGLE_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:(?:\s+(.*)|$)")
_NUMPY_ITEM = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)")


def parse(text: str | None) -> Docstring:
    lines = inspect.cleandoc(text or "").splitlines()
    kept: list[str] = []
    arguments: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        title = line.strip().lower()
        if _is_underlined(lines, at) and (title in _NUMPY or title in _DROPPED):
            body, at = _numpy_section(lines, at + 2)
            if title in _NUMPY:
                arguments.update(_numpy_items(body))
        elif line[:1].strip() and title.endswith(":") and (title[:-1] in _GOOGLE or title[:-1] in _DROPPED):
            body, at = _indented(lines, at + 1)
            if title[:-1] in _GOOGLE:
                arguments.update(_google_items(body))
        elif field := _SPHINX.match(line):
            body, at = _indented(lines, at + 1)
            said = _join([field[3], *body])
            if field[1] in ("param", "parameter", "arg", "argument", "key", "keyword") and field[2]:
                arguments[field[2].split()[-1].lstrip("*")] = said
            elif field[1] not in (
                "type",
                "returns",
                "return",
                "rtype",
                "raises",
                "raise",
                "except",
                "exception",
                "meta",
            ):
                kept.append(line)
                kept.extend(body)
        else:
            kept.append(line)
            at += 1
    description = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return Docstring(description, arguments)


def _is_underlined(lines: list[str], at: int) -> bool:
    under = lines[at + 1].strip() if at + 1 < len(lines) else ""
    return len(under) >= 3 and set(under) <= {"-", "="}


def _numpy_section(lines: list[str], at: int) -> tuple[list[str], int]:
    start = at
    while at < len(lines) and not (lines[at].strip() and _is_underlined(lines, at)):
        at += 1
    return lines[start:at], at


def _indented(lines: list[str], at: int) -> tuple[list[str], int]:
    """The lines below that are indented, or empty."""
    start = at
    while at < len(lines) and (not lines[at].strip() or lines[at][0].isspace()):
        at += 1
    return lines[start:at], at


def _google_items(body: list[str]) -> dict[str, str]:
    items: dict[str, list[str]] = {}
    lines = inspect.cleandoc("\n" + "\n".join(body)).splitlines()
    current: list[str] | None = None
    for line in lines:
        item = None if line[:1].isspace() else _GOOGLE_ITEM.match(line)
        if item:
            current = items.setdefault(item[1], [item[2] or ""])
        elif current is not None:
            current.append(line)
    return {name: _join(said) for name, said in items.items()}


def _numpy_items(body: list[str]) -> dict[str, str]:
    items: dict[str, str] = {}
    at = 0
    while at < len(body):
        item = None if not body[at].strip() or body[at][0].isspace() else _NUMPY_ITEM.match(body[at])
        said, at = _indented(body, at + 1)
        if item:
            for name in item[1].split(","):
                items[name.strip().lstrip("*")] = _join(said)
    return items


def _join(lines: list[str]) -> str:
    """Lines of a paragraph on one line; paragraphs stay apart."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(line.strip() for line in lines).strip())
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
