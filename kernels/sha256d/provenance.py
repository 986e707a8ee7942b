"""The identity of this room's own code: sha256 of each source file."""

from __future__ import annotations

import hashlib
from pathlib import Path

_ROOM = Path(__file__).parent


def source_digests() -> dict[str, str]:
    """File name → sha256 in hex, of every Python and CUDA source of the room."""
    files = sorted([*_ROOM.glob("*.py"), *_ROOM.glob("*.cuh")])
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
