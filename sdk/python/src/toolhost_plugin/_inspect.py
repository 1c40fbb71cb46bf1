"""The first step of a build: imports the module and prints what it defines and needs, as JSON."""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
import sysconfig
import traceback
from types import ModuleType
from typing import Any, Iterator

_PACKAGE = __package__ or ""


def main() -> None:
    try:
        found = inspect_module(sys.argv[1])
    except BaseException as error:
        found = {"error": _shown(error)}
    sys.stdout.flush()
    # After whatever the module printed.
    print("\n\0" + json.dumps(found))


def _shown(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and (
        "importlib" in trace.tb_frame.f_code.co_filename or trace.tb_frame.f_code.co_filename == __file__
    ):
        trace = trace.tb_next
    if isinstance(error, (TypeError, ValueError)) and str(error).startswith(("/", "two ")):
        return str(error)  # One of this package, which names the place.
    return "the module cannot be imported:\n" + "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def inspect_module(name: str) -> dict[str, Any]:
    from . import _host, _registry

    _host.use(_host.NoHostYet())
    importlib.import_module(name)

    for tool in _registry.tools:
        tool.input_schema()
        tool.output_schema()
    for prompt in _registry.prompts:
        prompt.arguments()
    for provided in _registry.resources:
        provided.check()
    has_resources = bool(len(_registry.resources) or _registry.listings)
    if not len(_registry.tools) and not len(_registry.prompts) and not has_resources:
        raise ValueError(
            f"{sys.modules[name].__file__} defines no tools, prompts or resources: decorate functions with `@tool`"
        )
    own = [module for module in list(sys.modules.values()) if _is_of_the_author(module)]
    lazy = sorted({needed for module in own for needed in _imports_in_functions(module)})
    return {
        "tools": [tool.name for tool in _registry.tools],
        "resources": has_resources,
        "prompts": len(_registry.prompts) > 0,
        "completion": len(_registry.completions) > 0,
        "http": f"{_PACKAGE}.http" in sys.modules or f"{_PACKAGE}.http" in lazy,
        "calls": f"{_PACKAGE}.calls" in sys.modules or f"{_PACKAGE}.calls" in lazy,
        "lazy": lazy + (["asyncio"] if _is_async(_registry) else []),
        "modules": [module.__name__ for module in own],
        "paths": sorted({path for module in own for path in _site_packages(module)}),
    }


def _is_async(registry: Any) -> bool:
    import inspect

    offered = (*registry.tools, *registry.prompts, *registry.resources)
    return any(inspect.iscoroutinefunction(inspect.unwrap(one.function.function)) for one in offered)


def _is_of_the_author(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or module.__name__ == "__main__":
        return False
    name = module.__name__.partition(".")[0]
    return name not in sys.stdlib_module_names and name not in (_PACKAGE, "sitecustomize", "_distutils_hack")


def _site_packages(module: ModuleType) -> Iterator[str]:
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    yield from (folder for folder in installed if (module.__file__ or "").startswith(folder + os.sep))


def _imports_in_functions(module: ModuleType) -> Iterator[str]:
    """Imports inside functions, which must be done at build time: during a call there are no files to import from."""
    try:
        with open(module.__file__ or "", encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return
    package = module.__package__ or ""
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = package.split(".")
                    base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
                yield base
                # It may be a module of its own, and if not nothing is lost.
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


if __name__ == "__main__":
    main()
