import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bench.kernels.decoder import weights
from bench.kernels.decoder.model import Decoder
from bench.kernels.decoder.stored import canonical

Build = Callable[..., Decoder]
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def stored(build: Build) -> Tensors:
    return {name: tensor.clone() for name, tensor in build().named_weights().items()}


@pytest.fixture
def target(build: Build) -> Tensors:
    named = build().named_weights()
    for tensor in named.values():
        tensor.fill_(torch.nan)
    return named


def write_shards(folder: Path, tensors: Tensors) -> None:
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_named_weights_are_views_of_every_tensor_of_the_shape(build: Build) -> None:
    for flags in ({}, {"tied_head": True}, {"qk_norm": True}):
        decoder = build(**flags)
        named = decoder.named_weights()
        assert {name: tuple(t.shape) for name, t in named.items()} == decoder.config.shapes()
        named["model.layers.1.self_attn.v_proj.weight"].fill_(7.0)
        assert float(decoder.get_parameter("layers.1.qkv")[-1, -1]) == 7.0


def test_one_file_and_shards_load_alike(tmp_path: Path, stored: Tensors, target: Tensors) -> None:
    save_file(stored, tmp_path / "model.safetensors")
    digests = weights.load(target, tmp_path)
    assert digests == {"model.safetensors": weights.sha256(tmp_path / "model.safetensors")}
    assert all(torch.equal(target[name], stored[name]) for name in stored)
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    write_shards(sharded, stored)
    for tensor in target.values():
        tensor.fill_(torch.nan)
    assert sorted(weights.load(target, sharded)) == ["a.safetensors", "b.safetensors"]
    assert all(torch.equal(target[name], stored[name]) for name in stored)


def test_bf16_is_widened_on_loading(tmp_path: Path, stored: Tensors, target: Tensors) -> None:
    save_file({n: t.to(torch.bfloat16) for n, t in stored.items()}, tmp_path / "m.safetensors")
    weights.load(target, tmp_path / "m.safetensors")
    assert all(torch.equal(target[n], stored[n].to(torch.bfloat16).float()) for n in stored)


