"""The folders that runs write to, looked at without writing to them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.doctor.facts import PlaceFacts
from bench.machine import legible
from bench.store import lock_folder


def place_facts(place: Path) -> PlaceFacts:
    """A folder that is there, or what the nearest one above it says of one yet to be made."""
    path = legible(str(place))
    above = _nearest(place)
    if above is None:
        return PlaceFacts(path, writable=False)
    writable = os.access(above, os.W_OK | os.X_OK)
    try:
        free_bytes = shutil.disk_usage(above).free
        noexec = bool(os.statvfs(above).f_flag & os.ST_NOEXEC)
    except OSError:
        return PlaceFacts(path, writable)
    return PlaceFacts(path, writable, free_bytes, noexec)


def lock_facts() -> PlaceFacts | None:
    """The folder where devices are locked; None where no folder is open to all users."""
    folder = lock_folder()
    return None if folder is None else place_facts(folder)


def _nearest(place: Path) -> Path | None:
    """The folder, or the closest above it that exists; None where something else is in its way."""
    path = place.absolute()
    try:
        found = next(each for each in (path, *path.parents) if each.exists())
    except OSError:
        return None
    return found if found.is_dir() else None
