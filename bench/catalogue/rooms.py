"""Where profiles lie: the shipped ones by name, a user's own by path."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bench.catalogue.tomlfile import ProfileError, Table, nearest, read_data

ROOMS = ("gpus", "asics", "markets", "models", "sites")


@dataclass(frozen=True, slots=True)
class Place:
    """A profile's file, and what errors call it."""

    path: Path
    file: str


def root() -> Path:
    """The folder of the shipped profiles."""
    return Path(str(files("bench.profiles")))


def names(room: str) -> list[str]:
    """The shipped profiles of one of ``ROOMS``."""
    return sorted(path.stem for path in (root() / room).glob("*.toml"))


def is_path(name: str) -> bool:
    """Whether a profile is named by its file, not as a shipped one."""
    return name.endswith(".toml") or "/" in name


def locate(room: str, name: str) -> Place:
    """The file of a profile; ``ProfileError`` where no shipped one has that name."""
    if is_path(name):
        return Place(Path(name), name)
    known = names(room)
    if name not in known:
        cure = f"{nearest(name, known)}; or give the path of a .toml file"
        raise ProfileError(f"profiles/{room}", None, f"has no {name}", cure)
    return Place(root() / room / f"{name}.toml", f"{room}/{name}.toml")


def open_profile(room: str, name: str) -> Table:
    """A profile as a table, by shipped name or path."""
    place = locate(room, name)
    return Table(place.file, "", read_data(place.path, place.file))
