"""What a shell may complete after an option: names of shipped profiles, read from their folder.

A key press waits for this, so nothing is imported that opens or checks a profile.
"""

from __future__ import annotations

from collections.abc import Iterable


def markets(incomplete: str) -> list[str]:
    """Values of --market; the shell adds files."""
    return _beginning(_shipped("markets"), incomplete)


def models(incomplete: str) -> list[str]:
    """Values of --model."""
    return _beginning(_shipped("models"), incomplete)


def devices(incomplete: str) -> list[str]:
    """Values of --device."""
    return _beginning(["cpu", *_simulated()], incomplete)


def meters(incomplete: str) -> list[str]:
    """Values of --meter, but those that want a number or a file after a colon."""
    return _beginning(["auto", "rapl", "none", *_simulated()], incomplete)


def _simulated() -> list[str]:
    return [f"sim:{name}" for name in _shipped("gpus")]


def _shipped(room: str) -> list[str]:
    from importlib.resources import files

    names = (path.name for path in (files("bench.profiles") / room).iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
