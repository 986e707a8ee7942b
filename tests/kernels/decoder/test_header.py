"""Headers of safetensors files: what the real writer writes is read, every lie is named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bench.kernels.decoder import header
from bench.kernels.decoder.header import WeightsError

SOUND = save(
    {"a": torch.arange(6, dtype=torch.float32).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
)
A = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
B = {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}


def written(folder: Path, data: bytes) -> Path:
    file = folder / "x.safetensors"
    file.write_bytes(data)
    return file


def framed(text: bytes, data: int = 32) -> bytes:
    return len(text).to_bytes(8, "little") + text + bytes(data)


def table(**tensors: Any) -> bytes:
    return framed(json.dumps(tensors).encode())


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    entries = header.read(written(tmp_path, SOUND))
    assert entries["a"].shape == (2, 3)
    assert entries["b"].dtype == "BF16"
    assert {entry.end - entry.begin for entry in entries.values()} == {24, 8}
    assert header.read(
        written(tmp_path, table(a=A, b=B, __metadata__={"format": "pt"}))
    ).keys() == {
        "a",
        "b",
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a header of 0 bytes in a file of 0"),
        (SOUND[:7], "in a file of 7"),
        ((1 << 60).to_bytes(8, "little") + SOUND[8:], "a header of 1152921504606846976 bytes in"),
        (SOUND[:-1], "its tensors take 32 bytes and the file has 31"),
        (SOUND + b"\0", "the file has 33"),
        (framed(b" {}"), "does not start with {"),
        (framed(b"{"), "its header is not JSON"),
        (framed(b"{\xff}"), "its header is not JSON"),
        (framed(b'{"a": NaN}'), "NaN is no JSON number"),
        (framed(b'{"a":' * 200_000), "it nests too deeply"),
        (framed(b'{"a": {}, "a": {}}'), "key a stands twice"),
        (framed(b'{"a": 1' + b"0" * 5000 + b"}"), "its header is not JSON"),
        (table(a=3), "tensor a needs dtype, shape and data_offsets"),
        (table(a={"dtype": "F32", "shape": []}), "needs dtype, shape and data_offsets"),
        (table(a=A | {"strides": []}), "needs dtype, shape and data_offsets"),
        (table(a=A | {"dtype": "F4"}, b=B), "has the unknown dtype F4"),
        (table(a=A | {"dtype": ["F32"]}, b=B), "has the unknown dtype"),
        (table(a=A | {"shape": [2, -3]}, b=B), "of no sizes"),
        (table(a=A | {"shape": [2.0, 3]}, b=B), "of no sizes"),
        (table(a=A | {"shape": [True, 6]}, b=B), "of no sizes"),
        (table(a=A | {"shape": [1 << 63]}, b=B), "of no sizes"),
        (table(a=A | {"shape": 6}, b=B), "of no sizes"),
        (table(a=A | {"data_offsets": [0, 12, 24]}, b=B), "of no sizes"),
        (table(a=A | {"shape": [2, 4]}, b=B), "has 24 bytes for F32 [2, 4]"),
        (table(a=A | {"data_offsets": [24, 0]}, b=B), "has -24 bytes"),
        (table(a=A, b=B | {"data_offsets": [20, 28]}), "tensor b overlaps the one before it"),
        (table(a=A, b=B | {"data_offsets": [25, 33]}), "tensor b leaves a gap before it"),
        (table(a=A, b=B | {"data_offsets": [24, 32]}, c=B), "tensor c overlaps"),
        (table(a=A), "its tensors take 24 bytes and the file has 32"),
        (table(**{"x\n\x1b[31m": 3}), r"tensor x\n\x1b[31m needs"),
        (table(**{"y" * 9000: 3}), "y… needs"),
    ],
)
def test_a_lie_is_named_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(WeightsError) as caught:
        header.read(written(tmp_path, data))
    text = str(caught.value)
    assert text.startswith("x.safetensors: not a sound safetensors file (")
    assert said in text
    assert text.isprintable()
    assert len(text) < 300


def test_a_header_above_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert header.MAX_HEADER == 100_000_000
    monkeypatch.setattr(header, "MAX_HEADER", 40)
    with pytest.raises(WeightsError, match=r"a header of \d+ bytes, more than 40"):
        header.read(written(tmp_path, SOUND))


def test_a_sparse_file_of_the_limits_size_is_refused_by_its_length(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    with file.open("wb") as stream:
        stream.write((header.MAX_HEADER + 1).to_bytes(8, "little"))
        stream.truncate(1 << 30)
    with pytest.raises(WeightsError, match="a header of 100000001 bytes, more than"):
        header.read(file)


def test_many_keys_of_which_two_are_one_are_refused_at_once(tmp_path: Path) -> None:
    keys = b",".join(b'"k%d":0' % index for index in range(50_000))
    with pytest.raises(WeightsError, match="key k7 stands twice"):
        header.read(written(tmp_path, framed(b"{" + keys + b',"k7":0}')))


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a regular file"):
        header.read(tmp_path)
    with pytest.raises(WeightsError, match="No such file"):
        header.read(tmp_path / "nowhere")


def judged(file: Path) -> tuple[dict[str, header.Entry], str]:
    try:
        return header.read(file), ""
    except WeightsError as error:
        return {}, str(error)


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.binary(max_size=4)), min_size=1, max_size=4
    )
)
def test_a_mutated_file_is_refused_or_read_as_safetensors_reads_it(
    cuts: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(SOUND)
    for place, replacement in cuts:
        data[place : place + len(replacement)] = replacement
    file = written(tmp_path_factory.getbasetemp(), bytes(data))
    entries, error = judged(file)
    try:
        with safe_open(file, framework="pt") as stored:
            names = list(stored.keys())
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in names}
    except SafetensorError:  # it may be the stricter one
        return
    assert (error == "" and shapes == {n: e.shape for n, e in entries.items()}) or (
        error.isprintable() and error.startswith("x.safetensors: not a sound")
    )


_TENSORS = st.lists(
    st.tuples(
        st.sampled_from(["F32", "BF16", "U8"]),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
    ),
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(tensors=_TENSORS, surplus=st.sampled_from([0, 0, 0, 1]))
def test_a_layout_is_accepted_just_where_it_fills_the_file(
    tensors: list[tuple[str, list[int], int]],
    surplus: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    told, at = {}, 0
    for index, (dtype, shape, shift) in enumerate(tensors):
        size = header.ITEM_BYTES[dtype] * math.prod(shape)
        offsets = [at + shift, at + shift + size]
        told[f"t{index}"] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        at += size
    file = written(tmp_path_factory.getbasetemp(), framed(json.dumps(told).encode(), at + surplus))
    entries, error = judged(file)
    sound = surplus == 0 and not any(shift for _, _, shift in tensors)
    assert (error == "") == sound
    assert not sound or [e.shape for e in entries.values()] == [tuple(s) for _, s, _ in tensors]
