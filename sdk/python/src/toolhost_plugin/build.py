"""`python -m toolhost_plugin.build app.py`: a component of a module, by componentize-py.

First the running Python imports the module in a subprocess, to report errors with their location and to find out which
interfaces of the host it needs. Then componentize-py, installed into a folder of its own, imports it inside a component and
takes a snapshot.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any, Sequence

COMPONENTIZE_PY = "0.25.1"

_PACKAGE = pathlib.Path(__file__).resolve().parent
_WIT = _PACKAGE / "wit"
_ENTRY = "toolhost_plugin_entry"

# The standard library imports these lazily, and during a call there are no files to import from.
_NEEDED_LATER = (
    "_strptime", "encodings.ascii", "encodings.cp1252", "encodings.idna", "encodings.latin_1", "encodings.punycode",
    "encodings.utf_16", "encodings.utf_16_le", "encodings.utf_8_sig", "linecache", "stringprep", "traceback",
)  # fmt: skip


class BuildError(Exception):
    """The component cannot be built: the message says why, and what to do."""


def build(
    app: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    python_path: Sequence[str | os.PathLike[str]] = (),
    timeout: float = 300,
) -> pathlib.Path:
    """Builds a component of a module, given by its file or its folder, and returns where it is."""
    root, module = _locate(pathlib.Path(app))
    target = (
        pathlib.Path(output) if output else pathlib.Path.cwd() / f"{module.rpartition('.')[2].replace('_', '-')}.wasm"
    )
    paths = [root, *(pathlib.Path(path).resolve() for path in python_path)]
    found = _inspect(module, paths, timeout)
    tools = _componentize_py()
    with tempfile.TemporaryDirectory(prefix="toolhost-plugin-") as folder:
        entry = pathlib.Path(folder)
        (entry / f"{_ENTRY}.py").write_text(_entry(module, found), encoding="utf-8")
        _run_componentize_py(tools, entry, [*paths, *map(pathlib.Path, found["paths"])], found, target, timeout)
    return target


def _locate(app: pathlib.Path) -> tuple[pathlib.Path, str]:
    """The folder to import from, and the module's name in it."""
    app = app.resolve()
    if app.is_dir():
        candidates = [app / "__init__.py", app / "app.py", app / "plugin.py"]
        file = next((file for file in candidates if file.is_file()), None)
        if file is None:
            raise BuildError(
                f"{app} has no app.py: name the plugin's module, such as `python -m toolhost_plugin.build plugin.py`"
            )
        app = file
    if not app.is_file():
        raise BuildError(f"there is no file {app}")
    if app.suffix != ".py":
        raise BuildError(f"{app} is not a Python module")
    names = [] if app.name == "__init__.py" else [app.stem]
    folder = app.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    for name in names:
        if not name.isidentifier():
            raise BuildError(f"{name!r} cannot be imported: a module's name has letters, digits and `_` only")
    if (
        names[0] in ("wit_world", "toolhost_plugin", "componentize_py_types", _ENTRY)
        or names[0] in sys.stdlib_module_names
    ):
        raise BuildError(f"{app}: `{names[0]}` is the name of another module: rename the file")
    return folder, ".".join(names)


def _inspect(module: str, paths: list[pathlib.Path], timeout: float) -> dict[str, Any]:
    """Imports the module in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [*paths, _PACKAGE.parent])),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "toolhost_plugin._inspect", module]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"importing `{module}` timed out after {timeout:g} s") from None
    try:
        found: dict[str, Any] = json.loads(done.stdout.rpartition("\n\0")[2])
    except ValueError:
        raise BuildError(f"`{module}` cannot be imported: Python ended with status {done.returncode}") from None
    if "error" in found:
        raise BuildError(str(found["error"]).rstrip())
    return found


def _entry(module: str, found: dict[str, Any]) -> str:
    """The module that is the component: it imports the author's, and exports what that offers."""
    lines = [
        "import importlib",
        "import sys",
        # The folders of the sources are mounted: nothing is left in them.
        "sys.dont_write_bytecode = True",
        "from toolhost_plugin import _host",
        "_host.use(_host.NoHostYet())",
        f"import {module}",
        "from toolhost_plugin import _component",
        f"for name in {[*_NEEDED_LATER, *found['lazy']]!r}:",
        "    try:",
        "        importlib.import_module(name)",
        "    except Exception:",
        "        pass",
        "from toolhost_plugin._component import Tools",
    ]
    lines += ["from toolhost_plugin import _wasi_http"] if found["http"] else []
    lines += ["from toolhost_plugin import _wit_calls"] if found["calls"] else []
    exports = {"resources": "Resources", "prompts": "Prompts", "completion": "Completions as Completion"}
    lines += [f"from toolhost_plugin._component import {name}" for key, name in exports.items() if found[key]]
    lines.append(f"_component.prepare([sys.modules[name] for name in {found['modules']!r} if name in sys.modules])")
    return "\n".join(lines) + "\n"


