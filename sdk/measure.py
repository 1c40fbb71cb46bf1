#!/usr/bin/env python3
"""What a hello costs in each language: the component's size, its build, its first compile, and a call.

    TOOLHOST=target/release/toolhost sdk/measure.py [python] [quickjs] [starlingmonkey] [c]

The figures are of this machine and this build of the host: only those of one run compare.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLHOST = Path(os.environ.get("TOOLHOST", HERE.parent / "target/debug/toolhost")).resolve()
CALLS = 300


def build(language: str, folder: Path) -> Path:
    made = folder / f"{language}.wasm"
    environment = {**os.environ, "PYTHONPATH": str(HERE / "python/src")}
    if language == "python":
        command = [sys.executable, "-m", "toolhost_plugin.build", str(HERE / "python/examples/hello"), "-o", str(made)]
    elif language == "c":
        shutil.copytree(HERE / "c", folder / "c")
        command = ["make", "-C", str(folder / "c/examples/hello"), "--quiet"]
    else:
        script = HERE / "javascript/bin/toolhost-plugin.js"
        command = ["node", str(script), "build", str(HERE / "javascript/examples/hello"), "-o", str(made), "--engine", language]
    subprocess.run(command, check=True, env=environment, timeout=600, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if language == "c":
        shutil.copyfile(folder / "c/examples/hello/hello.wasm", made)
        shutil.rmtree(folder / "c")
    return made


def calls(manifest: Path, cache: Path, count: int) -> tuple[list[dict[str, float]], float]:
    """The usage of each call, one after the other, and how long the command took."""
    lines = "\n".join(json.dumps({"id": str(number), "name": "greet", "arguments": {"name": "Ada"}}) for number in range(count))
    command = [str(TOOLHOST), "--manifest", str(manifest), "--code-cache", str(cache), "run", "--format", "json", "--full"]
    command += ["--max-concurrency", "1"]
    started = time.monotonic()
    done = subprocess.run(command, input=lines, text=True, capture_output=True, check=True, timeout=600)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(result["structured"]["text"] == "Hello, Ada!" for result in results), results[0]
    return [result["usage"] for result in results], time.monotonic() - started


def main() -> None:
    languages = sys.argv[1:] or ["python", "quickjs", "starlingmonkey", "c"]
    print(f"{'':16}{'size':>10}{'build':>9}{'compile':>10}{'start':>9}{'call':>10}{'memory':>11}")
    with tempfile.TemporaryDirectory() as scratch:
        for language in languages:
            folder = Path(scratch, language)
            folder.mkdir()
            build(language, folder)  # The tools are there from now on.
            started = time.monotonic()
            made = build(language, folder)
            built = time.monotonic() - started
            manifest = folder / "toolhost.toml"
            manifest.write_text(f'[host]\nmax-compile = "300s"\n[plugin.hello]\npath = "{made.name}"\n')
            _, cold = calls(manifest, folder / "cache", 1)
            _, warm = calls(manifest, folder / "cache", 1)
            usages, _ = calls(manifest, folder / "cache", CALLS)
            each = statistics.median(usage["run_ms"] for usage in usages)
            memory = usages[0]["peak_memory_bytes"] / 2**20
            size = made.stat().st_size / 1e6
            print(
                f"{language:16}{size:>7.2f} MB{built:>7.1f} s{cold - warm:>8.1f} s{warm * 1000:>6.0f} ms{each:>7.2f} ms{memory:>7.1f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
