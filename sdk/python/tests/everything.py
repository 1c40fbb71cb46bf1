"""A plugin that uses all of the package, for the tests."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from dataclasses import dataclass
from datetime import date
from typing import Literal

from toolhost_plugin import (
    Contents,
    Denied,
    Image,
    InvalidArguments,
    Link,
    Message,
    Output,
    Resource,
    ToolError,
    ask,
    completes,
    config,
    http,
    listing,
    log,
    progress,
    prompt,
    resource,
    secret,
    tool,
)  # fmt: skip
from toolhost_plugin.calls import CallError, call_tool

print("printed while it is built")


@tool(title="Fail", read_only=True)
def fail(how: str) -> str:
    """Fails.

    :param how: In which way.
    """
    if how == "error":
        raise ToolError("no luck")
    if how == "arguments":
        raise InvalidArguments("`how` is wrong")
    if how == "denied":
        raise Denied("a key")
    if how == "zero":
        return str(1 // 0)
    if how == "exit":
        raise SystemExit(3)
    if how == "recursion":
        return fail(how)
    if how == "group":

        async def both() -> None:
            async def one() -> None:
                raise KeyError("one")

            await asyncio.gather(one(), asyncio.sleep(1))

        asyncio.run(both())
    if how == "memory":
        return "x" * (1 << 40)
    if how == "nan":
        return number(float("nan"))  # type: ignore[return-value]
    if how == "surrogate":
        return "a\ud800b"
    if how == "later":
        import csv  # An import that is only found when the function runs.
        import io

        return next(csv.reader(io.StringIO("late,import")))[0]
    raise AssertionError(how)


@tool
def number(value: float) -> float:
    """
    Returns a number.

    Parameters
    ----------
    value : float
        Any number.
    """
    return float("inf") if value == 0 else value


@tool
def host(key: str) -> dict[str, str | None]:
    """What the host grants."""
    print("printed")
    logging.getLogger("lib").warning("from logging")
    log.notice("noticed")
    progress(1, 2, "half")
    return {
        "config": config(key),
        "secret": secret(key),
        "env": os.environ.get("GREETING"),
        "random": str(random.random()),
    }


@tool(read_only=True)
def read(path: str) -> str:
    """Reads a file."""
    with open(path) as file:
        return file.read()


@tool
async def fetch(urls: list[str], post: str | None = None) -> list[str]:
    """Fetches pages side by side."""

    async def one(url: str) -> str:
        if post is not None:
            response = await http.post_async(url, json={"text": post}, params={"q": "a b"})
        else:
            response = await http.get_async(url, headers={"x-test": "yes"}, timeout=5)
        return f"{response.status_code} {response.text}"

    return await asyncio.gather(*map(one, urls))


@tool
async def together(names: list[str], url: str | None = None) -> list[str]:
    """Greets side by side, and waits for other things meanwhile.

    Args:
        names: Whom to greet.
        url: A page to fetch.
    """
    order: list[str] = []

    async def one(name: str) -> None:
        try:
            order.append((await call_tool("greet", name=name))["text"])
        except CallError as error:
            order.append(f"{error.tool} {error.code}: {error}")

    async def fetched() -> None:
        if url is not None:
            order.append((await http.get_async(url)).text)

    async def slept() -> None:
        await asyncio.sleep(0.001)
        order.append("slept")

    await asyncio.gather(*map(one, names), fetched(), slept())
    return sorted(order)


@tool
async def calls(name: str) -> list[str]:
    """Calls a tool of this name, one after the other, and what is not there.

    Args:
        name: The tool.
    """
    greeted = await call_tool("s_image")
    assert isinstance(greeted[0], str) and isinstance(greeted[1], Image), greeted
    first = asyncio.ensure_future(call_tool("greet", name="never awaited"))
    await asyncio.sleep(0)
    first.cancel()
    text = (await call_tool("greet", name="a"))["text"]
    return [text, await call_tool(name)]


@tool
def fetch_one(url: str) -> str:
    """Fetches a page, and fails unless there is one."""
    return http.get(url).raise_for_status().text


@dataclass
class Person:
    """Who somebody is.

    Attributes:
        name: As in your passport.
    """

    name: str
    age: int | None = None
    mood: Literal["good", "bad"] = "good"


@tool
def welcome() -> str:
    """Asks who is there."""
    who = ask.form("who", "Who are you?", Person)
    try:
        motto = ask.sample("motto", f"A motto for {who.name}, please.", max_tokens=50).text
    except ask.Refused:
        motto = "no motto"
    return f"{who.name}, {who.age}, {who.mood}: {motto}"


@tool
def remembered() -> str:
    """Makes a number once, and asks."""
    made = ask.remember("number", lambda: str(random.random()))
    sure = ask.form("sure", f"Is it {made}?", {"type": "object", "properties": {"sure": {"type": "boolean"}}})
    return f"{made} {sure.get('sure')}"


@tool
def picture() -> Output:
    """Several contents."""
    return Output(["A dot:", Image(b"\x89PNG", "image/png"), Link("note://welcome", "welcome")], {"dots": 1})


@resource("note://welcome", mime_type="text/plain")
def welcome_note() -> str:
    """A note."""
    return "Nice to see you."


@resource("note://by-day/{day}", name="by-day")
def by_day(day: date) -> Contents:
    return Contents(f"On {day:%d.%m.%Y}: nothing.".encode(), "application/octet-stream")


@listing
def notes() -> list[Resource]:
    return [Resource("note://by-day/2026-02-28", "today")]


@prompt(title="Code review")
def review(code: str, language: Literal["Python", "Rust"] = "Python", lines: int = 10) -> list[Message]:
    """Has code reviewed.

    Args:
        code: The code.
    """
    return [
        Message("user", f"Review {lines} lines of {language}."),
        Message("assistant", "Show me."),
        Message("user", code),
    ]


@completes("review", "language")
def languages(typed: str) -> list[str]:
    return ["Python", "Rust"]
