"""toolhost: functions of the program, through the pipe."""

import contextlib

from harness import TOOLS, Calls, main

from toolhost import Call, Host


@contextlib.asynccontextmanager
async def around(limit: float | None):
    async with Host({"host": {"timeout": f"{limit}s"}} if limit else {}) as host:
        for tool in TOOLS:
            host.tool(tool)

        async def run(calls: Calls, _: float | None) -> list[tuple[str, str]]:
            results = await host.run_all([Call(name, arguments, id) for id, name, arguments in calls])
            return [(result.id or "", result.text) for result in results]

        yield run


main(around=around)
