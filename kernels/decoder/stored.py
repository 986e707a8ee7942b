"""Weights as they lie on disk: which files, whether each is what it should be, by header and by
SHA-256. Pickle is refused by name, because opening one can run code. Needs no torch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .header import MAX_HEADER, Entry, WeightsError, read, shown, strict_json

SUMS = "SHA256SUMS"
_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_FLOATS = ("F32", "BF16", "F16")
_SUM = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_BLOB = re.compile(r"[0-9a-f]{64}")
_MIXTRAL = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
_MIXTRAL_EXPERT = re.compile(r"mlp\.(experts\.\d+)\.(w[123])\.weight$")


def survey(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[Path]:
    """The files of a model of these shapes, at ``path`` or in it, by their headers alone.

    Raises WeightsError for pickles, broken or missing files, a tensor that is missing, stored
    twice, of another shape, not floating point, or not part of the model.
    """
    files, promised = _files(path)
    seen: dict[str, Path] = {}
    for file in files:
        entries = read(file)
        if absent := sorted(promised.get(file.name, set()) - set(entries)):
            raise WeightsError(f"{_INDEX}: {shown(absent[0])} is not in {file.name}")
        for stored, entry in entries.items():
            name = canonical(stored)
            _check(name, entry, file, shapes)
            if name in seen:
                where = f"{seen[name].name} and {file.name}"
                raise WeightsError(f"{path}: tensor {shown(name)} stands twice, in {where}")
            seen[name] = file
    if missing := sorted(set(shapes) - set(seen)):
        raise WeightsError(f"{path}: tensor {missing[0]} is missing ({len(missing)} in all)")
    return files


def canonical(stored: str) -> str:
    """A tensor's name in ``ModelConfig.shapes``: Mixtral's own names become Qwen3-MoE's."""
    name = stored.replace(".block_sparse_moe.", ".mlp.")
    return _MIXTRAL_EXPERT.sub(lambda m: f"mlp.{m[1]}.{_MIXTRAL[m[2]]}.weight", name)


def digests(files: list[Path]) -> dict[str, str]:
    """File name -> hex SHA-256; WeightsError where one is not the promised one.

    A promise is a SHA256SUMS file beside the weights, as sha256sum writes it, which must then
    list every file; or the name of the blob that a link of Hugging Face's cache points to.
    """
    sums = {file.parent: _sums(file.parent) for file in files}
    found = {}
    for file in files:
        expected = _promise(file, sums[file.parent])
        digest = found[file.name] = sha256(file)
        if expected is not None and digest != expected[0]:
            told = f"sha256 {digest} is not the {expected[0]} of {expected[1]}"
            raise WeightsError(f"{file.name}: {told}: fetch it again")
    return found


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(path: Path) -> tuple[list[Path], dict[str, set[str]]]:
    """The files, and for each the tensors that an index promises of it."""
    if not path.is_dir():
        _refuse_pickle(path)
        return [path], {}
    if (path / _INDEX).is_file():
        promised = _shards(path)
        return [path / name for name in sorted(promised)], promised
    if (path / _WHOLE).is_file():
        return [path / _WHOLE], {}
    found = sorted(path.glob("*.safetensors"))
    if len(found) > 1:
        raise WeightsError(f"{path}: {len(found)} safetensors files and no {_INDEX}")
    for file in [] if found else sorted(path.iterdir()):
        _refuse_pickle(file)
    if not found:
        raise WeightsError(f"{path}: no .safetensors file here")
    return found, {}


def _refuse_pickle(file: Path) -> None:
    if file.suffix in _PICKLES:
        raise WeightsError(
            f"{file.name} is a pickle, which can run code when opened: convert it to safetensors"
        )


def _shards(path: Path) -> dict[str, set[str]]:
    index = path / _INDEX
    promised: dict[str, set[str]] = {}
    try:
        if index.stat().st_size > MAX_HEADER:
            raise ValueError(f"more than {MAX_HEADER} bytes")  # noqa: TRY301
        table: Any = strict_json(index.read_bytes())
        for tensor, name in table["weight_map"].items():
            promised.setdefault(name, set()).add(tensor)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index}: not a safetensors index ({shown(str(error))})") from error
    for name in promised:
        if not isinstance(name, str) or Path(name).name != name:
            raise WeightsError(f"{index}: shard {shown(str(name))} must be a plain file name")
        _refuse_pickle(path / name)
        if not (path / name).is_file():
            raise WeightsError(f"{path}: shard {shown(name)} is missing")
    if not promised:
        raise WeightsError(f"{index}: not a safetensors index (it lists no tensor)")
    return promised


def _check(name: str, entry: Entry, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    what = f"{file.name}: tensor {shown(name)}"
    if name not in shapes:
        if not _spare(name):
            raise WeightsError(f"{what} is not part of this model")
        return
    if entry.shape != shapes[name]:
        want, have = list(shapes[name]), list(entry.shape)
        raise WeightsError(f"{what} has shape {have}, the model needs {want}")
    if entry.dtype not in _FLOATS:
        raise WeightsError(f"{what} is {entry.dtype}, not one of {', '.join(_FLOATS)}")


def _spare(name: str) -> bool:
    """Tensors some exporters write although they follow from the configuration."""
    return name.endswith("rotary_emb.inv_freq") or name == "lm_head.weight"


def _sums(folder: Path) -> dict[str, str] | None:
    file = folder / SUMS
    if not file.is_file():
        return None
    try:
        return dict(_sum_lines(file))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{file}: cannot be read ({error})") from error


def _sum_lines(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = _SUM.fullmatch(line)
        if match is None:
            raise WeightsError(f"{file}, line {number}: not written as sha256sum writes it")
        yield match[2], match[1].lower()


def _promise(file: Path, sums: dict[str, str] | None) -> tuple[str, str] | None:
    """The digest a file should have, and who says so."""
    if sums is not None:
        if file.name not in sums:
            raise WeightsError(f"{file.name}: not listed in {file.parent / SUMS}")
        return sums[file.name], SUMS
    blob = file.resolve()
    if blob.parent.name == "blobs" and _BLOB.fullmatch(blob.name):
        return blob.name, "its name in the cache"
    return None
