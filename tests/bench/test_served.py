"""A measured server is no stranger on its own card, and may compute on no other."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from bench.cli import turn
from bench.cli.refusal import BUSY, ENVIRONMENT, USAGE, Refusal
from bench.cli.served import server_pids
from bench.cli.turn import await_device
from bench.meters import nvml
from bench.records.run import DeviceFacts

CPU = DeviceFacts(kind="cpu", name="cpu")
GPU = DeviceFacts(kind="gpu", name="card", index=0, uuid="GPU-0")
OTHER = DeviceFacts(kind="gpu", name="card", index=1, uuid="GPU-1")


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A port that this process listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def on_cards(monkeypatch: pytest.MonkeyPatch, **pids: list[int]) -> None:
    """Processes by card, as NVML would tell."""
    known = {f"GPU-{name[-1]}": tuple(each) for name, each in pids.items()}
    monkeypatch.setattr(nvml, "list_gpus", lambda: [GPU, OTHER])
    monkeypatch.setattr(nvml, "strangers", known.__getitem__)


def test_without_an_endpoint_there_is_no_server() -> None:
    assert server_pids(None, GPU) == ()


def test_the_process_behind_an_endpoint(endpoint: str) -> None:
    assert os.getpid() in server_pids(endpoint, CPU)


def test_another_machine_is_refused_before_anything_starts() -> None:
    with pytest.raises(Refusal, match="another machine") as caught:
        server_pids("http://192.0.2.1:8000", CPU)
    assert caught.value.status == USAGE


def test_a_server_on_two_cards_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.getpid()
    on_cards(monkeypatch, card_0=[me], card_1=[99])
    assert me in server_pids(endpoint, GPU)
    on_cards(monkeypatch, card_0=[me], card_1=[me, 99])
    with pytest.raises(Refusal, match=f"GPU 1 .process {me}.*serve on one card") as caught:
        server_pids(endpoint, GPU)
    assert caught.value.status == ENVIRONMENT


def test_the_server_may_stay_on_the_card_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cards(monkeypatch, card_0=[21, 22])
    await_device(GPU, wait=False, served=(21, 22, 23))
    with pytest.raises(Refusal, match="in use by process 22") as caught:
        await_device(GPU, wait=False, served=(21,))
    assert caught.value.status == BUSY


def test_who_waits_for_others_is_told_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter([(22,), (22,), ()])
    monkeypatch.setattr(nvml, "strangers", lambda _uuid: next(looks))
    monkeypatch.setattr(turn, "WAIT_POLL_S", 0.0)
    await_device(GPU, wait=True)
    assert capsys.readouterr().err.count("in use by process 22: waiting until that ends") == 1
