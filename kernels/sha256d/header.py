"""The 80-byte Bitcoin block header and its double SHA-256: layout, targets, shares, reference.

Everything here is plain Python and hashlib; it is what the kernels are judged by.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from .compression import INTEGERS, IV, compress, rounds, schedule_word

HEADER_BYTES = 80
NONCE_OFFSET = 76
NONCES = 1 << 32
WORK_WORDS = 19
VERSION_ROLLS, _VERSION_SHIFT = 1 << 16, 13
"""BIP 320: version bits 13–28 are free to roll."""

_DIFFICULTY_1_TARGET = 0xFFFF << 208  # Bitcoin Core, GetDifficulty: bits 0x1d00ffff


@dataclass(frozen=True, slots=True)
class Header:
    """One block header. ``prev`` and ``merkle`` are in internal byte order, as on the wire."""

    version: int
    prev: bytes
    merkle: bytes
    time: int
    bits: int
    nonce: int

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Read 80 bytes in wire order (little-endian integers); any other length is ValueError."""
        if len(raw) != HEADER_BYTES:
            raise ValueError(f"a block header has {HEADER_BYTES} bytes, not {len(raw)}")
        return cls(*struct.unpack("<I32s32s3I", raw))

    def pack(self) -> bytes:
        """The 80 bytes in wire order; struct.error for an integer beyond 32 bits."""
        return struct.pack(
            "<I32s32s3I", self.version, self.prev, self.merkle, self.time, self.bits, self.nonce
        )


def display(internal: bytes) -> str:
    """A hash as people write it: the internal bytes reversed, in hex."""
    return internal[::-1].hex()


def internal(display_hex: str) -> bytes:
    """A displayed hash in the byte order of the wire."""
    return bytes.fromhex(display_hex)[::-1]


def target(bits: int) -> int:
    """The 256-bit target of a compact ``bits`` field (Bitcoin Core, arith_uint256::SetCompact).

    A negative, overflowing or zero target admits no block and is refused with ValueError.
    """
    size, word = bits >> 24, bits & 0x7FFFFF
    value = word << 8 * (size - 3) if size > 3 else word >> 8 * (3 - size)
    if value == 0:
        raise ValueError(f"bits {bits:#010x}: the target is zero")
    if bits & 0x800000:
        raise ValueError(f"bits {bits:#010x}: the target is negative")
    if value >> 256:
        raise ValueError(f"bits {bits:#010x}: the target overflows 256 bits")
    return value


def difficulty(bits: int) -> float:
    """How many times harder than difficulty 1, whose target is 0xffff · 2^208."""
    return _DIFFICULTY_1_TARGET / target(bits)


def sha256d(data: bytes) -> bytes:
    """SHA-256 of SHA-256, 32 bytes in internal order."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def meets_target(raw: bytes) -> bool:
    """Whether an 80-byte header's hash is at or below the target in its own bits."""
    return int.from_bytes(sha256d(raw), "little") <= target(Header.parse(raw).bits)


def share_mask(bits: int) -> int:
    """The mask on H7 that stands for ``bits`` (0 … 32) leading zero bits of the display hash.

    H7 is the digest's last four bytes read big-endian, while the display hash begins with the
    last byte: 8 → 0x000000ff, 12 → 0x0000f0ff, 32 → 0xffffffff.
    """
    if not 0 <= bits <= 32:
        raise ValueError(f"a share has 0 to 32 leading zero bits, not {bits}")
    leading = (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF
    return int.from_bytes(leading.to_bytes(4, "little"), "big")


def meets_mask(raw: bytes, mask: int) -> bool:
    """Whether ``H7 & mask == 0`` for an 80-byte header, by hashlib."""
    return int.from_bytes(sha256d(raw)[28:], "big") & mask == 0


def with_nonce(header: bytes, nonce: int) -> bytes:
    """The 80-byte header with this nonce; ``header`` may lack its own (76 bytes)."""
    return header[:NONCE_OFFSET] + struct.pack("<I", nonce)


def sibling(header: bytes, rolls: int) -> bytes:
    """The header with the number in its free version bits (BIP 320) moved on, modulo 2^16.

    Siblings differ in the version alone, so the second block of their first hash is the same but
    for the chaining value, and a kernel may expand its schedule once for all of them.
    """
    version = int.from_bytes(header[:4], "little")
    free = (VERSION_ROLLS - 1) << _VERSION_SHIFT
    rolled = (version + (rolls << _VERSION_SHIFT)) & free
    return (version & ~free | rolled).to_bytes(4, "little") + header[4:]


def siblings(header: bytes, count: int) -> list[bytes]:
    """The header and the next ``count − 1`` siblings."""
    return [sibling(header, rolls) for rolls in range(count)]


def check_range(first_nonce: int, count: int) -> None:
    """Refuse with ValueError a nonce range that is not inside 0 … 2^32 − 1."""
    if first_nonce < 0 or count < 0 or first_nonce + count > NONCES:
        raise ValueError(
            f"nonces {first_nonce} … +{count} do not lie in 0 … 2^32 − 1: a range never wraps"
        )


def scan_reference(header: bytes, first_nonce: int, count: int, mask: int) -> list[int]:
    """The sorted nonces of a range whose H7 meets the mask, by hashlib alone."""
    check_range(first_nonce, count)
    shared = hashlib.sha256(header[:64])
    tail = header[64:NONCE_OFFSET]
    met = []
    for nonce in range(first_nonce, first_nonce + count):
        first = shared.copy()
        first.update(tail + struct.pack("<I", nonce))
        h7 = hashlib.sha256(first.digest()).digest()[28:]
        if int.from_bytes(h7, "big") & mask == 0:
            met.append(nonce)
    return met


def prepare_work(header: bytes) -> tuple[int, ...]:
    """What every nonce of a header shares, as 19 words for ``compression.last_word``.

    The midstate (8: the chaining value after the first 64 bytes), a … h after rounds 0–3 of the
    second block had the nonce word been 0 (8: that word is only ever added, to a and e), W16,
    W17 and W2. ``header`` is the 80 bytes, or 76 without the nonce.
    """
    words = struct.unpack(">19I", header[:NONCE_OFFSET])
    midstate = compress(INTEGERS, IV, words[:16])
    block = [*words[16:], 0, 0x80000000, *[0] * 10, 640]
    state = rounds(INTEGERS, midstate, block, 0, 4)
    w16 = schedule_word(INTEGERS, block, 16)
    w17 = schedule_word(INTEGERS, block, 17)
    return (*midstate, *state, w16, w17, words[18])
