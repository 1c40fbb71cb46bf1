"""Dates, times and durations as ISO 8601 and JSON Schema's formats have them. Python 3.10 reads less of it by itself."""

from __future__ import annotations

import base64
import datetime
import re

_FRACTION = re.compile(r"\.(\d+)")
_DURATION = re.compile(
    r"([+-])?P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)


def _normal(text: str) -> str:
    text = re.sub(r"[zZ]$", "+00:00", text.strip())
    return _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), text)


def read_datetime(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(_normal(text))


def read_time(text: str) -> datetime.time:
    return datetime.time.fromisoformat(_normal(text))


def read_duration(text: str) -> datetime.timedelta:
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()[1:]):
        raise ValueError(f"{text!r} is not a duration")
    weeks, days, hours, minutes, seconds = (float(part or 0) for part in found.groups()[1:])
    duration = datetime.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -duration if found[1] == "-" else duration


def write_duration(duration: datetime.timedelta) -> str:
    sign = "-" if duration < datetime.timedelta(0) else ""
    duration = abs(duration)
    seconds = (
        f"{duration.seconds}.{duration.microseconds:06}".rstrip("0").rstrip(".")
        if duration.microseconds
        else str(duration.seconds)
    )
    days = f"{duration.days}D" if duration.days else ""
    time = f"T{seconds}S" if seconds != "0" or not days else ""
    return f"{sign}P{days}{time}"


def read_base64(text: str) -> bytes:
    text = re.sub(r"\s", "", text).replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
