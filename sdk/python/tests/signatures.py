"""Tools with the signatures that people stumble over, each of which returns what it got.

`CASES` has JSON for each, and what comes back; `REFUSED` what does not fit. They run natively and in a component.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import (
    Annotated,
    Any,
    Dict,
    Generic,
    List,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Tuple,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

from toolhost_plugin import Field, Image, Output, tool

T = TypeVar("T")

CASES: list[tuple[str, Any, Any]] = []
REFUSED: list[tuple[str, Any]] = []


def case(name: str, value: Any, *, back: Any = ...) -> None:
    CASES.append((name, value, value if back is ... else back))


def refused(name: str, *values: Any) -> None:
    REFUSED.extend((name, value) for value in values)


# 1: nested dataclasses


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Line:
    start: Point
    end: Point
    label: str | None = None


@dataclass
class Drawing:
    lines: list[Line] = field(default_factory=list)
    tags: dict[str, list[Point | None]] = field(default_factory=dict)


@tool
def nested(value: Drawing) -> Drawing:
    return value


_line = {"start": {"x": 0.5, "y": 1.5}, "end": {"x": 2.5, "y": 0.0}, "label": None}
case("nested", {"lines": [_line], "tags": {"a": [{"x": 1.0, "y": 0.0}, None]}})
case("nested", {"lines": [{**_line, "end": {"x": 2.5}}]}, back={"lines": [_line], "tags": {}})
refused("nested", {"lines": [{"start": {"x": "1"}, "end": {"x": 1}}]}, {"line": []}, [])


# 2: a choice that may be left out


@tool
def optional_literal(value: Optional[Literal["fast", "safe"]] = None) -> Optional[Literal["fast", "safe"]]:
    return value


case("optional_literal", "safe")
case("optional_literal", None)
refused("optional_literal", "slow", 1)


# 3: 64-bit integers, and larger ones within 64 bits of either sign


@tool
def int64(value: int) -> int:
    return value


for number in (0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1):
    case("int64", number)
refused("int64", 1.5, "1x", None)


# 4: a recursive TypedDict


class Node(TypedDict):
    name: str
    children: List["Node"]


@tool
def recursive_typed_dict(value: Node) -> Node:
    return value


case("recursive_typed_dict", {"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": []}]}]})
refused("recursive_typed_dict", {"name": "a"}, {"name": "a", "children": [{"name": 1, "children": []}]})


# 5: unions of dataclasses, with a tag and without


@dataclass
class Cat:
    lives: int
    kind: Literal["cat"] = "cat"


@dataclass
class Dog:
    lives: int
    good: bool = True
    kind: Literal["dog"] = "dog"


@tool
def tagged(value: Cat | Dog) -> str:
    return type(value).__name__


case("tagged", {"kind": "cat", "lives": 9}, back="Cat")
case("tagged", {"kind": "dog", "lives": 1}, back="Dog")
case("tagged", {"good": False, "lives": 1}, back="Dog")
refused("tagged", {"kind": "cow", "lives": 1}, {"kind": "cat", "lives": "9"})


# 6


@dataclass
class ByName:
    name: str


@dataclass
class ByNumber:
    number: int


@tool
def untagged(value: list[ByName | ByNumber]) -> list[ByName | ByNumber]:
    return value


case("untagged", [{"name": "a"}, {"number": 2}])
refused("untagged", [{"name": 1}], [{"name": "a", "number": 2}])


# 7


@tool
def optional_items(value: dict[str, list[int | None]]) -> dict[str, list[int | None]]:
    return value


case("optional_items", {"a": [1, None], "": [], "ключ": [2**60 + 1]})
refused("optional_items", {"a": [1.5]}, {"a": None})


# 8: NotRequired beside the annotations of the future


if sys.version_info >= (3, 11):
    from typing import NotRequired, Required

    class Movie(TypedDict, total=False):
        title: Required[str]
        year: int
        rating: NotRequired[Annotated[float, Field(ge=0, le=10)]]

else:

    class Titled(TypedDict):
        title: str

    class Movie(Titled, total=False):
        year: int
        rating: Annotated[float, Field(ge=0, le=10)]


@tool
def partial(value: Movie) -> Movie:
    return value


case("partial", {"title": "Alien"})
case("partial", {"title": "Alien", "year": 1979, "rating": 8.5})
refused("partial", {"year": 1979}, {"title": "Alien", "rating": 11.0})


# 9: enums by value, of text and of numbers


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@tool
def enums(value: tuple[Color, Level, Color | None]) -> tuple[Color, Level, Color | None]:
    return value


case("enums", ["red", 2, None])
refused("enums", ["RED", 2, None], ["red", 3, None], ["red", 2])


# 10: a boolean is no integer


@tool
def bool_or_int(value: bool | int | str) -> bool | int | str:
    return value


case("bool_or_int", True)
case("bool_or_int", 1)
case("bool_or_int", "1")
refused("bool_or_int", None, [True])


# 11


@tool
def float_or_int(value: float | int) -> float | int:
    return value


case("float_or_int", 2**53 + 1)
case("float_or_int", 1.5)


# 12


@tool
def sets(value: set[str]) -> set[str]:
    return value


case("sets", ["b", "a"], back=["a", "b"])
refused("sets", [1], "a")


# 13


@tool
def variadic(value: tuple[int, ...]) -> tuple[int, ...]:
    return value


case("variadic", [])
case("variadic", [1, 2, 3])


# 14: dates, in UTC as others write it


@tool
def moments(value: tuple[datetime, date, time, timedelta]) -> tuple[datetime, date, time, timedelta]:
    return value


case(
    "moments",
    ["2026-02-28T10:00:00.5Z", "2026-02-28", "10:30:00", "PT1H30M"],
    back=["2026-02-28T10:00:00.500000+00:00", "2026-02-28", "10:30:00", "PT5400S"],
)
refused("moments", ["yesterday", "2026-02-28", "10:30:00", "PT1H"])


# 15


@tool
def identifiers(value: dict[UUID, PurePosixPath]) -> dict[UUID, PurePosixPath]:
    return value


case("identifiers", {"12345678-1234-5678-1234-567812345678": "/notes/a b.txt"})
refused("identifiers", {"1234": "/"})


# 16: decimals by their digits, as a text and as a number


@tool
def decimals(value: list[Decimal]) -> list[Decimal]:
    return value


case("decimals", ["0.10", "-1e400"], back=["0.10", "-1E+400"])
case("decimals", [0.1, 12], back=["0.1", "12"])
refused("decimals", ["NaN"], ["one"])


# 17


@tool
def binary(value: bytes) -> bytes:
    return value[::-1]


case("binary", "AAEC/w==", back="/wIBAA==")
refused("binary", "not base64!")


# 18: JSON of any kind


@tool
def anything(value: Any) -> dict[str, Any]:
    return {"got": value}


for value in (None, [1, "a", {"b": [None, 1.5]}], 2**63 - 1, ""):
    case("anything", value, back={"got": value})


# 19: a dataclass of a type variable


@dataclass
class Page(Generic[T]):
    items: list[T]
    next: int | None = None


@tool
def generic(value: Page[Point]) -> Page[Point]:
    return value


case("generic", {"items": [{"x": 1.5, "y": 2.5}], "next": None})
refused("generic", {"items": ["a"]})


# 20


class Range(NamedTuple):
    low: int
    high: int = 10


@tool
def named_tuple(value: Range) -> Range:
    assert isinstance(value, Range)
    return value


case("named_tuple", [1, 2])
case("named_tuple", [1], back=[1, 10])
refused("named_tuple", [], [1, 2, 3])


# 21


UserId = NewType("UserId", int)


@tool
def new_type(value: Dict[UserId, List[Tuple[str, int]]]) -> Dict[UserId, List[Tuple[str, int]]]:
    return value


case("new_type", {"9007199254740993": [["a", 1]]})
refused("new_type", {"a": []})


# 22: bounds


@tool
def bounded(
    value: Annotated[list[Annotated[int, Field(gt=0, multiple_of=5)]], Field(min_length=1, max_length=3)],
) -> list[int]:
    return value


case("bounded", [5, 10])
refused("bounded", [], [0], [7], [5, 5, 5, 5])


# 23


@tool
def pattern(value: Annotated[str, Field(pattern="^[a-z]+$", description="Lower case.")]) -> str:
    return value


case("pattern", "abc")
refused("pattern", "ABC", "")


# 24: aliases that contain themselves


Json = Union[Dict[str, "Json"], List["Json"], str, int, float, bool, None]


@tool
def recursive_alias(value: Json) -> Json:
    return value


case("recursive_alias", {"a": [1, {"b": None}, "c", True, 1.5]})
case("recursive_alias", None)


# 25: recursion over dataclasses, and back


@dataclass
class Expression:
    operator: Literal["+", "*"]
    operands: list[Expression | int]


@tool
def mutual(value: Expression) -> Expression:
    return value


case("mutual", {"operator": "+", "operands": [1, {"operator": "*", "operands": [2, 3]}]})
refused("mutual", {"operator": "-", "operands": []}, {"operator": "+", "operands": [{"operator": "+"}]})


# 26: literals of several types, and of an enum


@tool
def literals(value: list[Literal[1, True, "1", None]]) -> list[Literal[1, True, "1", None]]:
    return value


case("literals", [1, True, "1", None])
refused("literals", [2], [False], ["true"])


# 27: a string that is an instant, before any string


@tool
def date_or_text(value: date | str) -> str:
    return type(value).__name__


case("date_or_text", "2026-02-28", back="date")
case("date_or_text", "soon", back="str")


# 28: abstract collections


@tool
def abstract(value: Mapping[str, Sequence[Iterable[int]]]) -> Mapping[str, Sequence[Iterable[int]]]:
    return value


case("abstract", {"a": [[1], []]})


# 29: names that cannot be those of arguments, and a field with what dataclasses say of it


@dataclass(frozen=True)
class Mail:
    from_: Annotated[str, Field(name="from")]
    to: list[str] = field(metadata={"description": "Who gets it."})


@tool
def renamed(value: Mail) -> Mail:
    return value


case("renamed", {"from": "a@example.com", "to": []})
refused("renamed", {"from_": "a@example.com", "to": []})


# 30: checks of the author's own


@dataclass
class Interval:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("`low` is over `high`")


@tool
def checked(value: Interval) -> Interval:
    return value


case("checked", {"low": 1, "high": 2})
refused("checked", {"low": 2, "high": 1})


# 31: flags


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@tool
def flags(value: Access) -> Access:
    return value


case("flags", ["READ", "WRITE"])
case("flags", [])
refused("flags", ["read"], 1)


# 32: an async tool


@tool
async def asynchronous(value: list[int]) -> int:
    import asyncio

    async def double(number: int) -> int:
        await asyncio.sleep(0.001)
        return number * 2

    return sum(await asyncio.gather(*map(double, value)))


case("asynchronous", [1, 2, 3], back=12)


# 33: keys that are members of an enum


@tool
def enum_keys(value: dict[Color, Level]) -> dict[Color, Level]:
    return value


case("enum_keys", {"red": 1})
refused("enum_keys", {"blue": 1})


# 34: text that JSON has to escape


@tool
def text(value: str) -> str:
    return value


for text_value in ("", '\u0000\u001f"\\', "日本語 🎈", "line\nline"):
    case("text", text_value)


@tool
def image() -> Output:
    """What is no text, for those who call it."""
    return Output(["A dot:", Image(b"\x89PNG")])
