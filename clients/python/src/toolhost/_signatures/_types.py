"""From type hints to codecs."""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import pathlib
import re
import sys
import types
import typing
import uuid
from typing import Any, Callable, Mapping, Union

from . import _docstrings, _iso
from ._codec import NO_DEFAULT, Codec, Field, Mismatch, Named, shown
from ._composites import Constrained, DictCodec, ListCodec, Member, ObjectCodec, TupleCodec, UnionCodec
from ._scalars import (
    ANY,
    BoolCodec,
    ChoiceCodec,
    DecimalCodec,
    FlagCodec,
    FloatCodec,
    IntCodec,
    NoneCodec,
    StrCodec,
    SubclassCodec,
    TextCodec,
)  # fmt: skip

_SCALARS: dict[Any, Codec] = {
    Any: ANY,
    object: ANY,
    None: NoneCodec(),
    type(None): NoneCodec(),
    bool: BoolCodec(),
    int: IntCodec(),
    float: FloatCodec(),
    str: StrCodec(),
    decimal.Decimal: DecimalCodec(),
    bytes: TextCodec(
        bytes, {"contentEncoding": "base64"}, _iso.read_base64, lambda data: base64.b64encode(data).decode()
    ),
    uuid.UUID: TextCodec(uuid.UUID, {"format": "uuid"}, uuid.UUID, str),
    datetime.datetime: TextCodec(
        datetime.datetime, {"format": "date-time"}, _iso.read_datetime, datetime.datetime.isoformat
    ),
    datetime.date: TextCodec(datetime.date, {"format": "date"}, datetime.date.fromisoformat, datetime.date.isoformat),
    datetime.time: TextCodec(datetime.time, {"format": "time"}, _iso.read_time, datetime.time.isoformat),
    datetime.timedelta: TextCodec(datetime.timedelta, {"format": "duration"}, _iso.read_duration, _iso.write_duration),
    # All paths of guests are those of POSIX.
    pathlib.Path: TextCodec(pathlib.PurePath, {}, pathlib.Path, pathlib.PurePath.as_posix),
    pathlib.PurePath: TextCodec(pathlib.PurePath, {}, pathlib.PurePosixPath, pathlib.PurePath.as_posix),
    pathlib.PurePosixPath: TextCodec(pathlib.PurePosixPath, {}, pathlib.PurePosixPath, str),
}

_SEQUENCES: dict[Any, tuple[Callable[[list[Any]], Any], tuple[type, ...], bool]] = {
    list: (list, (list, tuple), False),
    tuple: (tuple, (tuple, list), False),
    set: (set, (set, frozenset), True),
    frozenset: (frozenset, (frozenset, set), True),
    collections.deque: (collections.deque, (collections.deque,), False),
    collections.abc.Sequence: (list, (collections.abc.Sequence,), False),
    collections.abc.MutableSequence: (list, (collections.abc.Sequence,), False),
    collections.abc.Collection: (list, (collections.abc.Collection,), False),
    collections.abc.Iterable: (list, (collections.abc.Iterable,), False),
    collections.abc.Set: (set, (collections.abc.Set,), True),
    collections.abc.MutableSet: (set, (collections.abc.Set,), True),
}

_MAPPINGS = (
    dict,
    collections.OrderedDict,
    collections.defaultdict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
)


class Unsupported(TypeError):
    """A type hint that cannot be represented in JSON."""


def _name(form: Any) -> str:
    return getattr(form, "__name__", None) or getattr(form, "_name", None) or str(form)


