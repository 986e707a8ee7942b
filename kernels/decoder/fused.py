"""A session's step by ``cpu_step``: which decoders it can run, where their tensors lie, and on how
many threads it is fastest.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .model import Decoder, KVCache

LEAST = 4  # columns of any product: the compiled step makes them by fours
ROUNDS = 7  # in which every number of threads makes a step
ROUNDS_S = 1.0  # that they may take, once there have been two
WORTH = 0.95  # of the time of fewer threads that more must not exceed


class State(NamedTuple):
    """What a step changes beside the cache: [B], [B], [B, capacity + 1], [B, V] and a count."""

    tokens: Tensor
    positions: Tensor
    history: Tensor
    logits: Tensor
    made: Tensor


class Fused:
    """The step of one session as one compiled function, on the number of threads found fastest.

    Raises ValueError for a decoder that the function is not made for.
    """

    name = "fused"
    replays = 0
    bucket = 1

    def __init__(self, decoder: Decoder, cache: KVCache, state: State) -> None:
        began_s = time.monotonic()
        weights = _weights(decoder, cache)
        from . import cpu_step

        self._compiled: Any = cpu_step.step
        config, (batch, slots) = decoder.config, state.history.shape
        most = torch.get_num_threads()
        self._capacity = cache.capacity
        self._positions = state.positions
        self._met = torch.zeros(16, dtype=torch.int64)  # arrivals, then whether one gave up
        self._pool = ThreadPoolExecutor(max(1, most - 1), thread_name_prefix="decode")
        self._kind = np.empty(0, np.float32 if decoder.dtype == torch.float32 else np.uint16)
        d, heads, size = config.d_model, config.n_heads, config.head_dim
        joined = heads + 2 * config.n_kv_heads
        self._sizes = (batch, d, heads, config.n_kv_heads, size, config.d_ffn, config.vocab_size)
        self._slots = slots
        rooms = (
            (most, batch, d),  # hidden states, for each thread
            (most, batch, d),  # the same, normed
            (batch, joined * size),  # queries, keys, values
            (batch, max(config.d_ffn, heads * size)),  # what attention or the gate gives
            (batch, 2 * config.d_ffn),  # gate and up
            (batch, heads, slots),  # scores
            (batch, d),  # to be added to the hidden states
        )
        self._held = [
            *(decoder.embedding, decoder.norm, decoder.head, decoder.cos, decoder.sin),
            *state,
            *(torch.zeros(room, dtype=torch.float32) for room in rooms),
            self._met,
        ]
        self._whole = np.array([tensor.data_ptr() for tensor in self._held], dtype=np.int64)
        self._layers = np.array(weights, dtype=np.int64)
        self._epsilon = np.float32(config.norm_eps)
        self._due = 0
        self.threads = 1
        self._step()  # compiles it
        self._ready = self.compilations
        self.threads = self._fastest(most)
        self.compile_s = time.monotonic() - began_s

    @property
    def compilations(self) -> int:
        """Forms in which the step has been compiled, or loaded, in this process."""
        return len(self._compiled.signatures)

    @property
    def recompiles(self) -> int:
        """Compilations since it was ready."""
        return self.compilations - self._ready

    def padded(self, span: int) -> int:
        """Slots that a step reads when the longest row holds ``span``: no more than those."""
        return span

    def advance(self, span: int) -> None:
        """One step; the longest row holds ``span`` with the token that is fed back.

        Raises IndexError where the cache has no slot for it, RuntimeError once a step was
        interrupted: nobody knows how far the rows then are.
        """
        if span > self._capacity:
            raise IndexError(f"a step over {span} slots of {self._capacity}")
        if self._met[1]:
            raise RuntimeError("a step was interrupted: open another session")
        self._step()

    def _step(self) -> None:
        threads, layers = self.threads, len(self._layers)
        sizes = (*self._sizes, self._slots, threads)
        given: tuple[Any, ...] = (self._kind, sizes, self._epsilon, self._layers, self._whole)
        try:
            for rank in range(1, threads):
                self._pool.submit(partial(self._compiled, *given, rank, self._due))
            self._compiled(*given, 0, self._due)
        except BaseException:
            self._met[1] = 1  # or the others would wait for ever
            raise
        self._due += threads * (5 * layers + 1)

    def _fastest(self, most: int) -> int:
        """The number of threads, 1, 2, 4 … ``most``, whose median step is the shortest."""
        counts = sorted({most, *(1 << power for power in range(most.bit_length()))})
        taken: dict[int, list[float]] = {count: [] for count in counts}
        began_s = time.monotonic()
        for done in range(ROUNDS if most > 1 else 0):
            if done >= 2 and time.monotonic() - began_s > ROUNDS_S:
                break
            for count in counts:
                self.threads = count
                taken[count].append(self._timed())
        best = 1
        for count in counts[1:]:
            if statistics.median(taken[count]) < WORTH * statistics.median(taken[best]):
                best = count
        return best

    def _timed(self) -> float:
        """Seconds of one step at the first slot."""
        self._positions.zero_()
        began_s = time.perf_counter()
        self._step()
        return time.perf_counter() - began_s


def _weights(decoder: Decoder, cache: KVCache) -> list[list[int]]:
    """Addresses of each layer's weights and cache, and its window; ValueError where it has others
    than ``cpu_step`` reads.
    """
    config = decoder.config
    if decoder.device.type != "cpu":
        raise ValueError("it is a CPU's")
    if config.n_experts is not None:
        raise ValueError("a mixture of experts is not fused")
    if decoder.meaning is not None:
        raise ValueError("quantised weights are not fused")
    if cache.capacity > config.max_context:
        raise ValueError(f"{cache.capacity} slots exceed the {config.max_context} positions")
    if min(config.d_model, config.d_ffn, config.vocab_size, config.head_dim) < LEAST:
        raise ValueError(f"a size is below {LEAST}")
    rows = []
    for index, layer in enumerate(decoder.blocks()):
        norms = (layer.attention_norm, layer.q_norm, layer.k_norm, layer.mlp_norm)
        parts = (*norms, layer.qkv, layer.o, layer.gate_up, layer.down, cache.slots[index])
        for part in parts:
            assert part is None or (isinstance(part, Tensor) and part.is_contiguous())
        addresses = [part.data_ptr() if isinstance(part, Tensor) else 0 for part in parts]
        rows.append([*addresses, config.window(index) or 0])
    return rows
