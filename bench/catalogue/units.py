"""How each quantity is written in a profile, and the bounds beyond which it cannot be meant.

kWh, TH/day, $/Mtok and MHz stop here.
"""

from __future__ import annotations

from bench.catalogue.tomlfile import Unit
from bench.economics.units import HASHES_PER_PHS_DAY, J_PER_KWH, S_PER_HOUR, S_PER_YEAR

# Bounds are far outside any market or machine, and well inside what arithmetic survives.
COUNT = Unit("1", "1", most=1e24)
DIFFICULTY = Unit("1", "1", above=1e9, most=1e24)
GAIN = Unit("1", "1", above=0.1, most=10.0)
SHARE = Unit("1", "1", closed=True, most=0.99)
UTILISATION = Unit("1", "1", most=1.0)
EFFICIENCY = Unit("1", "1", most=1.0)
FACTOR = Unit("1", "1", above=1.0, closed=True, most=10.0)
HEIGHT = Unit("1", "1", most=1e8)
BTC = Unit("BTC", "BTC", above=1e-8, most=1e3)
USD = Unit("USD", "USD", above=1e-3, most=1e12)
HASHPRICE = Unit("USD/PH/day", "USD/hash", 1 / HASHES_PER_PHS_DAY, above=1e-9, most=1e9)
POWER_PRICE = Unit("USD/kWh", "USD/J", 1 / J_PER_KWH, above=1e-6, most=1e3)
TOKEN_PRICE = Unit("USD/Mtok", "USD/token", 1e-6, above=1e-9, most=1e9)
RENT = Unit("USD/h", "USD/s", 1 / S_PER_HOUR, above=1e-6, most=1e6)
HASHRATE = Unit("TH/s", "H/s", 1e12, above=1e-9, most=1e9)
WATTS = Unit("W", "W", above=1e-3, most=1e6)
OFFSET = Unit("W", "W", above=-1e4, most=1e4)
SECONDS = Unit("s", "s", above=1e-3, closed=True, most=60.0)
LAG = Unit("s", "s", closed=True, most=60.0)
RATE = Unit("1/s", "1/s", above=1e-3, most=1e18)
RATE_A_YEAR = Unit("1/year", "1/year", closed=True, most=1.0)
YEARS = Unit("year", "s", S_PER_YEAR, above=0.1, most=50.0)
MONTHS = Unit("month", "s", S_PER_YEAR / 12, closed=True, most=120.0)
SCALE = Unit("1", "1", above=1e-3, most=1e3)
MULTIPLIER = Unit("1", "1", above=0.1, most=10.0)
COLOCATION = Unit("USD/kW/month", "USD/J", 12 / S_PER_YEAR / 1e3, closed=True, most=1e5)
HASHRATE_PRICE = Unit("USD/TH", "USD*s/hash", 1e-12, above=1e-6, most=1e6)
MHZ = Unit("MHz", "Hz", 1e6)
GB = Unit("GB", "B", 1e9)
GB_PER_S = Unit("GB/s", "B/s", 1e9)
TFLOPS = Unit("TFLOP/s", "FLOP/s", 1e12)
