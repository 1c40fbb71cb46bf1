"""Runs the calls of one recorded answer through several frameworks and through toolhost, and prints a table.

    PYTHONPATH=clients/python/src TOOLHOST_BINARY=target/release/toolhost target/clients/python/bin/python benches/runners/run.py

`cargo xtask clients` installs the frameworks. Each scenario of each runner is a process of its own. "lost" are calls
whose message the model never sees; "ticks" of 5 ms tell whether the event loop stays free; "run on" are naps that end
after the run has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import SCENARIOS

RUNNERS = {
    "gather": "asyncio.gather, own try and wait_for",
    "langgraph": "LangGraph ToolNode",
    "openai_agents": "OpenAI Agents SDK",
    "pydantic_ai": "PydanticAI",
    "anthropic": "Anthropic tool runner",
    "toolhost": "toolhost",
}


def measured(runner: str, scenario: str) -> dict[str, Any]:
    script = Path(__file__).with_name(f"with_{runner}.py")
    try:
        ran = subprocess.run(
            [sys.executable, script, scenario], capture_output=True, text=True, timeout=60, env=os.environ, check=False
        )
    except subprocess.TimeoutExpired:
        return {"outcome": "no end within 60 s"}
    lines = ran.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"outcome": f"failed: {ran.stderr.strip().splitlines()[-1:]}"}


def cell(scenario: str, found: dict[str, Any]) -> str:
    said = []
    if "outcome" in found:
        said.append(f"**{found['outcome']}**")
    elif scenario == "many":
        said.append(f"{1000 / found['seconds']:,.0f} calls/s")
    elif "seconds" in found:
        said.append(f"{found['seconds']:.2f} s")
    if found.get("lost"):
        said.append(f"{found['lost']} lost")
    if scenario == "spins":
        said.append(f"{found.get('ticks', 0)} ticks")
    if found.get("run on"):
        said.append(f"{found['run on']} run on")
    return ", ".join(said) or "all stop"


def main() -> None:
    print("| runner |", " | ".join(it.title for it in SCENARIOS.values()), "|")
    print("| --- |" + " --- |" * len(SCENARIOS))
    for runner, title in RUNNERS.items():
        cells = [cell(name, measured(runner, name)) for name in SCENARIOS]
        print(f"| {title} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
