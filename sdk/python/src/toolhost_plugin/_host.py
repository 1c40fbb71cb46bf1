"""Functions of the host. In a component they call the host; natively a stub, which `testing.Host` replaces."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from .http import Request, Response

Level = Literal["debug", "info", "notice", "warning", "error"]
Kind = Literal["form", "page", "prompt", "roots"]


class Host(Protocol):
    def log(self, level: Level, message: str) -> None: ...

    def progress(self, done: float, total: float | None, message: str | None) -> None: ...

    def can_ask(self, kind: Kind) -> bool: ...

    def resource_updated(self, uri: str) -> None: ...

    def resources_changed(self) -> None: ...

    def config(self, key: str) -> str | None: ...

    def secret(self, name: str) -> str | None: ...

    def send(self, request: Request) -> Response: ...

    async def send_async(self, request: Request) -> Response: ...

    async def call_tool(self, tool: str, arguments: str) -> Any: ...


class NoHost:
    """Nothing is granted, and logs go to standard error."""

    def log(self, level: Level, message: str) -> None:
        print(f"{level}: {message}", file=sys.stderr)

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        pass

    def can_ask(self, kind: Kind) -> bool:
        return True

    def resource_updated(self, uri: str) -> None:
        pass

    def resources_changed(self) -> None:
        pass

    def config(self, key: str) -> str | None:
        return None

    def secret(self, name: str) -> str | None:
        return None

    def send(self, request: Request) -> Response:
        from ._errors import Denied

        raise Denied(f"{request.url} is not granted: pass `http=` to `testing.Host`")

    async def send_async(self, request: Request) -> Response:
        return self.send(request)

    async def call_tool(self, tool: str, arguments: str) -> Any:
        from ._call_error import CallError

        raise CallError(f"tool {tool} is not granted: pass `tools=` to `testing.Host`", code="denied")


class NoHostYet(NoHost):
    """The host while a component is built, and modules run for the first time."""

    def log(self, level: Level, message: str) -> None:
        pass

    def config(self, key: str) -> str | None:
        raise RuntimeError(f"config({key!r}): not available while the component is built: call it inside the function")

    def secret(self, name: str) -> str | None:
        raise RuntimeError(f"secret({name!r}): not available while the component is built: call it inside the function")

    def send(self, request: Request) -> Response:
        raise RuntimeError(f"{request.url}: no requests while the component is built: send them inside the function")

    async def call_tool(self, tool: str, arguments: str) -> Any:
        raise RuntimeError(f"{tool}: no calls while the component is built: call it inside the function")


current: Host = NoHost()


def use(host: Host) -> Host:
    """Makes this the host, and returns the one before."""
    global current
    before, current = current, host
    return before


class Log:
    """Lines for the call's log, by level; the model does not see them. `log("…")` is `log.info("…")`."""

    def __call__(self, message: object) -> None:
        self.info(message)

    def debug(self, message: object) -> None:
        current.log("debug", str(message))

    def info(self, message: object) -> None:
        current.log("info", str(message))

    def notice(self, message: object) -> None:
        current.log("notice", str(message))

    def warning(self, message: object) -> None:
        current.log("warning", str(message))

    def error(self, message: object) -> None:
        current.log("error", str(message))


log = Log()


def progress(done: float, total: float | None = None, message: str | None = None) -> None:
    """Says how far the call is: `done` of `total`, in a unit of the tool's choosing."""
    current.progress(float(done), None if total is None else float(total), message)


def config(key: str) -> str | None:
    """A value of the manifest's `[plugin.NAME.config]`. A string comes as it is, anything else as JSON."""
    return current.config(key)


def secret(name: str) -> str | None:
    """A secret that the manifest grants under this name. Keep it out of results and logs."""
    return current.secret(name)


def resource_updated(uri: str) -> None:
    """Tells subscribers that a resource of this plugin is not what it was."""
    current.resource_updated(uri)


def resources_changed() -> None:
    """Tells clients that this plugin lists other resources than it did."""
    current.resources_changed()
