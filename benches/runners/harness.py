"""What every runner is measured with: the same tools, the same recorded model, the same scenarios.

A runner is a function of the calls and of a limit in seconds (or `None`): it has its framework run one answer of the
model, and returns the id and the text of every tool message that the model would see next. What an agent does once, and
not for each answer, is in a context around it, and not measured.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
import os
import sys
import time
import warnings
from typing import Any, Awaitable, Callable

Calls = list[tuple[str, str, dict[str, Any]]]
Runner = Callable[[Calls, "float | None"], Awaitable[list[tuple[str, str]]]]

seen: collections.Counter[str] = collections.Counter()
"""What the tools have done."""


async def fast(i: int) -> str:
    """Returns at once."""
    return f"fast {i}"


async def nap(i: int) -> str:
    """Waits for 300 ms."""
    seen["naps begun"] += 1
    await asyncio.sleep(0.3)
    seen["naps done"] += 1
    return f"nap {i}"


async def boom(i: int) -> str:
    """Fails."""
    raise RuntimeError("boom")


async def hang(i: int) -> str:
    """Never returns."""
    await asyncio.sleep(3600)
    return ""


def spin(i: int) -> str:
    """Computes for 2 s."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        pass
    return f"spin {i}"


TOOLS = [fast, nap, boom, hang, spin]


@dataclasses.dataclass
class Scenario:
    title: str
    tools: list[str]
    limit: float | None = None
    cancel_after: float | None = None


SCENARIOS = {
    "ten": Scenario(
        "ten calls: four fast, three naps, one fails, one hangs, one spins; limit 1 s",
        ["fast"] * 4 + ["nap"] * 3 + ["boom", "hang", "spin"],
        limit=1,
    ),
    "naps": Scenario("six naps", ["nap"] * 6),
    "fails": Scenario("five naps, one failure", ["nap"] * 5 + ["boom"]),
    "hangs": Scenario("five fast, one hangs; limit 2 s", ["fast"] * 5 + ["hang"], limit=2),
    "spins": Scenario("one spins 2 s, five naps", ["spin"] + ["nap"] * 5),
    "many": Scenario("1,000 fast", ["fast"] * 1000),
    "cancelled": Scenario("six naps, cancelled at 100 ms", ["nap"] * 6, cancel_after=0.1),
}


async def measure(run: Runner, scenario: Scenario) -> dict[str, Any]:
    calls: Calls = [(f"call_{n}", name, {"i": n}) for n, name in enumerate(scenario.tools)]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0.02)
    ticks = 0
    begun = time.monotonic()
    running = asyncio.ensure_future(run(calls, scenario.limit))
    found: dict[str, Any] = {}
    if scenario.cancel_after is not None:
        while not seen["naps begun"]:
            await asyncio.sleep(0.001)
        await asyncio.sleep(scenario.cancel_after)
        running.cancel()
        await asyncio.wait([running], timeout=10)
        await asyncio.sleep(0.6)
        found["run on"] = seen["naps done"]
    else:
        done, _ = await asyncio.wait([running], timeout=8)
        found["seconds"] = round(time.monotonic() - begun, 3)
        found["ticks"] = ticks
        if not done:
            found["outcome"] = "still running after 8 s"
        elif running.exception() is not None:
            found["outcome"] = f"raises {type(running.exception()).__name__}"
        answered = dict(running.result()) if done and running.exception() is None else {}
        found["lost"] = len({id for id, _, _ in calls} - set(answered))
        # What succeeds must reach the model as it is: more text would be more tokens.
        made = {id: f"{name} {given['i']}" for id, name, given in calls if name in ("fast", "nap")}
        found["changed"] = sum(answered[id] != text for id, text in made.items() if id in answered)
        before = seen["naps done"]
        await asyncio.sleep(0.5)
        found["run on"] = seen["naps done"] - before
    ticking.cancel()
    return found


def main(run: Runner | None = None, around: Callable[[float | None], Any] | None = None) -> None:
    """Measures the scenario that the command line names, and prints it as JSON. `around` makes a context that yields the
    runner."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    asyncio.run(_main(run, around))


async def _main(run: Runner | None, around: Callable[[float | None], Any] | None) -> None:
    scenario = SCENARIOS[sys.argv[1]]
    async with around(scenario.limit) if around else contextlib.nullcontext(run) as runner:
        print(json.dumps(await measure(runner, scenario)), flush=True)
    # Threads that spin are not waited for.
    os._exit(0)
