"""joulemark: does a joule earn more as a hash or as a token?

``with bench.Meter(gpu=0) as m: …`` measures any part of a script.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.metered import Meter as Meter

__version__ = "2026.11.0"
__all__ = ["Meter", "__version__"]

if not TYPE_CHECKING:

    def __getattr__(name):
        """``Meter``, imported when it is asked for: ``bench --help`` needs none of it."""
        if name != "Meter":
            raise AttributeError(f"module 'bench' has no attribute {name!r}")
        return importlib.import_module("bench.metered").Meter
