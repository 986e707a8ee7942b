"""The shape of a decoder small enough for every test on a card."""

from typing import Any

SHAPE: dict[str, Any] = {
    "name": "small",
    "n_layers": 4,
    "d_model": 512,
    "n_heads": 8,
    "n_kv_heads": 2,
    "head_dim": 64,
    "d_ffn": 1408,
    "vocab_size": 8192,
    "max_context": 1024,
}
