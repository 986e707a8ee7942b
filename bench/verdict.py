"""Runs, market and profiles → Decision: which use of this card's joule pays most, how surely.

Pure: no clock, no file; "today" and the seed are given. Advice only: it never switches anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from bench.draws import World, constant, draw_world, money
from bench.economics import (
    J_PER_KWH,
    S_PER_DAY,
    EPOCH_S,
    Array,
    asic_joules_per_hash,
    best_asic,
    first_day,
    median_asic,
    mining_usd_per_j,
)
from bench.flips import flips
from bench.options import Use, absent, off, option, price_uses, rent_price, token_price
