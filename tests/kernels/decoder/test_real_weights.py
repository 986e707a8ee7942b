"""A user's own weights and a mixture, all the way through the workload that is timed."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from bench.catalogue import model_from_weights
from bench.kernels.decoder import roofs, weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.workload import DecodeWorkload


@pytest.fixture
def folder(build: Callable[..., Decoder], tmp_path: Path) -> Path:
    """The tiny decoder as Hugging Face would lay it out."""
    decoder = build()
    config = decoder.config
    place = tmp_path / "own"
    place.mkdir()
    save_file(
        {name: t.clone() for name, t in decoder.named_weights().items()},
        place / "model.safetensors",
    )
    table = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ffn,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_context,
        "rms_norm_eps": config.norm_eps,
    }
    (place / "config.json").write_text(json.dumps(table))
    return place


def workload(folder: Path, **options: Any) -> DecodeWorkload:
    told = model_from_weights(folder)
    model = {"name": told.name, **told.config}
    plan = {"batch": 2, "context": 24, "steps": 40, "threads": 1} | options
    return DecodeWorkload(model=model, weights=told.weights, **plan)


def test_own_weights_are_verified_and_recorded(folder: Path) -> None:
    run = workload(folder)
    run.prepare()
    checks = run.verify()
    assert checks
    assert all(passed for _, passed, _ in checks), checks
    facts = run.describe()
    assert facts["config"]["model"] == "own"
    assert facts["config"]["weights"] == str(folder)
    stored = folder / "model.safetensors"
    assert facts["sources"]["model.safetensors"] == weights.sha256(stored)
    assert facts["data_profile"]["init"] == str(folder)
    assert facts["data_profile"]["prompts"] == "random"
    run.close()


def test_a_byte_changed_after_the_plan_was_made_is_refused(folder: Path) -> None:
    stored = folder / "model.safetensors"
    (folder / "SHA256SUMS").write_text(f"{weights.sha256(stored)}  {stored.name}\n")
    run = workload(folder)
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.safetensors: sha256 .* is not the"):
        run.prepare()


@pytest.mark.parametrize("precision", ["fp32", "fp8"])
def test_headers_are_looked_at_before_anything_is_measured_or_allocated(
    folder: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    monkeypatch.setattr(roofs, "measure", lambda *_: pytest.fail("measured"))
    shape = tiny | {"n_layers": 3}
    run = DecodeWorkload(model=shape, precision=precision, weights=str(folder), context=16, steps=8)
    with pytest.raises(ValueError, match=r"model\.layers\.2\.\S+ is missing"):
        run.prepare()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_mixture_with_windows_in_turn_passes_the_gate(
    tiny: dict[str, Any], precision: Any
) -> None:
    shape = tiny | {
        "name": "mixture",
        "n_experts": 4,
        "experts_per_token": 2,
        "d_ffn": 48,
        "sliding_window": 12,
        "window_every": 2,
    }
    run = DecodeWorkload(model=shape, precision=precision, batch=3, context=24, steps=40, threads=1)
    run.prepare()
    checks = run.verify()
    assert all(passed for _, passed, _ in checks), checks
    assert run.describe()["config"]["n_params"] == ModelConfig.from_mapping(shape).n_params()
    assert run.describe()["data_profile"]["degenerate"] == []
    run.close()


def test_a_configuration_survives_the_way_to_the_worker(tiny: dict[str, Any]) -> None:
    config = ModelConfig.from_mapping(tiny | {"n_experts": 4, "experts_per_token": 2})
    sent = json.loads(json.dumps(asdict(config)))
    assert ModelConfig.from_mapping(sent) == config
