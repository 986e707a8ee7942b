"""Dated facts as TOML, every value with its source; imported as ``bench.profiles``. No code."""
