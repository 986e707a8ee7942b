import json
import math
import sys
from pathlib import Path

import pytest
import torch

from bench.kernels.decoder import train_micro, weights
from bench.kernels.decoder.config import ModelConfig

TEXT = "It was the whale — and no other. " * 400


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


def test_text_becomes_ascii_bytes(text: Path) -> None:
    tokens = train_micro.read_text(text)
    assert bytes(tokens[:32].tolist()) == b"It was the whale -- and no other"


def test_a_few_steps_learn_and_write_what_the_loader_reads(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: dict[str, object]
) -> None:
    config = ModelConfig.from_mapping(tiny | {"n_layers": 1})
    monkeypatch.setattr(train_micro, "MICRO", config)
    monkeypatch.setattr(train_micro, "HELD_OUT", 2048)
    monkeypatch.setattr(train_micro, "GOLDEN_MARGIN", -1.0)
    monkeypatch.setattr(train_micro, "GOLDEN_CASES", 2)
    out = tmp_path / "out"
    arguments = ["--text", str(text), "--out", str(out), "--steps", "12", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["train_micro", *arguments])
    train_micro.main()
    record = json.loads((out / "micro_golden.json").read_text(encoding="utf-8"))
    assert float(record["source"]["held_out_nats_per_byte"]) < 0.9 * math.log(256)
    lengths = [len(case["continuation"]) for case in record["golden"]]
    assert lengths == [train_micro.GOLDEN_STEPS] * 2
    named = {name: torch.empty(shape) for name, shape in config.shapes().items()}
    weights.load(named, out)
    assert all(bool(tensor.isfinite().all()) for tensor in named.values())


def test_training_again_gives_the_same_weights(text: Path, tiny: dict[str, object]) -> None:
    config = ModelConfig.from_mapping(tiny | {"n_layers": 1})
    tokens = train_micro.read_text(text)
    once, again = (train_micro.train(config, tokens, 2, 0) for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)
