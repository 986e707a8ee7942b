"""A server's tokens: whose they are, whether they were worked for, and who set the pace."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.records.journal import Event, JsonObject
from bench.records.run import Code, WorkloadRecord
from bench.validity.evidence import Evidence, Rule, fatal, graded, label
from bench.validity.sharing import surveys

CACHED = 0.02
"""Share of prompt tokens from a cache that a common template explains."""
FAILED = 0.01
SHORT = 0.01
CLIENT_LATE_S = 0.02
CLIENT_CORES = 0.8
COARSE = 2.0


def _place(e: Evidence) -> Iterator[Code]:
    """Whether the server computes on the card whose joules are counted."""
    if e.device.kind != "gpu" or not e.own_meter:
        return
    own, lists, reason = surveys(e)
    listed = set().union(*lists)
    for w in _served(e):
        details = e.prepared(w.name).get("details") or {}
        pids = set(details.get("server_pids") or ())
        if pids & listed:
            continue
        if pids and (own - pids) & listed:
            text = f"{w.name}: none of the server's processes computes on this card"
            yield fatal("SERVER_ELSEWHERE", f"{text}: its joules are another's; choose --gpu")
            continue
        why = details.get("server_pids_reason") or (
            "the card's list shows none of its processes" if lists else reason
        )
        text = f"nobody can tell whether the server computes on this card: {why}"
        yield label("SERVER_UNKNOWN", f"{w.name}: {text}; see that it does, outside containers")


def _cached(e: Evidence) -> Iterator[Code]:
    for w in _served(e):
        said = _requests(e, w)
        cached, prompts = _sum(said, "cached_tokens"), _sum(said, "input_tokens")
        if prompts and cached > CACHED * prompts:
            text = f"{w.name}: {cached / prompts:.0%} of the prompt tokens came from a cache"
            yield graded(e, "PREFIX_CACHE", f"{text}: switch the server's prefix cache off")


def _client(e: Evidence) -> Iterator[Code]:
    """A client that is late or busy measures itself: on a CPU server it also competes."""
    for w in _served(e):
        said = _requests(e, w)
        late_s = max((_most(said, key) for key in ("lag_p99_s", "late_p99_s")), default=0.0)
        cores = _most(said, "client_cpus")
        if late_s > CLIENT_LATE_S or cores > CLIENT_CORES:
            text = f"{w.name}: the client was up to {1e3 * late_s:.0f} ms late (p99) and used"
            text += f" {cores:.0%} of a core: lower the load or free the host's cores"
            yield graded(e, "CLIENT_BOUND", text)


def _answers(e: Evidence) -> Iterator[Code]:
    for w in _served(e):
        said = _requests(e, w)
        sent, failed = _sum(said, "sent"), _sum(said, "failed")
        if failed:
            reasons = [str(data["last_fault"]) for data in said if data.get("last_fault")]
            text = f"{w.name}: {failed:.0f} of {sent:.0f} requests failed ({reasons[-1]})"
            text += ": their tokens do not count, their joules do"
            many = failed > FAILED * sent
            yield graded(e, "REQUESTS_FAILED", text) if many else label("REQUESTS_FAILED", text)
        requested, produced = _sum(said, "requested_tokens"), _sum(said, "produced_tokens")
        if requested and abs(produced - requested) > SHORT * requested:
            text = f"{w.name}: answers have {produced / requested:.0%} of the tokens asked for"
            yield label("SHORT_ANSWERS", f"{text}: the mix is another than the one stated")
        pieces = _sum(said, "pieces")
        if pieces and produced > COARSE * pieces:
            text = f"{w.name}: {produced / pieces:.1f} tokens come at once"
            yield label("COARSE_STREAM", f"{text}: latencies are those of pieces, not of tokens")


def _pace(e: Evidence) -> Iterator[Code]:
    for w in _served(e):
        said = _requests(e, w)
        if unsteady := _unsteady(e, w):
            text = f"{w.name}: {unsteady} blocks began before the opening requests were taken in"
            yield label("NOT_STATIONARY", f"{text}: lower the load or the prompt")
        waiting, whole = _sum(said, "hung_up"), _sum(said, "completed")
        open_loop = w.config.get("load") == "poisson"
        if _sum(said, "shed") or (open_loop and waiting > whole):
            text = f"{w.name}: more requests were left waiting than answered"
            yield label("OVERLOADED", f"{text}: lower --rate or raise --window")


def _manners(e: Evidence) -> Iterator[Code]:
    """A server that goes on after its client has gone works in the other workload's blocks."""
    for w in _served(e):
        hang_up = (e.prepared(w.name).get("details") or {}).get("hang_up") or {}
        if hang_up.get("stops") is False:
            text = f"{w.name}: the server goes on with answers that nobody waits for"
            yield label("WORK_LEFT", f"{text}: measure it alone, without hashing beside it")


def _served(e: Evidence) -> list[WorkloadRecord]:
    return [w for w in e.workloads if w.backend == "endpoint"]


def _events(e: Evidence, w: WorkloadRecord) -> list[Event]:
    return [
        event
        for event in e.book.events
        if event.name == "requests" and event.data.get("workload") == w.name
    ]


def _requests(e: Evidence, w: WorkloadRecord) -> list[JsonObject]:
    return [event.data for event in _events(e, w)]


def _unsteady(e: Evidence, w: WorkloadRecord) -> int:
    """Blocks that began before the mixture of requests was stationary."""
    before_s, found = -math.inf, 0
    for event in _events(e, w):
        steady_s = event.data.get("steady_s")
        starts = [
            span.start_s
            for span in e.blocks()
            if span.workload == w.name and before_s < span.start_s and span.end_s <= event.t_s
        ]
        found += sum(steady_s is None or start_s < steady_s for start_s in starts)
        before_s = event.t_s
    return found


def _sum(said: list[JsonObject], key: str) -> float:
    return math.fsum(data.get(key) or 0 for data in said)


def _most(said: list[JsonObject], key: str) -> float:
    return max((float(data.get(key) or 0.0) for data in said), default=0.0)


RULES: tuple[Rule, ...] = (_place, _cached, _client, _answers, _pace, _manners)
