"""The launch's shape: what is tried, what wins, what is remembered."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench.kernels import private_cache
from bench.kernels.sha256d.geometry import (
    Geometry,
    Multiprocessor,
    candidates,
    fastest,
    remembered,
)


def test_no_candidate_leaves_a_block_waiting() -> None:
    turing, hopper = Multiprocessor(1024, 65536), Multiprocessor(2048, 65536)
    assert Geometry(5, 256) in candidates(hopper, 47), "47 registers count as 48: 1365 threads"
    assert Geometry(4, 256) in candidates(turing, 47)
    for sm, registers in itertools.product((turing, hopper), (32, 47, 64)):
        shapes = candidates(sm, registers)
        assert len(set(shapes)) == len(shapes) >= 6
        for shape in shapes:
            threads = shape.blocks_per_sm * shape.threads
            assert 0 < threads <= min(sm.threads, sm.registers // registers)


def test_the_shortest_median_wins_over_a_lucky_round() -> None:
    slow, fast = Geometry(1, 128), Geometry(2, 128)
    lucky = itertools.chain([0.1], itertools.repeat(3.0))
    assert fastest([slow, fast], lambda s: 2.0 if s == fast else next(lucky)) == fast


def test_one_trial_for_each_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_cache, "folder", lambda: tmp_path)
    shapes = [Geometry(1, 128), Geometry(2, 128)]
    assert remembered(("GPU-1", "plain"), shapes, lambda s: s.blocks_per_sm) == shapes[0]
    assert remembered(("GPU-1", "plain"), shapes, lambda _: pytest.fail("again")) == shapes[0]
    assert remembered(("GPU-2", "plain"), shapes, lambda s: -s.blocks_per_sm) == shapes[1]
