from typing import Any

import pytest
import torch

from bench.kernels.decoder import pace
from bench.kernels.decoder.pace import Pacer


@pytest.mark.parametrize("group", [1, 4])
def test_a_gpu_always_has_work_queued_behind_a_wait(
    monkeypatch: pytest.MonkeyPatch, edges: Any, group: int
) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(pace.time, "monotonic", lambda: float(next(ticks)))
    marks: list[int] = []
    seen: list[tuple[float, int]] = []
    pacer: Pacer[int] = Pacer(
        torch.device("cuda"),
        lambda _, units: marks.append(units),
        lambda t_s, what: seen.append((t_s, what)),
        group,
    )
    for number in range(42):
        pacer.queued(number, 3)
    pacer.finish()
    assert seen == [(float(number + 1), number) for number in range(42)]
    *running, last = edges.waits
    assert [number for number, _ in running] == list(range(group, running[-1][0] + 1, group))
    assert all(queued - number >= pace.AHEAD for number, queued in running)
    assert last[0] == 42
    assert marks[0] == 0
    assert marks[-1] == pacer.units == 3 * 42
    assert marks == sorted(marks)
    assert pacer.device_s == 42.0


def test_on_a_cpu_a_call_that_returned_is_done() -> None:
    seen: list[str] = []
    marks: list[int] = []
    pacer: Pacer[str] = Pacer(
        torch.device("cpu"), lambda _, units: marks.append(units), lambda _, what: seen.append(what)
    )
    pacer.queued("a", 5)
    assert seen == ["a"]
    assert pacer.units == 5
    assert pacer.finish() >= pacer.device_s > 0
    assert marks == [0, 5]
