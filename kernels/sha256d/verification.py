"""What must hold of a scanner before it is timed, on the very compiled function that is timed.

Each check gives (name, passed, detail); headers and messages are known answers, ranges are judged
by hashlib.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from .header import (
    NONCES,
    Header,
    scan_reference,
    share_mask,
    sibling,
    siblings,
    with_nonce,
)
from .real_headers import REAL_HEADERS
from .scanner import FoundOverflowError, Scanner, scan

Check = tuple[str, bool, str]

MESSAGES = (
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
)
"""FIPS 180-2, appendix B, and the empty message of NIST's SHA256ShortMsg.rsp."""

RANGES = 32
RANGE_BITS = 8
_SURROUNDINGS = 64


def verify(scanner: Scanner, *, seed: int, range_nonces: int, long_nonces: int = 0) -> list[Check]:
    """All checks; the random ranges have ``range_nonces`` each, and one more ``long_nonces``.

    Every check asks for all of the scanner's midstates at once and judges each list; more hits than
    the buffer holds, of which no right kernel has so many here, fail it.
    """
    lengths = [range_nonces] * RANGES + ([long_nonces] if long_nonces else [])
    checks: dict[str, Callable[[], Check]] = {
        "nist-messages": lambda: _messages(scanner),
        "real-headers": lambda: _real_headers(scanner),
        "range-edges": lambda: _edges(scanner, seed),
        "exact-ranges": lambda: _ranges(scanner, seed, lengths),
    }
    return [_judged(name, check) for name, check in checks.items()]


def _judged(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except FoundOverflowError as error:
        return name, False, str(error)


def _messages(scanner: Scanner) -> Check:
    wrong = [text for text, digest in MESSAGES if scanner.digest(text).hex() != digest]
    detail = f"{len(MESSAGES)} messages through the kernel's compression, wrong: {wrong}"
    return "nist-messages", not wrong, detail


def _real_headers(scanner: Scanner) -> Check:
    missed = []
    places = range(scanner.midstates)
    for raw, place in itertools.product(REAL_HEADERS, places):
        nonce = Header.parse(raw).nonce
        first = max(0, nonce - _SURROUNDINGS)
        count = min(2 * _SURROUNDINGS, NONCES - first)
        headers = siblings(sibling(raw, -place), len(places))
        found = scan(scanner, headers, first, count, share_mask(32))
        if found != [[nonce] if header == raw else [] for header in headers]:
            missed.append((nonce, place))
    detail = (
        f"{len(REAL_HEADERS)} main-chain headers, each in {len(places)} places among siblings "
        f"that win nothing; missed (nonce, place): {missed}"
    )
    return "real-headers", not missed, detail


def _edges(scanner: Scanner, seed: int) -> Check:
    headers = siblings(random.Random(seed).randbytes(76), scanner.midstates)
    cases = [
        (0, 1, 0),
        (0, 257, 4),
        (NONCES - 1, 1, 0),
        (NONCES - 257, 257, 4),
        (NONCES - 1, 0, 0),
        (NONCES // 2 - 3, 7, 1),
    ]
    wrong = [
        case
        for case in cases
        if scan(scanner, headers, case[0], case[1], share_mask(case[2]))
        != [scan_reference(raw, case[0], case[1], share_mask(case[2])) for raw in headers]
    ]
    try:
        scan(scanner, headers, NONCES - 1, 2, 0)
        wrong.append((NONCES - 1, 2, 0))
    except ValueError:
        pass
    return "range-edges", not wrong, f"nonces 0 and 2^32 − 1, wrap refused; wrong: {wrong}"


def _ranges(scanner: Scanner, seed: int, lengths: list[int]) -> Check:
    """Row for row the list of hashlib: skipped, repeated or constant work shows."""
    rng = random.Random(seed)
    mask, total, wrong = share_mask(RANGE_BITS), 0, []
    for length in lengths:
        headers = siblings(rng.randbytes(76), scanner.midstates)
        first = rng.randrange(NONCES - length)
        for raw, found in zip(headers, scan(scanner, headers, first, length, mask), strict=True):
            total += len(found)
            if found != scan_reference(raw, first, length, mask):
                wrong.append(with_nonce(raw, first).hex())
    hashes = sum(lengths) * scanner.midstates
    detail = (
        f"{len(lengths)} random ranges, {hashes} hashes at an {RANGE_BITS}-bit mask, "
        f"{total} found; lists unlike hashlib's: {wrong}"
    )
    return "exact-ranges", not wrong, detail
