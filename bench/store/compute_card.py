"""The compute card as JSON, and its schema as shipped in ``bench/schema/card-1.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from bench.records.compute_card import ComputeCard


def card_json(card: ComputeCard) -> str:
    """Two spaces, a newline at the end; ASCII, so that nothing in it disturbs a terminal."""
    return json.dumps(asdict(card), indent=2, allow_nan=False) + "\n"


def card_schema() -> dict[str, Any]:
    """The JSON Schema of the card."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(ComputeCard).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
