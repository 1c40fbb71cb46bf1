"""asyncio.gather, with what careful people write around each call."""

import asyncio
import inspect

from harness import TOOLS, Calls, main

BY_NAME = {tool.__name__: tool for tool in TOOLS}


async def run(calls: Calls, limit: float | None) -> list[tuple[str, str]]:
    async def one(id: str, name: str, arguments: dict) -> tuple[str, str]:
        tool = BY_NAME[name]
        called = tool(**arguments) if inspect.iscoroutinefunction(tool) else asyncio.to_thread(tool, **arguments)
        try:
            return id, await asyncio.wait_for(called, limit)
        except Exception as error:
            return id, f"error: {error!r}"

    return await asyncio.gather(*[one(*call) for call in calls])


main(run)
