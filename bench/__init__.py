"""joulemark: does a joule earn more as a hash or as a token?

``bench.run(device="cpu")`` does what ``bench all`` does, ``bench.load(path)`` reads a stored run,
``with bench.Meter(gpu=0) as m: …`` measures any part of a script.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.api import BadRecord as BadRecord
    from bench.api import RunError as RunError
    from bench.api import RunRecord as RunRecord
    from bench.api import RunResult as RunResult
    from bench.api import load as load
    from bench.api import run as run
    from bench.metered import Meter as Meter

__version__ = "2026.11.0"
__all__ = [
    "BadRecord",
    "Meter",
    "RunError",
    "RunRecord",
    "RunResult",
    "__version__",
    "load",
    "run",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        """What a script asks for, imported when it does: ``bench --help`` needs none of it."""
        if name not in __all__:
            raise AttributeError(f"module 'bench' has no attribute {name!r}")
        home = "bench.metered" if name == "Meter" else "bench.api"
        return getattr(importlib.import_module(home), name)

    def __dir__():
        """What there is for scripts, imported or not yet."""
        return sorted(__all__)