def refused(target: Tensors, path: Path) -> str:
    with pytest.raises(weights.WeightsError) as caught:
        weights.load(target, path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_truncated_or_lying_file_is_refused(
    tmp_path: Path, stored: Tensors, target: Tensors
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(stored, file)
    weights.load(target, tmp_path)
    whole = file.read_bytes()
    huge_header = (1 << 60).to_bytes(8, "little") + whole[8:]
    overrun = whole.replace(b'"data_offsets":[0,', b'"data_offsets":[9,', 1)
    for attack in (whole[:-1], whole[:100], b"", b"\x80\x04" + whole, huge_header, overrun):
        file.write_bytes(attack)
        assert "model.safetensors: not a sound safetensors file" in refused(target, tmp_path)


def test_a_wrong_tensor_is_named(tmp_path: Path, stored: Tensors, target: Tensors) -> None:
    file, name = tmp_path / "model.safetensors", "model.layers.1.mlp.up_proj.weight"
    save_file(stored | {name: stored[name][:-1].clone()}, file)
    assert f"tensor {name} has shape [127, 64], the model needs [128, 64]" in refused(target, file)
    save_file({n: t for n, t in stored.items() if n != name}, file)
    assert f"tensor {name} is missing (1 in all)" in refused(target, file)
    save_file(stored | {name: stored[name].to(torch.int32)}, file)
    assert f"tensor {name} is I32, not one of F32, BF16, F16" in refused(target, file)
    bias = "model.layers.0.self_attn.q_proj.bias"
    save_file(stored | {bias: torch.zeros(64)}, file)
    assert f"tensor {bias} is not part of this model" in refused(target, file)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_pickles_are_refused_unopened(tmp_path: Path, target: Tensors, suffix: str) -> None:
    trap = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (trap,)

    file = tmp_path / f"pytorch_model{suffix}"
    file.write_bytes(pickle.dumps(Trap()))
    for path in (file, tmp_path):
        assert f"pytorch_model{suffix} is a pickle" in refused(target, path)
    assert not trap.exists()


def test_broken_sharding_is_refused(tmp_path: Path, stored: Tensors, target: Tensors) -> None:
    write_shards(tmp_path, stored)
    index = tmp_path / "model.safetensors.index.json"
    (tmp_path / "b.safetensors").rename(tmp_path / "c.safetensors")
    assert "shard b.safetensors is missing" in refused(target, tmp_path)
    index.write_text(json.dumps({"weight_map": {"x": "../b.safetensors"}}))
    assert "must be a plain file name" in refused(target, tmp_path)
    index.write_text(json.dumps({"weight_map": {"x": "b.bin"}}))
    assert "b.bin is a pickle" in refused(target, tmp_path)
    lost = {"weight_map": dict.fromkeys(stored, "a.safetensors")}
    index.write_text(json.dumps(lost))
    assert "is not in a.safetensors" in refused(target, tmp_path)
    twice = '{"weight_map": {"x": "a.safetensors", "x": "a.safetensors"}}'
    for broken in ("{", "[]", '{"weight_map": 3}', '{"weight_map": {}}', twice, "[" * 100_000):
        index.write_text(broken)
        assert "not a safetensors index" in refused(target, tmp_path)
    index.unlink()
    assert "2 safetensors files and no" in refused(target, tmp_path)


def test_nothing_to_load_is_said(tmp_path: Path, target: Tensors) -> None:
    assert "no .safetensors file here" in refused(target, tmp_path)
    with pytest.raises(weights.WeightsError, match="no weights at"):
        weights.resolve(str(tmp_path / "nowhere"))
    for name in ("shipped:huge", "shipped:../micro"):
        with pytest.raises(weights.WeightsError, match="no shipped weights called"):
            weights.resolve(name)


def test_initialisation_is_fan_in_and_seeded_per_tensor(build: Build) -> None:
    decoder = build(d_model=256, d_ffn=512)
    named = decoder.named_weights()
    before = {name: tensor.clone() for name, tensor in named.items()}
    weights.initialise(named, 2, seed=3)
    assert all(torch.equal(named[name], before[name]) for name in named)
    expected = {
        "model.embed_tokens.weight": 1.0,
        "model.layers.0.self_attn.q_proj.weight": 256**-0.5,
        "model.layers.1.self_attn.o_proj.weight": 64**-0.5 / 2,
        "model.layers.1.mlp.up_proj.weight": 256**-0.5,
        "model.layers.0.mlp.down_proj.weight": 512**-0.5 / 2,
        "lm_head.weight": 256**-0.5,
    }
    for name, std in expected.items():
        assert float(named[name].std()) == pytest.approx(std, rel=0.03)
    assert bool((named["model.norm.weight"] == 1).all())
    gate, up = (
        named["model.layers.0.mlp.gate_proj.weight"],
        named["model.layers.0.mlp.up_proj.weight"],
    )
    assert not torch.equal(gate, up)
    weights.initialise(named, 2, seed=4)
    assert not torch.equal(gate, before["model.layers.0.mlp.gate_proj.weight"])


@pytest.mark.parametrize(
    ("kind", "mean", "std"),
    [
        ("zeros", 0.0, 0.0),
        ("uniform01", 0.5, 12**-0.5),
        ("uniform1e-3", 0.0, 1e-3 * 3**-0.5),
        ("normal", 0.0, 1.0),
        ("fan-in", 0.0, 1 / 8),
    ],
)
def test_each_kind_is_drawn_from_its_own_distribution(kind: str, mean: float, std: float) -> None:
    named = {"model.layers.0.mlp.up_proj.weight": torch.empty(512, 64), "n": torch.empty(64)}
    weights.initialise(named, 2, 5, kind)
    drawn = named["model.layers.0.mlp.up_proj.weight"]
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.02 * std)
    assert float(drawn.std()) == pytest.approx(std, rel=0.02)
    assert (named["n"] == 1).all()
    again = {name: torch.empty_like(tensor) for name, tensor in named.items()}
    weights.initialise(again, 2, 5, kind)
    assert all(torch.equal(again[name], tensor) for name, tensor in named.items())
    weights.initialise(again, 2, 6, kind)
    assert torch.equal(again["model.layers.0.mlp.up_proj.weight"], drawn) == (kind == "zeros")


def test_a_tensor_in_two_shards_is_refused(
    tmp_path: Path, stored: Tensors, target: Tensors
) -> None:
    write_shards(tmp_path, stored)
    save_file(stored, tmp_path / "a.safetensors")
    assert "stands twice, in a.safetensors and b.safetensors" in refused(target, tmp_path)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, stored: Tensors, target: Tensors, wrong: float
) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    stored[name][-1, -1] = wrong
    save_file(stored, tmp_path / "model.safetensors")
    assert f"tensor {name} holds NaN or infinity in torch.float32" in refused(target, tmp_path)


