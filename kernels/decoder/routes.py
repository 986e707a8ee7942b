"""How a session's step reaches the device: eager, compiled, replayed from a CUDA graph, or fused.

All but the fused one run the same function; all work on the same buffers. A route that cannot be
had gives way to the next simpler one, and says why.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..private_cache import folder
from .ladder import ROUTES, known

if TYPE_CHECKING:
    from .fused import Fused

BUCKETS = {"cpu": 32, "cuda": 256}
"""Slots by which the span that a step reads grows: every new one costs CUDA a graph of its own."""
WARM_UPS = 2  # steps before a graph is captured: libraries and Triton make their plans in them
LONGEST_REASON = 200
MOST_SESSIONS = 64  # compiled in one process; torch gives up after 8 forms of one function

Step = Callable[[Tensor], None]
"""One token per row, reading as many slots as the tensor is long; everything else is in place."""


class Route:
    """The step of one session by one route. ``seats`` is 0 … capacity − 1 on the device; spans are
    rounded up to multiples of ``bucket``.

    Raises whatever the compiler or CUDA raises when the route cannot be had.
    """

    def __init__(self, name: str, step: Step, seats: Tensor) -> None:
        self.name = name
        self.compile_s = 0.0
        self.replays = 0
        self.threads = torch.get_num_threads()
        self.bucket = 1 if name == "eager" else BUCKETS[seats.device.type]
        self._step = step
        self.compilations = 0
        self._spans: dict[int, Tensor] = {}
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._seats = seats
        began_s = time.monotonic()
        if "graph" in name and seats.device.type != "cuda":
            raise ValueError("graphs are CUDA's")
        if "compile" in name:
            ready_to_compile(seats.device.type)
            self._step = torch.compile(step, backend=self._inductor, fullgraph=True)
            self._step(self._span(self.padded(1)))
        if "graph" in name:
            for span in range(self.padded(1), self.padded(len(seats)) + 1, self.bucket):
                self._capture(self.padded(span))
        self._warm = self.compilations
        self.compile_s = time.monotonic() - began_s if name != "eager" else 0.0

    @property
    def recompiles(self) -> int:
        """Compilations of this step since it was ready."""
        return self.compilations - self._warm

    def padded(self, span: int) -> int:
        """Slots that a step reads when the longest row holds ``span``."""
        return min(len(self._seats), -(-span // self.bucket) * self.bucket)

    def advance(self, span: int) -> None:
        """One step over at least ``span`` slots."""
        padded = self.padded(span)
        if self._graphs:
            self._graphs[padded].replay()
            self.replays += 1
        else:
            self._step(self._span(padded))

    def _inductor(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        from torch._inductor.compile_fx import compile_fx

        self.compilations += 1
        return compile_fx(graph, inputs)

    def _span(self, padded: int) -> Tensor:
        """The first seats; their number is a variable to the compiler, or each would cost it."""
        if padded not in self._spans:
            seats = self._seats[:padded]
            if "compile" in self.name:
                torch._dynamo.mark_dynamic(seats, 0)
            self._spans[padded] = seats
        return self._spans[padded]

    def _capture(self, padded: int) -> None:
        """Record one step over ``padded`` slots, warmed up on a side stream first."""
        seats = self._span(padded)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                self._step(seats)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool):
            self._step(seats)
        self._graphs[padded] = graph


def open_route(
    wanted: str, step: Step, seats: Tensor, fused: Callable[[], Fused]
) -> tuple[Route | Fused, tuple[str, ...]]:
    """The first route of the ladder that works, and why those before it did not.

    ``fused`` makes the one that does not run ``step``. Raises ValueError for an unknown one. Memory
    that runs out is no reason to go on more slowly: it is raised, MemoryError or torch's own.
    """
    fallbacks: list[str] = []
    for name in ROUTES[known(wanted)]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations inside the compiler's own imports
                route = fused() if name == "fused" else Route(name, step, seats)
                return route, tuple(fallbacks)
        except Exception as error:
            if (starved := _out_of_memory(error)) is not None:
                raise type(starved)(*starved.args) from error
            fallbacks.append(f"{name}: {reason(error)}")
    raise AssertionError("eager is always there")


def _out_of_memory(error: BaseException | None) -> BaseException | None:
    """The error itself, or the one behind it: compilers wrap it, and a capture that it cut short
    fails to end.
    """
    while error is not None and not isinstance(error, MemoryError | torch.OutOfMemoryError):
        error = error.__cause__ or error.__context__
    return error


def reason(error: Exception) -> str:
    """An exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:LONGEST_REASON]


def ready_to_compile(kind: str) -> None:
    """Let Inductor keep its code in a folder of this user's, and every session have its own.

    RuntimeError where a CPU's code would find no C++ compiler. A CPU's step is one piece of C++,
    for which a pool of compiling processes would start only to be in the way of what is measured.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder("inductor")))
    torch._dynamo.config.recompile_limit = MOST_SESSIONS
    if kind == "cpu":
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            raise RuntimeError(f"no C++ compiler: {compiler} is not on the PATH")
        from torch._inductor import config

        config.compile_threads = 1
