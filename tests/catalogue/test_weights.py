"""A directory of real weights as a model of the catalogue."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from bench.catalogue import ProfileError, model_from_weights
from bench.kernels.decoder.config import ModelConfig
from bench.kernels.decoder.stored import sha256

TABLE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 16,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
}
CONFIG = ModelConfig("x", 1, 8, 2, 1, 4, 12, 16, 64)


def fill(folder: Path, **changes: Any) -> Path:
    """A directory with a configuration and zeros in the shapes it asks for."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(TABLE | changes))
    told, at = {}, 0
    for name, shape in CONFIG.shapes().items():
        size = 2 * (shape[0] * shape[1] if len(shape) == 2 else shape[0])
        told[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(told).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return folder


def test_a_directory_becomes_a_model_without_a_market(tmp_path: Path) -> None:
    folder = fill(tmp_path / "my model (v2)")
    model = model_from_weights(folder)
    assert model.name == "my-model-v2"
    assert model.model_id is None
    assert model.weights == str(folder)
    assert sha256(folder / "config.json") in model.source
    assert ModelConfig.from_mapping({"name": model.name, **model.config}).d_model == 8
    assert json.loads(json.dumps(model.config)) == model.config


def test_a_relative_path_is_recorded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    assert model_from_weights(Path("here")).weights == str(folder)


@pytest.mark.parametrize(
    ("told", "model_id"),
    [
        ("meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("/srv/Llama-3.1-8B", None),
        ("./x/y", None),
        ("a/b/c", None),
        ("", None),
        (7, None),
    ],
)
def test_only_a_name_of_the_hub_is_an_id(tmp_path: Path, told: Any, model_id: str | None) -> None:
    assert model_from_weights(fill(tmp_path / "m", _name_or_path=told)).model_id == model_id


def test_the_cache_names_its_repository(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--Qwen--Qwen3-14B" / "snapshots" / ("0" * 40)
    model = model_from_weights(fill(snapshot))
    assert (model.name, model.model_id) == ("Qwen3-14B", "Qwen3-14B")


def test_a_shipped_models_name_is_not_taken(tmp_path: Path) -> None:
    assert model_from_weights(fill(tmp_path / "8b")).name == "8b-weights"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["BertModel"]}, "architecture BertModel is not known"),
        ({"num_hidden_layers": 2}, "tensor model.layers.1.input_layernorm.weight is missing"),
        ({"vocab_size": 17}, "tensor model.embed_tokens.weight has shape [16, 8]"),
    ],
)
def test_what_does_not_fit_its_weights_is_one_line(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        model_from_weights(fill(tmp_path / "m", **changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_without_weights_or_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"config\.json: not a model's configuration"):
        model_from_weights(tmp_path)
    folder = fill(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ProfileError, match=r"pytorch_model\.bin is a pickle"):
        model_from_weights(folder)
