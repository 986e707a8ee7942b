"""Model shapes: TOML → ``ModelConfig``; the shape itself is read where the model is built."""

from __future__ import annotations

from bench.catalogue.rooms import open_profile
from bench.records.market import ModelConfig


def load_model(name: str) -> ModelConfig:
    """A model shape by shipped name or path; its ``config`` is read where the model is built."""
    table = open_profile("models", name)
    model = ModelConfig(
        name=table.text("name"),
        model_id=table.text_or_none("model_id"),
        weights=table.text_or_none("weights"),
        config=table.plain("config"),
        as_of=table.text("as_of"),
        source=table.text("source"),
    )
    table.end()
    return model
