"""A directory of real weights, as Hugging Face lays it out → ``ModelConfig``, checked by the
headers alone before anything is loaded.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.catalogue.rooms import names
from bench.catalogue.tomlfile import ProfileError
from bench.kernels.decoder.header import WeightsError
from bench.kernels.decoder.huggingface import CONFIG, load_table, model_config
from bench.kernels.decoder.stored import sha256, survey
from bench.records.market import ModelConfig

MAX_NAME = 64
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/([A-Za-z0-9][\w.-]*)", re.ASCII)
_CACHED = re.compile(r"models--[\w.-]+?--([\w.-]+)", re.ASCII)
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def model_from_weights(directory: Path) -> ModelConfig:
    """The model whose ``config.json`` and safetensors lie in a directory.

    Its name is the directory's, in the Hugging Face cache the repository's. Its ``model_id``, to
    which a token price may belong, is the repository's name where the cache or the
    configuration's ``_name_or_path`` tells it, else null. It is as old as its ``config.json``.
    Raises ``ProfileError`` for anything that the decoder could not run exactly as it is.
    """
    folder = directory.resolve()
    config = folder / CONFIG
    try:
        table = load_table(config)
        cached = _CACHED.fullmatch(folder.parents[1].name) if len(folder.parents) > 1 else None
        model = model_config(table, _name(cached[1] if cached else folder.name))
        survey(folder, model.shapes())
        digest = sha256(config)
    except (WeightsError, OSError) as error:
        cure = "give a directory of safetensors with their config.json"
        raise ProfileError(str(directory), None, str(error), cure) from error
    fields = {key: value for key, value in asdict(model).items() if value is not None}
    return ModelConfig(
        name=fields.pop("name"),
        model_id=cached[1] if cached else _hub_name(table.get("_name_or_path")),
        weights=str(folder),
        config=fields,
        as_of=datetime.fromtimestamp(config.stat().st_mtime, UTC).date().isoformat(),
        source=f"config.json beside the weights, sha256 {digest}",
    )


def _name(told: str) -> str:
    """A name fit for a record and a line, and not that of a shipped model, which it is not."""
    name = _UNFIT.sub("-", told).strip("-.")[:MAX_NAME] or "weights"
    return f"{name}-weights" if name in names("models") else name


def _hub_name(told: object) -> str | None:
    """ "org/name" → "name"; None for a path on somebody's disk or for nothing."""
    match = _HUB_ID.fullmatch(told) if isinstance(told, str) else None
    return match[1] if match else None
