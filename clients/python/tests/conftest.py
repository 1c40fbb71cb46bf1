"""What the tests share: the real binary, and a check of every frame in both directions against `docs/pipe.schema.json`.

`TOOLHOST_BINARY` names the binary. Frames are checked by a relay between client and host, which the tests run as their
binary.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("TOOLHOST_BINARY") or str(ROOT / "target/debug/toolhost")
PLUGINS = Path(os.environ.get("TOOLHOST_PLUGINS") or ROOT / "target/guests")

if not os.access(BINARY, os.X_OK):
    pytest.exit(f"{BINARY} is not there: build it (cargo build), or name it in TOOLHOST_BINARY", 2)
if not (PLUGINS / "echo.wasm").is_file():
    pytest.exit(f"{PLUGINS}/echo.wasm is not there: run `cargo xtask guests`, or set TOOLHOST_PLUGINS", 2)

os.environ["TOOLHOST_BINARY"] = BINARY
# Tests leave nothing in the user's cache.
os.environ.setdefault("TOOLHOST_CODE_CACHE", str(ROOT / "target/code-cache"))


def manifest(*names: str, **host: Any) -> dict[str, Any]:
    """A manifest with these plugins or guests."""
    return {"host": host, "plugin": {name: {"path": str(PLUGINS / f"{name}.wasm")} for name in names}}


def needs(module: str) -> None:
    """Skips a test whose framework is not installed, unless all tests are to run."""
    if not os.environ.get("TOOLHOST_TEST_ALL"):
        pytest.importorskip(module)


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Holds every frame against the schema: yields the file of what is wrong, which must stay empty."""
    errors = tmp_path / "errors"
    relay = tmp_path / "toolhost"
    script = Path(__file__).with_name("relay.py")
    relay.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{BINARY}" "{errors}" "$@"\n')
    relay.chmod(0o755)
    monkeypatch.setenv("TOOLHOST_BINARY", str(relay))
    yield errors
    assert errors.read_text() == ""


def chat(*calls: tuple[str, str, Any]) -> dict[str, Any]:
    """A chat completion with these calls: id, name, arguments."""
    made = [
        {
            "id": id,
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for id, name, given in calls
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
    }
