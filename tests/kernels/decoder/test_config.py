import tomllib
from pathlib import Path
from typing import Any

import pytest

import bench.profiles
from bench.kernels.decoder.config import ModelConfig

MODELS = Path(bench.profiles.__file__).parent / "models"


@pytest.mark.parametrize(
    ("name", "parameters", "kv_bytes"),
    [
        ("micro", 1_672_896, None),
        ("1b", 1_235_814_400, 32_768),
        ("8b", 8_030_261_248, 131_072),
        ("14b", 14_768_307_200, 163_840),
        ("32b", 32_762_123_264, 262_144),
        ("70b", 70_553_706_496, 327_680),
        ("moe", 20_907_927_360, 49_152),
    ],
)
def test_profiles_have_the_published_sizes(
    name: str, parameters: int, kv_bytes: int | None
) -> None:
    table = tomllib.loads((MODELS / f"{name}.toml").read_text(encoding="utf-8"))
    config = ModelConfig.from_mapping(table["config"])
    assert config.name == table["name"] == name
    assert config.n_params() == parameters
    if kv_bytes is not None:
        assert 2 * config.kv_elements_per_token() == kv_bytes


def shipped(name: str) -> ModelConfig:
    table = tomllib.loads((MODELS / f"{name}.toml").read_text(encoding="utf-8"))
    return ModelConfig.from_mapping(table["config"])


@pytest.mark.parametrize(
    ("name", "billions", "published"),
    [("1b", 1.236, 1.24), ("8b", 7.505, 7.5), ("70b", 69.503, 69.5), ("moe", 3.607, 3.6)],
)
def test_active_parameters_are_those_a_token_meets(
    name: str, billions: float, published: float
) -> None:
    active = shipped(name).n_active() / 1e9
    assert active == pytest.approx(billions, abs=5e-4)
    assert active == pytest.approx(published, rel=0.005)


def test_windows_stand_in_turn_from_the_first_layer_on() -> None:
    config = shipped("moe")
    assert [config.window(layer) for layer in range(4)] == [128, None, 128, None]
    assert {shipped("8b").window(layer) for layer in range(32)} == {None}


def test_the_tiny_profile_parses() -> None:
    table = tomllib.loads((MODELS / "tiny.toml").read_text(encoding="utf-8"))
    assert ModelConfig.from_mapping(table["config"]).n_layers == 2


def test_the_table_of_models_is_that_of_the_data(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {row[0].strip(" `"): row[2:] for row in rows if len(row) == 6}
    assert set(told) == {file.stem for file in MODELS.glob("*.toml")}
    for name, cells in told.items():
        config = shipped(name)
        counts = [config.n_params(), config.n_active(), 2 * config.kv_elements_per_token()]
        assert [int(cell.replace(" ", "")) for cell in cells[:3]] == counts
        assert float(cells[3]) == pytest.approx(2 * config.n_params() / 1e9, rel=0.2, abs=0.05)


SCALING = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 3}, "unknown key layers"),
        ({"n_layers": 0}, "n_layers must be a whole number"),
        ({"n_layers": True}, "n_layers must be a whole number"),
        ({"d_model": 64.0}, "d_model must be a whole number"),
        ({"n_kv_heads": 3}, "not a multiple of n_kv_heads 3"),
        ({"head_dim": 15}, "head_dim must be even"),
        ({"rope_theta": -1.0}, "rope_theta must be a number above 0"),
        ({"norm_eps": float("nan")}, "norm_eps must be a number above 0"),
        ({"tied_head": 1}, "tied_head must be true or false"),
        ({"sliding_window": 0}, "sliding_window must be"),
        ({"window_every": 0}, "window_every must be a whole number above 0"),
        ({"n_layers": 1025}, "n_layers must be at most 1024, not 1025"),
        ({"vocab_size": 1 << 40}, "vocab_size must be at most 16777216"),
        ({"n_experts": 8}, "experts_per_token must be a whole number above 0"),
        ({"experts_per_token": 2}, "n_experts must be a whole number above 0"),
        ({"n_experts": 8, "experts_per_token": 9}, "experts_per_token 9 exceeds n_experts 8"),
        ({"n_experts": 1 << 20, "experts_per_token": 2}, "n_experts must be at most 1024"),
        ({"n_experts": 8.0, "experts_per_token": 2}, "n_experts must be a whole number"),
        ({"name": ""}, "name must be"),
        ({"rope_scaling": {"factor": 2.0}}, "rope_scaling must have exactly the keys"),
        ({"rope_scaling": SCALING | {"factor": 0}}, "rope_scaling.factor must be"),
        ({"rope_scaling": SCALING | {"high_freq_factor": 1.0}}, "must exceed low_freq_factor"),
    ],
)
def test_an_impossible_model_is_refused_in_one_line(
    tiny: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        ModelConfig.from_mapping(tiny | change)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(tiny: dict[str, Any]) -> None:
    del tiny["d_ffn"]
    with pytest.raises(ValueError, match="model 'tiny': missing key d_ffn"):
        ModelConfig.from_mapping(tiny)