def _tools_folder() -> pathlib.Path:
    named = os.environ.get("TOOLHOST_TOOLS")
    if named:
        return pathlib.Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or ("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    if os.name == "nt":
        cache = os.environ.get("LOCALAPPDATA", "~")
    return pathlib.Path(cache).expanduser() / "toolhost" / "tools"


def _componentize_py() -> pathlib.Path:
    """The folder that componentize-py is installed in, and in which nothing else is."""
    folder = _tools_folder() / f"componentize-py-{COMPONENTIZE_PY}"
    if (folder / "componentize_py").is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    requirement = f"componentize-py=={COMPONENTIZE_PY}"
    print(f"installing {requirement} into {folder}", file=sys.stderr)
    staging = pathlib.Path(tempfile.mkdtemp(prefix=".componentize-py-", dir=folder.parent))
    try:
        options = ["--quiet", "--target", str(staging), "--no-deps", requirement]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            *options,
        ]
        uv = ["uv", "pip", "install", *options]
        has_pip = subprocess.run([sys.executable, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode == 0
        if not has_pip and not shutil.which("uv"):
            raise BuildError(
                f"this Python has no pip to install {requirement} with: run `{sys.executable} -m ensurepip` (Debian: "
                "`apt-get install python3-pip`), or install uv"
            )
        done = subprocess.run(
            pip if has_pip else uv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise BuildError(f"{requirement} cannot be installed:\n{done.stderr.strip()}")
        # Another build may have been faster.
        with contextlib.suppress(OSError):
            os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _run_componentize_py(
    tools: pathlib.Path,
    entry: pathlib.Path,
    paths: list[pathlib.Path],
    found: dict[str, Any],
    target: pathlib.Path,
    timeout: float,
) -> None:
    worlds = ["plugin", *(["toolhost:calls/caller@0.1.0"] if found["calls"] else [])]
    worlds += [
        world for key, world in (("resources", "resource-provider"), ("prompts", "prompt-provider")) if found[key]
    ]
    worlds += [world for key, world in (("completion", "completion-provider"), ("http", "http-client")) if found[key]]
    made = entry / "component.wasm"
    # One world that includes the others: componentize-py 0.25 panics when it merges worlds that export records.
    wit = entry / "wit"
    for package, files in (("plugin", ("plugin.wit", "wasi.wit")), ("calls", ("calls.wit",))):
        (wit / "deps" / package).mkdir(parents=True)
        for file in files:
            shutil.copyfile(_WIT / file, wit / "deps" / package / file)
    full = (world if ":" in world else f"toolhost:plugin/{world}@0.1.0" for world in worlds)
    includes = " ".join(f"include {world};" for world in full)
    (wit / "component.wit").write_text(
        f"package toolhost:component;\n\nworld component {{ {includes} }}\n", encoding="utf-8"
    )
    # The names of the modules do not depend on which interfaces there are.
    names = ["toolhost:plugin/types@0.1.0=toolhost_types"]
    names += ["wasi:http/types@0.2.12=http_types"] if found["http"] else []
    names += ["toolhost:calls/calls@0.1.0=calls"] if found["calls"] else []
    command = [sys.executable, "-c", "from componentize_py import script; script()", "--quiet", "--wit-path", str(wit)]
    command += ["--world", "component"]
    command += [part for name in names for part in ("--import-interface-name", name)]
    command += ["componentize", _ENTRY, "--output", str(made)]
    # A package that is installed beside others is not looked for among them.
    python_paths = dict.fromkeys([entry, *paths, *([] if _PACKAGE.parent in paths else [_own_folder(entry)])])
    command += [part for path in python_paths for part in ("--python-path", str(path))]
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(
            command,
            env={**environment, "PYTHONPATH": str(tools)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"componentize-py timed out after {timeout:g} s: raise `--timeout`") from None
    if done.returncode != 0 or not made.is_file():
        raise BuildError(_readable(done.stdout, python_paths))
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(made, staging)
        os.replace(staging, target)
    finally:
        staging.unlink(missing_ok=True)


def _own_folder(entry: pathlib.Path) -> pathlib.Path:
    """A folder with this package alone."""
    folder = entry / "packages"
    shutil.copytree(_PACKAGE, folder / _PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "wit"))
    return folder


def _readable(output: str, paths: Any) -> str:
    """What componentize-py says, without its own backtrace, and with the files' own names."""
    said = output.partition("\nCaused by:")[0].partition("\nStack backtrace:")[0]
    said = said[said.find("AssertionError: ") + len("AssertionError: ") :] if "AssertionError: " in said else said
    for index, path in enumerate(paths):
        said = said.replace(f'File "/{index}/', f'File "{path}{os.sep}')
    said = re.sub(rf'  File "[^"]*{_ENTRY}\.py".*\n', "", said)
    if "ModuleNotFoundError" in said or "ImportError" in said:
        said += "\nA component takes pure Python only, and has no sockets and threads of its own."
    return f"the component cannot be made:\n{said.strip()}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m toolhost_plugin.build", description="Build a component of a plugin's module."
    )
    parser.add_argument("app", nargs="?", default=".", help="the module's file, or its folder [default: app.py here]")
    parser.add_argument("-o", "--output", help="the component [default: the module's name and .wasm, here]")
    parser.add_argument(
        "-p", "--python-path", action="append", default=[], metavar="DIR", help="import from there as well"
    )
    parser.add_argument(
        "--timeout", type=float, default=300, metavar="SECONDS", help="give up after this long [default: 300]"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        made = build(options.app, options.output, python_path=options.python_path, timeout=options.timeout)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