class Builder:
    """Makes codecs of hints. Names in hints that are strings are those of the module, and of the function around."""

    def __init__(self, module: str = "", local_names: Mapping[str, Any] | None = None) -> None:
        self.global_names: dict[str, Any] = dict(vars(sys.modules[module])) if module in sys.modules else {}
        self.local_names = dict(local_names or {})
        self.named: dict[Any, Named] = {}
        self.variables: dict[Any, Any] = {}

    def hints(self, owner: Any) -> dict[str, Any]:
        # Python 3.12 does not find the type variables of a class in hints that are strings.
        variables = {variable.__name__: variable for variable in getattr(owner, "__type_params__", ())}
        try:
            return typing.get_type_hints(owner, None, {**variables, **self.local_names} or None, include_extras=True)
        except (NameError, TypeError) as error:
            raise Unsupported(f"the hints of `{_name(owner)}` cannot be read: {error}") from None

    def codec(self, hint: Any) -> Codec:
        if isinstance(hint, typing.TypeVar):
            return self._variable(hint)
        try:
            known = _SCALARS.get(hint)
        except TypeError:
            known = None
        if known is not None:
            return known
        if isinstance(hint, (str, typing.ForwardRef)):
            return self._forward(hint if isinstance(hint, str) else hint.__forward_arg__)
        if hasattr(hint, "__supertype__"):  # NewType
            return self.codec(hint.__supertype__)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is None:
            return self._plain(hint)
        if hasattr(hint, "__metadata__"):  # Annotated
            return annotated(self.codec(arguments[0]), hint.__metadata__)
        name = _name(origin)
        if name in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar"):
            return self.codec(arguments[0])
        if name == "Literal":
            return self._literal(arguments)
        if origin is Union or origin is getattr(types, "UnionType", None):
            return UnionCodec([self.codec(argument) for argument in arguments])
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            return TupleCodec([self.codec(argument) for argument in arguments if argument != ()])
        if origin in _SEQUENCES:
            make, accepts, unique = _SEQUENCES[origin]
            return ListCodec(self.codec(arguments[0]), make, accepts, unique)
        if origin in _MAPPINGS:
            return DictCodec(self.codec(arguments[0]), self.codec(arguments[1]))
        if getattr(origin, "__type_params__", None) or getattr(origin, "__parameters__", None):
            return self._generic(hint, origin, arguments)
        raise Unsupported(f"`{hint}` cannot be represented in JSON")

    def _plain(self, hint: Any) -> Codec:
        if hint in _SEQUENCES:
            make, accepts, unique = _SEQUENCES[hint]
            return ListCodec(ANY, make, accepts, unique)
        if hint in _MAPPINGS:
            return DictCodec(_SCALARS[str], ANY)
        if type(hint).__name__ == "TypeAliasType":
            return self._name(hint, _name(hint), lambda: self.codec(hint.__value__))
        if not isinstance(hint, type):
            raise Unsupported(f"`{hint}` cannot be represented in JSON")
        if issubclass(hint, enum.Flag) and not issubclass(hint, int):
            return FlagCodec(hint)
        if issubclass(hint, enum.Enum):
            return _enum(hint)
        if dataclasses.is_dataclass(hint):
            return self._name(hint, hint.__name__, lambda: self._dataclass(hint))
        if issubclass(hint, dict) and hasattr(hint, "__total__"):
            return self._name(hint, hint.__name__, lambda: self._typed_dict(hint))
        if issubclass(hint, tuple) and hasattr(hint, "_fields"):
            return self._name(hint, hint.__name__, lambda: self._named_tuple(hint))
        for base, codec in _SCALARS.items():
            # Such as a subclass of `str`; `object` is everybody's base.
            if (
                isinstance(base, type)
                and base is not object
                and issubclass(hint, base)
                and isinstance(codec, (StrCodec, IntCodec, FloatCodec))
            ):
                return SubclassCodec(hint, codec)
        raise Unsupported(
            f"`{hint.__module__}.{hint.__qualname__}` cannot be represented in JSON: use a dataclass, a TypedDict, an Enum, or a type "
            "of the standard library that has one"
        )

    def _name(self, key: Any, name: str, make: Callable[[], Codec]) -> Codec:
        key = (key, tuple(sorted(((_name(variable), str(value)) for variable, value in self.variables.items()))))
        named = self.named.get(key)
        if named is None:
            named = self.named[key] = Named(name)
            named.inner = make()
        return named

    def _forward(self, text: str) -> Codec:
        def find() -> Codec:
            try:
                hint = eval(text, self.global_names, self.local_names)
            except NameError as error:
                raise Unsupported(f"the hint {text!r} names something unknown: {error}") from None
            return self.codec(hint)

        return self._name(("a forward reference", text, id(self.global_names)), text, find)

    def _variable(self, variable: Any) -> Codec:
        if variable in self.variables:
            return self.codec(self.variables[variable])
        if variable.__constraints__:
            return UnionCodec([self.codec(constraint) for constraint in variable.__constraints__])
        return self.codec(variable.__bound__) if variable.__bound__ else ANY

    def _generic(self, hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Codec:
        parameters = getattr(origin, "__type_params__", None) or origin.__parameters__
        # What an argument says of a variable is said outside of this type.
        bound = {parameter: self._bound(argument) for parameter, argument in zip(parameters, arguments)}
        before, self.variables = self.variables, {**self.variables, **bound}
        try:
            plain = self._plain(origin)
        finally:
            self.variables = before
        if isinstance(plain, Named):
            plain.name = re.sub(r"\W+", "_", f"{_name(origin)}_{'_'.join(_name(argument) for argument in arguments)}")
        return plain

    def _bound(self, argument: Any) -> Any:
        return self.variables.get(argument, argument) if isinstance(argument, typing.TypeVar) else argument

    def _literal(self, values: tuple[Any, ...]) -> Codec:
        choices: list[tuple[Any, Any]] = []
        for value in values:
            if isinstance(value, enum.Enum):
                choices.append((_enum(type(value)).encode(value), value))
            elif value is None or isinstance(value, (bool, int, str)):
                choices.append((value, value))
            else:
                raise Unsupported(f"{value!r} in a `Literal` cannot be represented in JSON")
        return ChoiceCodec(choices)

    def _within(self, cls: type) -> Callable[[], None]:
        """Names in the hints of a class are those of its own module."""
        before = self.global_names
        self.global_names = dict(vars(sys.modules[cls.__module__])) if cls.__module__ in sys.modules else {}

        def leave() -> None:
            self.global_names = before

        return leave

    def _dataclass(self, cls: Any) -> Codec:
        leave = self._within(cls)
        hints = self.hints(cls)
        said = _docstrings.parse(cls.__doc__ if not str(cls.__doc__).startswith(f"{cls.__name__}(") else "")
        members = []
        for name, hint in hints.items():
            if isinstance(hint, dataclasses.InitVar):
                raise Unsupported(f"`{cls.__name__}` has an `InitVar`, `{name}`, which has no value to write as JSON")
        for field in dataclasses.fields(cls):
            if not field.init:
                continue
            default: Any = NO_DEFAULT if field.default is dataclasses.MISSING else field.default
            if field.default_factory in (list, dict, set, tuple):
                default = field.default_factory()
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            description = field.metadata.get("description") or said.arguments.get(field.name)
            members.append(self.member(field.name, hints[field.name], required, description, default))
        leave()

        def take(value: Any) -> Mapping[str, Any]:
            if not isinstance(value, cls):
                raise Mismatch(f"expected a {cls.__name__}, got {shown(value)}")
            return {member.name: getattr(value, member.name) for member in members}

        return ObjectCodec(members, lambda values: cls(**values), take, description=said.description)

    def _typed_dict(self, cls: Any) -> Codec:
        leave = self._within(cls)
        said = _docstrings.parse(cls.__doc__ if cls.__doc__ != dict.__doc__ else "")
        members = []
        for name, hint in self.hints(cls).items():
            required = name in cls.__required_keys__
            form = hint
            while form is not None and _name(typing.get_origin(form)) in (
                "Required",
                "NotRequired",
                "ReadOnly",
                "Annotated",
            ):
                # `__required_keys__` does not know hints that are strings.
                marker = _name(typing.get_origin(form))
                required = marker == "Required" or required and marker != "NotRequired"
                form = typing.get_args(form)[0]
            members.append(self.member(name, hint, required, said.arguments.get(name)))
        leave()

        def take(value: Any) -> Mapping[str, Any]:
            if not isinstance(value, dict):
                raise Mismatch(f"expected a dict ({cls.__name__}), got {shown(value)}")
            return value

        is_open = not getattr(cls, "__closed__", None)
        return ObjectCodec(members, dict, take, is_open=is_open, description=said.description)

    def _named_tuple(self, cls: Any) -> Codec:
        leave = self._within(cls)
        hints = self.hints(cls)
        names = list(cls._fields)
        items = [self.codec(hints.get(name, Any)) for name in names]
        leave()
        codec = TupleCodec(items, names, cls)
        codec.required = len(names) - len(cls._field_defaults)
        return codec

    def member(
        self, name: str, hint: Any, required: bool, description: str | None, default: Any = NO_DEFAULT
    ) -> Member:
        codec = self.codec(hint)
        if default is None and not _takes_none(codec):
            # `text: str = None` says that there may be none, whatever the hint says.
            codec = UnionCodec([codec, NoneCodec()])
        json_name = name
        if isinstance(codec, Constrained):
            json_name = codec.field.name or name
            description = codec.field.description or description
        return Member(name, json_name, codec, required, description, default)


def _takes_none(codec: Codec) -> bool:
    """Whether None is among its values, as far as that is known while the type is made."""
    if isinstance(codec, Constrained):
        return _takes_none(codec.inner)
    if isinstance(codec, UnionCodec):
        return any(_takes_none(member) for member in codec.members)
    if isinstance(codec, ChoiceCodec):
        return any(value is None for value, _ in codec.choices)
    return codec is ANY or isinstance(codec, (NoneCodec, Named))


def _enum(cls: type[enum.Enum]) -> ChoiceCodec:
    members = list(cls.__members__.items())
    plain = all(
        type(member.value) in (str, int, float, bool, type(None)) or isinstance(member, (str, int))
        for _, member in members
    )
    choices: list[tuple[Any, Any]] = []
    for name, member in members:
        value = member.value if plain else name
        if not any(member is other for _, other in choices):
            choices.append((value, member))
    said = cls.__doc__ if cls.__doc__ and cls.__doc__ != "An enumeration." else ""
    inherited = any(said == base.__doc__ for base in cls.__mro__[1:])
    return ChoiceCodec(choices, None if inherited or not said else _docstrings.parse(said).description)


def annotated(codec: Codec, metadata: tuple[Any, ...]) -> Codec:
    """What is in `Annotated` beside the type: a text, a `Field`, or an object of a like kind (annotated-types, `Doc`)."""
    said: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, str):
            said.setdefault("description", item)
        elif isinstance(getattr(item, "documentation", None), str):
            said.setdefault("description", item.documentation)
        else:
            for field in dataclasses.fields(Field):
                value = getattr(item, field.name, None)
                if value not in (None, ()) and not callable(value):
                    said[field.name] = value
    if "examples" in said:
        said["examples"] = tuple(said["examples"])
    return Constrained(codec, Field(**said)) if said else codec


def codec_of(hint: Any) -> Codec:
    """Of a hint that names nothing."""
    return Builder().codec(hint)
