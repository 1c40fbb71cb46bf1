"""What an idle host costs.

    PYTHONPATH=clients/python/src python3 benches/clients/idle.py target/release/toolhost

Prints the CPU time of five idle seconds, and the memory of a host with one plugin that has run calls. It fails if there
is any CPU time, or if the memory is 30 MiB or more.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from toolhost import Call, SyncHost

MOST = 30 << 10


def cpu(pid: int) -> int:
    """In hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def memory(pid: int) -> dict[str, int]:
    """In KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    wanted = ("VmRSS", "RssAnon", "RssFile")
    return {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in lines) if name in wanted}


with SyncHost(plugins=["calculator"], binary=sys.argv[1]) as host:
    process = host._connection.process
    assert process is not None
    before = memory(process.pid)
    host.run_all([Call("calculate", {"expression": "6*7"})] * 200)
    # It comes to rest one second after the last call.
    time.sleep(2)
    begun, own = cpu(process.pid), time.process_time()
    time.sleep(5)
    spent, own = cpu(process.pid) - begun, time.process_time() - own
    rests = memory(process.pid)
print(f"CPU of 5 idle s: host {spent * 10} ms, client {own * 1000:.1f} ms")
print(f"memory: {before} KiB once loaded, {rests} KiB at rest")
sys.exit(1 if spent or rests["VmRSS"] >= MOST else 0)
