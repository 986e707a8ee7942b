"""The header's layout, targets and shares against real headers, Bitcoin Core and hashlib."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.compression import INTEGERS, IV, compress, last_word, message_blocks
from bench.kernels.sha256d.real_headers import REAL_HEADERS

GENESIS = REAL_HEADERS[0]
NONCE = st.integers(0, h.NONCES - 1)


def test_genesis_fields() -> None:
    genesis = h.Header.parse(GENESIS)
    assert (genesis.version, genesis.time, genesis.bits) == (1, 1231006505, 0x1D00FFFF)
    assert genesis.nonce == 2083236893
    assert genesis.prev == bytes(32)
    merkle = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert h.display(genesis.merkle) == merkle
    assert h.internal(merkle) == genesis.merkle
    display = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert h.display(h.sha256d(GENESIS)) == display


def test_block_1_follows_genesis() -> None:
    assert h.Header.parse(REAL_HEADERS[1]).prev == h.sha256d(GENESIS)


@pytest.mark.parametrize("raw", REAL_HEADERS)
def test_real_headers_prove_themselves(raw: bytes) -> None:
    assert h.Header.parse(raw).pack() == raw
    assert h.meets_target(raw)
    assert h.meets_mask(raw, h.share_mask(32))
    nonce = h.Header.parse(raw).nonce
    assert not h.meets_target(h.with_nonce(raw, nonce ^ 1))


@given(st.binary(min_size=80, max_size=80))
def test_parse_and_pack_are_inverse(raw: bytes) -> None:
    assert h.Header.parse(raw).pack() == raw


def test_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="80 bytes, not 79"):
        h.Header.parse(bytes(79))


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208),
        (0x1B0404CB, 0x0404CB << 192),
        (0x01120000, 0x12),
        (0x02123400, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x20123456, 0x123456 << 232),
        (0x2100FFFF, 0xFFFF << 240),
        (0x220000FF, 0xFF << 248),
    ],
)
def test_compact_targets(bits: int, target: int) -> None:
    assert h.target(bits) == target


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        (0x00000000, "zero"),
        (0x01003456, "zero"),
        (0x1D000000, "zero"),
        (0x04800000, "zero"),
        (0x01FEDCBA, "negative"),
        (0x04923456, "negative"),
        (0x21010000, "overflows"),
        (0x22000100, "overflows"),
        (0x23000001, "overflows"),
        (0xFF123456, "overflows"),
    ],
)
def test_compact_targets_refused(bits: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        h.target(bits)


def test_siblings_differ_in_the_free_version_bits_alone() -> None:
    raw = REAL_HEADERS[6]
    family = h.siblings(raw, 4)
    assert family[0] == raw
    assert {one[4:] for one in family} == {raw[4:]}
    versions = [h.Header.parse(one).version for one in family]
    assert [(v - versions[0]) & (0xFFFF << 13) for v in versions] == [0, 1 << 13, 2 << 13, 3 << 13]
    assert {v & ~(0xFFFF << 13) for v in versions} == {versions[0] & ~(0xFFFF << 13)}


@given(st.binary(min_size=76, max_size=80), st.integers(-70_000, 70_000))
def test_sibling_rolls_return(raw: bytes, rolls: int) -> None:
    assert h.sibling(h.sibling(raw, rolls), -rolls) == raw == h.sibling(raw, 1 << 16)
    assert (h.sibling(raw, rolls) == raw) == (rolls % (1 << 16) == 0)


def test_difficulty() -> None:
    assert h.difficulty(0x1D00FFFF) == 1.0
    assert h.difficulty(0x1B0404CB) == pytest.approx(16307.420938523983, rel=1e-12)


@pytest.mark.parametrize(
    ("bits", "mask"),
    [(0, 0), (8, 0xFF), (12, 0xF0FF), (16, 0xFFFF), (24, 0xFFFFFF), (32, 0xFFFFFFFF)],
)
def test_share_masks(bits: int, mask: int) -> None:
    assert h.share_mask(bits) == mask


@given(st.binary(min_size=80, max_size=80), st.integers(0, 12))
def test_share_mask_means_leading_zero_bits(raw: bytes, bits: int) -> None:
    shown = int(h.display(h.sha256d(raw)), 16)
    assert h.meets_mask(raw, h.share_mask(bits)) == (shown >> (256 - bits) == 0)


@pytest.mark.parametrize("bits", [-1, 33])
def test_share_mask_refuses(bits: int) -> None:
    with pytest.raises(ValueError, match="0 to 32"):
        h.share_mask(bits)


@pytest.mark.parametrize(("first", "count"), [(h.NONCES - 1, 2), (h.NONCES, 1), (-1, 1), (0, -1)])
def test_ranges_that_wrap_are_refused(first: int, count: int) -> None:
    with pytest.raises(ValueError, match="never wraps"):
        h.scan_reference(GENESIS, first, count, 0)


def test_reference_finds_genesis() -> None:
    assert h.scan_reference(GENESIS, 2083236893 - 5, 10, 0xFFFFFFFF) == [2083236893]
    assert h.scan_reference(GENESIS, h.NONCES - 1, 1, 0) == [h.NONCES - 1]


@given(st.binary(min_size=80, max_size=80))
def test_midstate_is_the_chaining_value(raw: bytes) -> None:
    midstate = h.prepare_work(raw)[:8]
    after = compress(INTEGERS, midstate, message_blocks(raw)[1])
    assert struct.pack(">8I", *after) == hashlib.sha256(raw).digest()


@given(st.binary(min_size=76, max_size=76), NONCE)
def test_plain_last_word_is_hashlibs(raw: bytes, nonce: int) -> None:
    digest = h.sha256d(h.with_nonce(raw, nonce))
    found = last_word(INTEGERS, h.prepare_work(raw), nonce)
    assert found == int.from_bytes(digest[28:], "big")


def test_plain_compression_on_nist_vectors(
    nist_short: list[tuple[bytes, str]], nist_long: list[tuple[bytes, str]]
) -> None:
    vectors = [*nist_short, *nist_long[:8], nist_long[-1]]
    assert (len(nist_short), len(nist_long)) == (65, 64)
    for message, digest in vectors:
        chain: list[int] = list(IV)
        for block in message_blocks(message):
            chain = compress(INTEGERS, chain, block)
        assert struct.pack(">8I", *chain).hex() == digest
