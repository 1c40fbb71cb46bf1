"""Finds the `toolhost` binary: named by the program, by the environment, in this package, beside Python, on PATH."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from ._exceptions import BinaryNotFound

VARIABLE = "TOOLHOST_BINARY"
_NAME = "toolhost.exe" if sys.platform == "win32" else "toolhost"


def find(named: str | os.PathLike[str] | None) -> str:
    """The path of the binary."""
    if named is not None:
        return _existing(os.fspath(named), "the argument `binary`")
    if variable := os.environ.get(VARIABLE):
        return _existing(variable, f"the environment variable {VARIABLE}")
    places = [Path(__file__).parent / "bin" / _NAME, Path(sysconfig.get_path("scripts")) / _NAME]
    for place in places:
        if os.access(place, os.X_OK) and place.is_file():
            return str(place)
    on_path = shutil.which(_NAME)
    if on_path:
        return on_path
    looked = "\n".join(f"  {place}" for place in [*places, f"{_NAME} on PATH"])
    raise BinaryNotFound(
        f"cannot find the toolhost binary; looked for\n{looked}\n"
        f"install it, set {VARIABLE}, or pass `Host(binary=...)`"
    )


def _existing(path: str, said_by: str) -> str:
    if not os.path.isfile(path):
        raise BinaryNotFound(f"{said_by} names a file that is not there: {path}")
    if not os.access(path, os.X_OK):
        raise BinaryNotFound(f"{said_by} names a file that cannot be executed: {path}")
    return path
