"""Runs the binary (first argument), and holds each frame on its way against the schema. What is wrong goes to a file."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import jsonschema

SCHEMA = Path(__file__).resolve().parents[3] / "docs/pipe.schema.json"


def validators() -> dict[tuple[str, str], Any]:
    """One for each type of frame of each side, as the message of a `oneOf` names nothing."""
    schema = json.loads(SCHEMA.read_text())
    made = {}
    for side in ("client", "host"):
        for frame in schema["$defs"][side]["oneOf"]:
            whole = {**frame, "$defs": schema["$defs"]}
            made[side, frame["title"]] = jsonschema.Draft202012Validator(whole)
    return made


def main() -> int:
    binary, errors, *arguments = sys.argv[1:]
    known = validators()
    wrong = open(errors, "w", buffering=1)
    child = subprocess.Popen([binary, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def relay(side: str, source: BinaryIO, sink: BinaryIO) -> None:
        for line in source:
            frame = json.loads(line)
            validator = known.get((side, frame["type"]))
            if validator is None:
                wrong.write(f"{side}: unknown type {frame['type']}\n")
            else:
                for error in validator.iter_errors(frame):
                    wrong.write(f"{side}: {frame['type']}: {error.json_path}: {error.message}\n")
            try:
                sink.write(line)
                sink.flush()
            except OSError:
                break
        try:
            sink.close()
        except OSError:
            pass

    assert child.stdin is not None and child.stdout is not None
    up = threading.Thread(target=relay, args=("client", sys.stdin.buffer, child.stdin), daemon=True)
    up.start()
    relay("host", child.stdout, sys.stdout.buffer)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
