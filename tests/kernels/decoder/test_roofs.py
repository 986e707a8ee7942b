"""Measured roofs: what is read, what is multiplied, how large the caches are."""

from pathlib import Path

import pytest
import torch

from bench.kernels.decoder import roofs
from bench.kernels.decoder.config import ModelConfig

from .conftest import TINY

CPU = torch.device("cpu")


def cache(root: Path, cpu: int, level: int, shared: str, size: str) -> None:
    folder = root / f"cpu{cpu}" / "cache" / f"index{level}"
    folder.mkdir(parents=True)
    for name, text in (("level", str(level)), ("shared_cpu_list", shared), ("size", size)):
        (folder / name).write_text(f"{text}\n", encoding="ascii")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small reads and products: the arithmetic is tested, not the machine."""
    monkeypatch.setitem(roofs.READ_BYTES, "cpu", (1 << 20, 4 << 20))
    monkeypatch.setitem(roofs.SIDES, "cpu", (64, 256))
    roofs._measured.cache_clear()


@pytest.mark.usefixtures("small")
def test_roofs_of_this_machine_are_measured_once() -> None:
    found = roofs.measure(CPU, "fp32")
    assert found["read_bytes_per_s"] > 1e8
    assert found["gemm_flops"] > 1e7
    assert found["gemm_precision"] == "fp32"
    assert 64 <= found["gemm_side"] <= 256
    assert found["read_bytes"] <= 4 << 20
    assert min(found["read_spread"], found["gemm_spread"]) >= 0
    assert found["datasheet"] is None
    found["gemm_flops"] = 0.0
    assert roofs.measure(CPU, "fp32")["gemm_flops"] > 0
    roofs._measured.cache_clear()


def test_rates_are_bytes_and_flops_over_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [9.0, 0.5, 0.1, 0.25, 0.125, 1.0, 0.2]
    monkeypatch.setattr(roofs, "_seconds", lambda *_: times[0])
    monkeypatch.setattr(roofs, "_trials", lambda *_: times)
    assert roofs.read_bandwidth(CPU, 1 << 20) == ((1 << 20) / 0.25, 89.0)
    monkeypatch.setitem(roofs.SIDES, "cpu", (8, 64))
    assert roofs.gemm_peak(CPU, "fp32") == (8, 2 * 8**3 / 0.25, 89.0)


def test_a_product_grows_while_its_trials_stay_short(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []
    product = roofs._product
    monkeypatch.setitem(roofs.SIDES, "cpu", (8, 64))
    monkeypatch.setattr(
        roofs, "_product", lambda *given: (sides.append(given[2]), product(*given))[1]
    )
    monkeypatch.setattr(roofs, "_seconds", lambda *_: 2e-6 * sides[-1] ** 2)
    side, flops, _ = roofs.gemm_peak(CPU, "bf16")
    assert sides == [8, 16, 32, 64]
    assert (side, flops) == (64, pytest.approx(2 * 64**3 / (2e-6 * 64**2)))


def test_the_read_exceeds_the_caches_and_leaves_memory_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roofs.capacity, "free_bytes", lambda _: 64 << 30)
    assert roofs._read_size(CPU, 32 << 20) == 128 << 20
    assert roofs._read_size(CPU, None) == 64 << 20
    assert roofs._read_size(CPU, 1 << 30) == 2 << 30
    monkeypatch.setattr(roofs.capacity, "free_bytes", lambda _: 100 << 20)
    assert roofs._read_size(CPU, 32 << 20) == 25 << 20
    monkeypatch.setattr(roofs.capacity, "free_bytes", lambda _: None)
    assert roofs._read_size(CPU, 32 << 20) == 128 << 20


def test_every_instance_of_the_last_level_counts_once(tmp_path: Path) -> None:
    for cpu, cluster in ((0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")):
        cache(tmp_path, cpu, 1, str(cpu), "32K")
        cache(tmp_path, cpu, 3, cluster, "16384K")
    assert roofs.cache_bytes(CPU, tmp_path) == 2 * 16384 * 1024
    assert roofs.cache_bytes(CPU, tmp_path / "nothing") is None


def test_arithmetic_follows_what_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert roofs.product_precision(cuda, "fp8") == "bf16"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert roofs.product_precision(cuda, "fp8") == "fp8"
    assert [roofs.product_precision(CPU, each) for each in ("fp32", "bf16", "fp8", "int4")] == [
        "fp32",
        "bf16",
        "bf16",
        "bf16",
    ]


def test_the_work_of_a_step_by_hand() -> None:
    """Spans 11 … 14: 12.5 slots with the row's own token, but 11.5 cached; the cache ends at 14."""
    config = ModelConfig.from_mapping(TINY)
    given = {"precision": "fp32", "batch": 3, "context": 10, "steps": 4, "bytes_per_kv": 4.0}
    plain = roofs.decode_work(config, **given, bucket=1)
    assert (plain["mean_context"], plain["padded_context"]) == (11.5, 12.5)
    assert roofs.decode_work(config, **given, bucket=8)["padded_context"] == 14
    assert roofs.decode_work(config, **given, bucket=4)["padded_context"] == (12 + 12 + 14 + 14) / 4
    assert plain["model"]["n_layers"] == 2
    assert plain["batch"] == 3
