"""Where runs write: results, cache and locks; and how old the prices are that a verdict uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.doctor.facts import Facts, PlaceFacts
from bench.doctor.findings import fail, ok, warn
from bench.records.check import Check
from bench.records.decision import Aged

GIB, MIB = 1 << 30, 1 << 20
ROOM_BYTES, LEAST_BYTES = GIB, 64 * MIB
"""A compile cache takes hundreds of MiB, a run's record and journal up to tens."""


def place_checks(facts: Facts) -> Iterator[Check]:
    """Every folder that a run writes to."""
    yield _results(facts.results)
    yield _cache(facts.cache)
    yield _locks(facts.locks)


def price_checks(market: str, ages: Sequence[Aged]) -> Iterator[Check]:
    """The prices of a market that a verdict would take without ``--set``."""
    stale = sorted((age for age in ages if age.stale), key=lambda age: -age.age_days)
    if not stale:
        yield ok("prices", f"{market}: none of {len(ages)} is stale")
        return
    oldest = stale[0]
    text = (
        f"{market}: {len(stale)} of {len(ages)} are STALE; the oldest, {oldest.what},"
        f" is {oldest.age_days} days old"
    )
    cure = "bench market new mine.toml --set btc=USD power=USD, then --market mine.toml"
    yield warn("prices", text, cure)


def _results(place: PlaceFacts) -> Check:
    if not place.writable:
        return fail("results folder", f"{place.path} cannot be written", "name one with --out DIR")
    return _room("results folder", place, "make room there, or name another with --out DIR")


def _cache(place: PlaceFacts) -> Check:
    elsewhere = "export XDG_CACHE_HOME=DIR, one of your own with room"
    if not place.writable:
        text = f"{place.path} cannot be written: every run compiles and calibrates anew"
        return fail("cache folder", text, elsewhere)
    if place.noexec:
        text = f"{place.path} is mounted noexec: compiled kernels cannot be loaded from it"
        return fail("cache folder", text, elsewhere)
    return _room("cache folder", place, elsewhere)


def _locks(place: PlaceFacts | None) -> Check:
    cure = "export JOULEMARK_LOCK_DIR=DIR, one that all users of the card can write"
    if place is None:
        text = "no folder is open to all users: only your own runs are kept off a device"
        return warn("lock folder", text, cure)
    if not place.writable:
        return fail("lock folder", f"{place.path} cannot be written", cure)
    return ok("lock folder", place.path)


def _room(item: str, place: PlaceFacts, cure: str) -> Check:
    if place.free_bytes is None:
        return ok(item, f"{place.path}; its free space is not told")
    text = f"{place.path}, {place.free_bytes / GIB:.1f} GiB free"
    if place.free_bytes < LEAST_BYTES:
        return fail(item, f"{text}: a run may not fit", cure)
    if place.free_bytes < ROOM_BYTES:
        return warn(item, f"{text}: compiled kernels may not fit", cure)
    return ok(item, text)
