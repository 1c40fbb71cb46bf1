"""Generics in the syntax of Python 3.12, which a component has and the oldest Python that builds one has not."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from toolhost_plugin import tool

type Json = dict[str, Json] | list[Json] | str | int | float | bool | None
type Pair[A, B] = tuple[A, B]


class Linked[T](TypedDict):
    value: T
    next: NotRequired["Linked[T]"]


@dataclass
class Box[T]:
    item: T
    more: list["Box[T]"]


@tool
def generics[T: int](json: Json, pair: Pair[int, str], box: Box[int], linked: Linked[bool], bound: T) -> list[Json]:
    return [json, list(pair), box.more[0].item, linked["next"]["value"], bound]
