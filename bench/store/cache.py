"""The private cache: how long preparing took, the thriftiest kernels."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from bench.store.errors import StoreError


def cache_place() -> Path:
    """Where the private folder is, or would be."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "joulemark"


def cache_dir() -> Path:
    """That folder (0700, for compiled kernels and remembered set-up times), made if need be."""
    path = cache_place()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = f"cannot make the cache folder {path}: {error.strerror}"
        raise StoreError(f"{why}; name a writable place with XDG_CACHE_HOME") from error
    return path


def remembered_setup() -> dict[str, float]:
    """Seconds that preparing and verifying took when last run here, by workload."""
    try:
        return {str(name): float(seconds) for name, seconds in _known("setup.json").items()}
    except (ValueError, TypeError):
        return {}


def remember_setup(seconds: dict[str, float], warm: dict[str, float]) -> None:
    """Keep them for the next --dry-run; a cache that cannot be written is no error.

    A first run compiles, so what it took says nothing of the next: ``warm`` is kept instead.
    """
    known = remembered_setup()
    kept = {name: s if name in known else warm.get(name, s) for name, s in seconds.items()}
    _keep("setup.json", {**known, **kept})


def remembered_kernel(device: str) -> str | None:
    """The thriftiest hash kernel measured on a device (its UUID, or a processor's name)."""
    found = _known("kernels.json").get(device)
    return found if isinstance(found, str) else None


def remember_kernel(device: str, kernel: str) -> None:
    """Keep it for later runs on that device; a cache that cannot be written is no error."""
    _keep("kernels.json", {**_known("kernels.json"), device: kernel})


def _known(name: str) -> dict[str, Any]:
    """What a file of the cache holds; nothing where it is absent or no JSON object."""
    try:
        known = json.loads((cache_place() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _keep(name: str, known: dict[str, Any]) -> None:
    path = cache_dir() / name
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(path)
