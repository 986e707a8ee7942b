"""Roofs of a card: between half its datasheet and a little above, for each arithmetic it has."""

import pytest
import torch

from bench.catalogue import find_gpu
from bench.kernels.decoder import roofs
from bench.predict.limits import compute_flops

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
CUDA = torch.device("cuda")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8"])
def test_measured_roofs_fit_the_cards_datasheet(precision: str) -> None:
    found = roofs.measure(CUDA, precision)
    assert max(found["read_spread"], found["gemm_spread"]) < 0.2, "of an idle card's clocks?"
    assert found["cache_bytes"] > 1 << 20
    assert found["read_bytes"] >= 4 * found["cache_bytes"]
    card = find_gpu(torch.cuda.get_device_name(0))
    if card is None:
        pytest.skip("no profile of this card to compare with")
    assert 0.5 <= found["read_bytes_per_s"] / card.bandwidth_bytes_per_s.value <= 1.05
    flops = compute_flops(card, found["gemm_precision"])
    assert flops is not None
    assert 0.4 <= found["gemm_flops"] / flops <= 1.05


def test_nothing_stays_allocated() -> None:
    """But the library's own workspace, which it keeps from its first product on."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    roofs._measured.cache_clear()
    found = roofs.measure(CUDA, "bf16")
    assert torch.cuda.memory_reserved() - before < 256 << 20 < found["read_bytes"]
