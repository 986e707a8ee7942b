"""Which hash kernel a device runs, and what bounds it there. A second."""

from dataclasses import asdict, replace

import pytest

from bench.book import open_book
from bench.catalogue import load_gpu
from bench.cli import kernels
from bench.cli.audited import nearest
from bench.cli.kernels import asked_kernels, default_kernel, limit_of
from bench.cli.refusal import Refusal
from bench.cli.request import Request
from bench.cli.rig import Hashing, Target, open_rig
from bench.derive import ceiling_hz
from bench.records.audit import AuditRow, HashLimit
from bench.records.journal import Sample
from bench.records.run import DeviceFacts, Window
from bench.store import remember_kernel

H200 = load_gpu("h200")
GPU = DeviceFacts("gpu", "NVIDIA H200", uuid="GPU-1", compute_capability="9.0")
CARD = Target(GPU, H200, None, None)
CPU = Target(DeviceFacts("cpu", "a processor", threads=1), None, None, None)


def test_without_a_comparison_the_plain_kernel_runs(monkeypatch):
    monkeypatch.setattr(kernels, "_installed", lambda backend: backend != "cupy")
    assert default_kernel(CARD).kernel == "numba-cuda:plain"
    monkeypatch.setattr(kernels, "_installed", lambda _backend: True)
    choice = default_kernel(CARD)
    assert choice.kernel == "cupy:plain"
    assert "bench hash --kernel all" in choice.note
    assert default_kernel(CPU).kernel == "numba-cpu"


def test_the_thriftiest_known_of_this_very_device_is_taken(monkeypatch):
    monkeypatch.setattr(kernels, "_installed", lambda _backend: True)
    monkeypatch.setattr(kernels, "runnable", lambda _target: ("cupy:balanced", "cupy:plain"))
    remember_kernel("GPU-1", "cupy:balanced")
    assert default_kernel(CARD).kernel == "cupy:balanced"
    other = replace(CARD, facts=replace(GPU, uuid="GPU-2"))
    assert default_kernel(other).kernel == "cupy:plain"
    remember_kernel("GPU-1", "cupy:gone")
    assert default_kernel(CARD).kernel == "cupy:plain"


def test_kernels_are_asked_for_by_name_back_end_or_all(monkeypatch):
    known = ("cupy:balanced", "cupy:plain", "numba-cuda:plain")
    monkeypatch.setattr(kernels, "runnable", lambda _target: known)
    assert asked_kernels("all", CARD) == known
    assert asked_kernels("cupy", CARD) == ("cupy:balanced",)
    assert asked_kernels("numba-cuda:plain", CARD) == ("numba-cuda:plain",)
    monkeypatch.setattr(kernels, "runnable", lambda _target: ())
    with pytest.raises(Refusal, match="install cupy") as refused:
        asked_kernels("all", CARD)
    assert refused.value.status == 3


def test_the_back_ends_of_a_device_are_its_own(monkeypatch):
    assert all(name.startswith("numba-cpu:") for name in kernels.runnable(CPU))
    monkeypatch.setattr(kernels, "_installed", lambda backend: backend == "numba-cuda")
    assert kernels.runnable(CARD) == ("numba-cuda:plain",)


def test_a_back_end_that_cannot_be_imported_is_tried_all_the_same(monkeypatch):
    """Its worker then says on one line what is wrong with it."""

    def broken(_backend):
        raise ImportError("numba-cuda does not work with this NumPy")

    monkeypatch.setattr(kernels, "_installed", lambda backend: backend == "numba-cuda")
    monkeypatch.setattr("bench.kernels.sha256d.workload.variants", broken)
    assert kernels.runnable(CARD) == ("numba-cuda",)


def test_workers_are_given_the_kernel_and_what_is_known_of_it(monkeypatch):
    given = {}

    def worker(name, arguments, _environment, known):
        given[name] = (arguments["kernel"], known)

    monkeypatch.setattr("bench.workers.ProcessWorker", worker)
    request = Request(
        gpu=None, device="cpu", meter="none", assume_watts=None, wait=False, seed=0,
        out=None, json_out=None, no_color=True,
    )  # fmt: skip
    rig = open_rig(request, CPU, Hashing("numba-cpu:sse4", {"limit": 1}))
    rig.start_workers(("sha256d",), 1.0, 0)
    assert given == {"sha256d": ("numba-cpu:sse4", {"limit": 1})}
    rig.meter.stop()


# What bounds it


def row(kernel="cupy:plain", architecture="sm_90", **more):
    counts = {"midstates": 1, "instructions": 2000, "alu": 1600, "fma_slots": 300, "memory": 0}
    resources = {"other": 0, "registers": 40, "stack_bytes": 0, "spill_bytes": 0}
    compiler = "ptxas 13.0"
    return AuditRow(kernel, architecture, compiler, **{**counts, **resources, **more})


def test_the_nearest_audit_is_of_the_same_major_and_no_later():
    rows = [row(architecture=f"sm_{each}") for each in (75, 80, 86, 90, 100, 120)]
    found = {cc: nearest(rows, "cupy:plain", cc) for cc in ("7.0", "8.0", "8.9", "9.0", "12.1")}
    assert {cc: r and r.architecture for cc, r in found.items()} == {
        "7.0": None, "8.0": "sm_80", "8.9": "sm_86", "9.0": "sm_90", "12.1": "sm_120",
    }  # fmt: skip
    assert nearest(rows, "cupy:odd", "9.0") is None
    assert nearest(rows, "cupy:plain", "gfx942") is None


def test_a_limit_is_known_or_says_why_not(monkeypatch):
    two = row("numba-cuda:plain", midstates=2)
    monkeypatch.setattr(kernels, "shipped", lambda: (two, row()))
    found = limit_of("numba-cuda:plain", CARD)
    assert asdict(found) == {
        "architecture": "sm_90", "compiler": "ptxas 13.0", "instructions": 1000.0, "alu": 800.0,
        "fma_slots": 150.0, "multiprocessors": 132,
    }  # fmt: skip
    assert "not audited" in limit_of("numba-cpu:avx2", CPU)
    assert "no profile" in limit_of("cupy:plain", replace(CARD, profile=None))
    assert "was not audited for compute capability 9.0" in limit_of("cupy:odd", CARD)
    assert "the audit counted the code of ptxas 13.0, this is " in limit_of("cupy:plain", CARD)


def test_the_ceiling_by_hand():
    """100 SMs × 64 × 2 GHz / 1600 = 8 GH/s; half the clock, half the ceiling."""
    limit = HashLimit("sm_90", "x", 2000, 1600, 300, 100)
    book = open_book([Sample(0.0, "sm_clock_hz", 2e9), Sample(15.0, "sm_clock_hz", 1e9)])
    early, late = Window(0, 10, 1, None, None, None), Window(20, 30, 1, None, None, None)
    assert ceiling_hz(limit, book, [early]) == pytest.approx(8e9)
    assert ceiling_hz(limit, book, [late]) == pytest.approx(4e9)
    assert ceiling_hz(limit, book, [early, late]) == pytest.approx(6e9)
    assert ceiling_hz(limit, open_book([]), [early]) is None
    assert ceiling_hz(limit, book, []) is None