def test_a_value_that_the_narrower_type_cannot_hold_is_refused(
    tmp_path: Path, stored: Tensors, build: Build
) -> None:
    stored["model.norm.weight"][3] = 3.4e38
    save_file(stored, tmp_path / "model.safetensors")
    narrow = build(torch.bfloat16).named_weights()
    assert "holds NaN or infinity in torch.bfloat16" in refused(narrow, tmp_path)


def test_nothing_is_written_before_all_is_checked(
    tmp_path: Path, stored: Tensors, target: Tensors
) -> None:
    write_shards(tmp_path, stored)
    whole = (tmp_path / "b.safetensors").read_bytes()
    (tmp_path / "b.safetensors").write_bytes(whole[:-1])
    refused(target, tmp_path)
    assert all(bool(tensor.isnan().all()) for tensor in target.values())


def sums_of(folder: Path) -> str:
    return "".join(
        f"{weights.sha256(file)}  {file.name}\n" for file in sorted(folder.glob("*.safetensors"))
    )


def test_promised_digests_are_held_to(tmp_path: Path, stored: Tensors, target: Tensors) -> None:
    write_shards(tmp_path, stored)
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(sums_of(tmp_path).replace("  a.", " *a."))
    found = weights.load(target, tmp_path)
    assert found["b.safetensors"] == weights.sha256(tmp_path / "b.safetensors")

    data = bytearray((tmp_path / "b.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "b.safetensors").write_bytes(data)
    text = refused(target, tmp_path)
    assert text.startswith("b.safetensors: sha256 ")
    assert f"is not the {found['b.safetensors']} of SHA256SUMS: fetch it again" in text

    sums.write_text(sums_of(tmp_path).splitlines()[0] + "\n")
    assert "b.safetensors: not listed in" in refused(target, tmp_path)
    sums.write_text("0123  a.safetensors\n")
    assert "SHA256SUMS, line 1: not written as sha256sum writes it" in refused(target, tmp_path)


def test_the_cache_of_hugging_face_is_read_through_its_links(
    tmp_path: Path, stored: Tensors, target: Tensors
) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0a1b"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save_file(stored, tmp_path / "x")
    digest = weights.sha256(tmp_path / "x")
    (tmp_path / "x").rename(blobs / digest)
    link = snapshot / "model.safetensors"
    link.symlink_to(f"../../blobs/{digest}")
    assert weights.load(target, snapshot) == {"model.safetensors": digest}

    data = bytearray((blobs / digest).read_bytes())
    data[-1] ^= 1
    (blobs / digest).write_bytes(data)
    assert f"is not the {digest} of its name in the cache" in refused(target, snapshot)


def test_only_a_regular_file_is_opened(tmp_path: Path, target: Tensors) -> None:
    link = tmp_path / "only.safetensors"
    for place, said in (("/dev/zero", "not a regular file"), ("/etc/passwd", "in a file of")):
        link.symlink_to(place)
        text = refused(target, tmp_path)
        assert text.startswith("only.safetensors: not a sound safetensors file (")
        assert said in text
        link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    assert "No such file" in refused(target, tmp_path)


def test_names_of_mixtral_become_those_of_the_decoder() -> None:
    layer = "model.layers.3."
    told = {
        "block_sparse_moe.gate.weight": "mlp.gate.weight",
        "block_sparse_moe.experts.11.w1.weight": "mlp.experts.11.gate_proj.weight",
        "block_sparse_moe.experts.0.w2.weight": "mlp.experts.0.down_proj.weight",
        "block_sparse_moe.experts.0.w3.weight": "mlp.experts.0.up_proj.weight",
        "mlp.up_proj.weight": "mlp.up_proj.weight",
    }
    assert {old: canonical(layer + old) for old in told} == {
        old: layer + new for old, new in told.items()
    }
