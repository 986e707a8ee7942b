"""Plain JSON objects to the frozen nouns, strictly: every field of its type, none unknown.

Nothing is converted but a whole number where a float stands and a list where a tuple does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


class Misfit(ValueError):  # noqa: N818 - what is wrong is the data
    """An object that is not the noun it should be: ``path`` leads to the field, ``why`` says it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = ""

    def inside(self, name: str) -> Misfit:
        """The same, seen from the object that holds it as ``name``: a field, or "[3]"."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{name}{joint}{self.path}"
        return self

    def __str__(self) -> str:
        return f"{self.path} {self.why}" if self.path else self.why


def from_object(cls: type[T], data: object) -> T:
    """``data`` as the dataclass ``cls``: the way back from ``asdict`` and JSON; Misfit if not."""
    reader: Callable[[Any], T] = _reader(cls)  # type: ignore[arg-type]  # a type is hashable
    return reader(data)


@cache
def _reader(hint: Any) -> Reader:
    """What reads a value of the type ``hint``, one of those that the nouns are made of."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        return _noun(hint)
    inner = get_args(hint)
    match get_origin(hint):
        case origin if origin is Literal:
            return _one_of(inner)
        case origin if origin in (Union, UnionType):
            (other,) = (each for each in inner if each is not NoneType)
            return _optional(_reader(other))
        case origin if origin is tuple:
            return _many(_reader(inner[0])) if inner[1:] == (...,) else _row(inner)
        case origin if origin is dict:
            return _mapping(_reader(inner[1]))
    raise TypeError(f"no noun holds a {hint}")


def _noun(cls: Any) -> Reader:
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    readers = {name: _reader(hints[name]) for name in fields}
    needed = frozenset(name for name, field in fields.items() if not _has_default(field))

    def read(data: Any) -> Any:
        values = {}
        for name, value in _object(data).items():
            reader = readers.get(name)
            if reader is None:
                raise Misfit("is not a known field").inside(name)
            try:
                values[name] = reader(value)
            except Misfit as misfit:
                raise misfit.inside(name) from None
        for name in needed - values.keys():
            raise Misfit("is missing").inside(name)
        try:
            return cls(**values)
        except ValueError as error:
            raise Misfit(str(error)) from None

    return read


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Misfit("is not an object")
    return data


def _one_of(allowed: tuple[Any, ...]) -> Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, str) or data not in allowed:
            raise Misfit(f"is none of {', '.join(map(str, allowed))}")
        return data

    return read


def _optional(other: Reader) -> Reader:
    return lambda data: None if data is None else other(data)


def _many(each: Reader) -> Reader:
    def read(data: Any) -> Any:
        return tuple(_item(each, k, item) for k, item in enumerate(_list(data)))

    return read


def _row(hints: tuple[Any, ...]) -> Reader:
    readers = tuple(map(_reader, hints))

    def read(data: Any) -> Any:
        if len(_list(data)) != len(readers):
            raise Misfit(f"does not hold {len(readers)} values")
        return tuple(_item(reader, k, data[k]) for k, reader in enumerate(readers))

    return read


def _mapping(each: Reader) -> Reader:
    def read(data: Any) -> Any:
        return {name: _item(each, name, item) for name, item in _object(data).items()}

    return read


def _list(data: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise Misfit("is not a list")
    return data


def _item(reader: Reader, place: int | str, item: Any) -> Any:
    try:
        return reader(item)
    except Misfit as misfit:
        raise misfit.inside(f"[{place}]" if isinstance(place, int) else place) from None


def _float(data: Any) -> float:
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        try:
            number = float(data)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise Misfit("is not a finite number")


def _int(data: Any) -> int:
    if isinstance(data, int) and not isinstance(data, bool):
        return data
    raise Misfit("is not a whole number")


def _bool(data: Any) -> bool:
    if isinstance(data, bool):
        return data
    raise Misfit("is neither true nor false")


def _str(data: Any) -> str:
    if isinstance(data, str):
        return data
    raise Misfit("is not a text")


_PLAIN: dict[Any, Reader] = {
    float: _float,
    int: _int,
    bool: _bool,
    str: _str,
    Any: lambda data: data,
}
