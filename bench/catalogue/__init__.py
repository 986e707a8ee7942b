"""Profiles and what the user sets over them → records. kWh, TH/day, $/Mtok and MHz stop here.

A profile is a shipped name (``default``, ``h100``) or the path of a TOML file of the same shape.
Everything that cannot be used raises ``ProfileError``.
"""

from bench.catalogue.asic import best_asic, load_asic, load_asics, median_asic
from bench.catalogue.card import find_gpu, load_gpu
from bench.catalogue.market import load_market
from bench.catalogue.model import load_model
from bench.catalogue.rooms import names
from bench.catalogue.sets import apply_sets, parse_asic
from bench.catalogue.tomlfile import ProfileError
from bench.catalogue.weights import model_from_weights

__all__ = [
    "ProfileError",
    "apply_sets",
    "best_asic",
    "find_gpu",
    "load_asic",
    "load_asics",
    "load_gpu",
    "load_market",
    "load_model",
    "median_asic",
    "model_from_weights",
    "names",
    "parse_asic",
]
