"""Codes of a server's tokens: a clean run that decodes behind an endpoint, changed in one thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from bench.records.journal import Event, Fact

from .conftest import CleanRun

Run = CleanRun
GOOD: dict[str, Any] = {
    "workload": "decode", "sent": 100, "completed": 90, "failed": 0, "last_fault": None,
    "shed": 0, "hung_up": 10, "requested_tokens": 9000, "produced_tokens": 9000,
    "input_tokens": 9000, "cached_tokens": 0, "pieces": 9000, "steady_s": 1.0,
    "lag_p99_s": 0.002, "late_p99_s": None, "client_cpus": 0.1,
}  # fmt: skip
PIDS = [21, 22]


def served(run: Run, requests: dict[str, Any] | None = None, **details: Any) -> list[Fact]:
    """The clean run, its decoder being a server of these details that said this of its requests."""
    known = {"server_pids": PIDS, "hang_up": {"stops": True}, **details}
    facts: list[Fact] = []
    for fact in run.clean:
        if isinstance(fact, Event) and fact.name == "prepared" and fact.data["name"] == "decode":
            fact = replace(fact, data={**fact.data, "details": known})  # noqa: PLW2901
        if isinstance(fact, Event) and fact.name in ("own_processes", "processes"):
            fact = replace(fact, data={**fact.data, "pids": [11, 12, *PIDS]})  # noqa: PLW2901
        facts.append(fact)
    end_s = max(fact.t_s for fact in facts if isinstance(fact, Event))
    return [*facts, Event(end_s, "requests", {**GOOD, **(requests or {})})]


def named(
    run: Run, facts: Iterable[Fact], grade: str = "standard", **config: Any
) -> dict[str, bool]:
    server = replace(run.decoding, backend="endpoint", config=config)
    return run.named(facts, grade=grade, workloads=(run.hashing, server))


def listing(facts: Iterable[Fact], pids: list[int], **more: Any) -> list[Fact]:
    """The same with another list of the card's processes."""
    return [
        replace(f, data={"pids": pids, **more})
        if isinstance(f, Event) and f.name == "processes"
        else f
        for f in facts
    ]


def test_an_honest_server_has_no_code(run: Run) -> None:
    assert named(run, served(run)) == {}


@pytest.mark.parametrize(
    ("change", "code", "is_fatal"),
    [
        ({"cached_tokens": 181}, "PREFIX_CACHE", True),
        ({"lag_p99_s": 0.021}, "CLIENT_BOUND", True),
        ({"late_p99_s": 0.021}, "CLIENT_BOUND", True),
        ({"client_cpus": 0.81}, "CLIENT_BOUND", True),
        ({"failed": 1, "last_fault": "cut"}, "REQUESTS_FAILED", False),
        ({"failed": 2, "last_fault": "cut"}, "REQUESTS_FAILED", True),
        ({"produced_tokens": 8900}, "SHORT_ANSWERS", False),
        ({"pieces": 4000}, "COARSE_STREAM", False),
        ({"steady_s": None}, "NOT_STATIONARY", False),
        ({"steady_s": 1e6}, "NOT_STATIONARY", False),
        ({"shed": 1}, "OVERLOADED", False),
    ],
)
def test_what_a_server_says_of_its_requests(
    run: Run, change: dict[str, Any], code: str, is_fatal: bool
) -> None:
    assert named(run, served(run, change)) == {code: is_fatal}
    assert named(run, served(run, change), grade="quick")[code] is False


def test_a_little_cache_of_a_common_template_is_none(run: Run) -> None:
    assert named(run, served(run, {"cached_tokens": 180})) == {}


def test_an_open_loop_that_leaves_more_than_it_answers(run: Run) -> None:
    waiting = served(run, {"hung_up": 91})
    assert named(run, waiting, load="closed") == {}
    assert named(run, waiting, load="poisson") == {"OVERLOADED": False}


def test_a_server_that_goes_on_after_its_client(run: Run) -> None:
    assert named(run, served(run, hang_up={"stops": False})) == {"WORK_LEFT": False}
    assert named(run, served(run, hang_up={"stops": None})) == {}


def test_a_server_on_another_card(run: Run) -> None:
    found = named(run, listing(served(run), [11, 12]))
    assert found == {"SERVER_ELSEWHERE": True}


@pytest.mark.parametrize(
    ("pids", "more"), [([], {"reason": "no permission"}), ([4011, 4012], {}), ([], {})]
)
def test_a_server_nobody_can_place(run: Run, pids: list[int], more: dict[str, Any]) -> None:
    found = named(run, listing(served(run), pids, **more))
    assert found == {"SERVER_UNKNOWN": False, "PROCESS_UNKNOWN": False}


def test_a_listener_of_another_user_is_nobodys_for_sure(run: Run) -> None:
    facts = served(run, server_pids=[], server_pids_reason="it belongs to another user")
    text = next(
        code.text
        for code in run.judged(
            facts, workloads=(run.hashing, replace(run.decoding, backend="endpoint"))
        )[1]
        if code.name == "SERVER_UNKNOWN"
    )
    assert "another user" in text


def test_other_workloads_are_left_alone(run: Run) -> None:
    assert run.named([*run.clean, Event(9e9, "requests", {**GOOD, "failed": 99})]) == {}
