"""The routes by which a step may reach a device, by name: what stands in for each, and which one is
taken where none is asked for. How each is made is in routes.py; nothing here needs torch.
"""

from __future__ import annotations

ROUTES = {
    "graph+compile": ("graph+compile", "graph", "eager"),
    "graph": ("graph", "eager"),
    "compile": ("compile", "eager"),
    "fused": ("fused", "eager"),
    "eager": ("eager",),
}
"""Each route with those that stand in for it, in order."""
ROUTE = {"cpu": "fused", "cuda": "graph+compile"}
"""The route of each device where nothing else is asked for."""


def known(route: str) -> str:
    """The same; ValueError for one that is not in ROUTES."""
    if route not in ROUTES:
        raise ValueError(f"route must be one of {', '.join(ROUTES)}, not {route!r}")
    return route
