"""What a server is like, found out before anything is timed: model, dialect, caches, manners."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

from .address import cpu_seconds
from .client import Client
from .dialect import EXTENSIONS, Api, Dialect
from .load import Asker, Mix
from .prompts import Prompts, Scale, fit
from .tally import Answer, Ratio, Tally, median
from .wire import WireError, plain

FEW_WORDS = 8
SHORT_OUTPUT = 16
LONG_OUTPUT = 128
LOOKS = 3
NAMED_MODELS = 8
LOOK_S = 0.4
CALM_S = 0.2
"""After hanging up a server may finish the step it is in."""
LEAST_CPUS = 0.05
WARM = 0.7
"""A prompt was kept whose first token always comes in less than this share of any new one's."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The model to ask for; whether the server lists it, who serves it, why it is not listed."""

    model: str
    listed: bool
    owner: str | None
    reason: str | None


async def find_model(client: Client, wanted: str | None) -> Listing:
    """The model asked for, else the only one that is listed.

    ConnectionError when nobody answers; ValueError when the list settles nothing or lacks it.
    """
    try:
        models, reason = _models(await client.get("/models")), None
    except WireError as fault:
        if fault.kind == "unreachable":
            raise ConnectionError(
                f"no server answers ({fault}): start it or correct --endpoint"
            ) from None
        models, reason = {}, fault.text
    known = ", ".join(plain(each, 60) for each in list(models)[:NAMED_MODELS])
    if wanted is not None:
        if models and wanted not in models:
            raise ValueError(f"the server has no model {plain(wanted)}; it lists {known}")
        return Listing(wanted, wanted in models, models.get(wanted), reason)
    if not models:
        raise ValueError(f"the server lists no model ({reason or 'empty'}): name it (--model-id)")
    if len(models) > 1:
        raise ValueError(f"the server has several models, name one with --model-id: {known}")
    [(model, owner)] = models.items()
    if model != plain(model):
        raise ValueError(f"the server's model has an unprintable name: {plain(model)}")
    return Listing(model, True, owner, None)


def _models(said: Any) -> dict[str, str | None]:
    """The ids in a list of models, each with its owner."""
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, list):
        raise WireError("malformed", "its list of models is none")
    found = {}
    for each in data:
        if isinstance(each, dict) and isinstance(each.get("id"), str) and each["id"]:
            owner = each.get("owned_by")
            found[each["id"]] = plain(owner, 60) if isinstance(owner, str) and owner else None
    return found


async def find_dialect(client: Client, api: Api, model: str, prompts: Prompts) -> Dialect:
    """The first of the known dialects that gets a whole answer with token counts.

    ValueError says why there is none.
    """
    fault: WireError | None = None
    for known in EXTENSIONS:
        asker = Asker(client, Dialect(api, model, known), prompts, Scale())
        answer = await asker.send(Tally(Ratio()), prompts.of_words(FEW_WORDS), SHORT_OUTPUT)
        if answer.fault is None:
            return asker.dialect
        fault = answer.fault
        if fault.kind != "refused":
            break
    raise ValueError(f"the server does not serve {api} of {plain(model)}: {fault}")


async def find_scale(asker: Asker, tokens: int) -> Asker:
    """Words per token by the server's own count; ValueError when it cannot be told."""
    prompts, counts = asker.prompts, []
    for words in (FEW_WORDS, FEW_WORDS + max(FEW_WORDS, tokens // 4)):
        answer = _whole(await asker.send(Tally(Ratio()), prompts.of_words(words), 1))
        counts.append((words, _usage_prompt(answer)))
    rough = fit(counts[0], counts[1])
    words = rough.words(tokens)
    if words == FEW_WORDS:
        return replace(asker, scale=rough)
    answer = _whole(await asker.send(Tally(Ratio()), prompts.of_words(words), 1))
    return replace(asker, scale=fit(counts[0], (words, _usage_prompt(answer))))


async def prefix_cache(asker: Asker, tokens: int) -> dict[str, Any]:
    """Seconds to the first token of new prompts and of one repeated, and what usage says of it.

    ``kept`` says whether the server remembers prompts; None where nothing tells.
    """
    tally = Tally(Ratio())
    same = asker.prompts.of_words(asker.scale.words(tokens))
    _whole(await asker.send(tally, same, 1))
    fresh, again = [], []
    for _ in range(LOOKS):
        fresh.append(_whole(await asker.ask(tally, tokens, 1)))
        again.append(_whole(await asker.send(tally, same, 1)))
    fresh_s, again_s = _ttft(fresh), _ttft(again)
    told = [a.usage.cached for a in again if a.usage is not None and a.usage.cached is not None]
    faster = max(again_s) < WARM * min(fresh_s) if fresh_s and again_s else None
    return {
        "distinct_ttft_s": median(fresh_s),
        "repeat_ttft_s": median(again_s),
        "repeat_cached_tokens": max(told) if told else None,
        "kept": any(told) or bool(faster) if told or faster is not None else None,
    }


async def hang_up(asker: Asker, mix: Mix, pids: tuple[int, ...]) -> dict[str, Any]:
    """Whether the server stops working when its client has gone: by its processor time.

    Cores busy before, during and after a request that is given up midway; ``stops`` is None
    where that does not tell, as for an engine that spins while idle.
    """
    idle = await _cores(pids)
    tally = Tally(Ratio())
    task = asyncio.create_task(asker.ask(tally, mix.prompt, max(mix.output, LONG_OUTPUT)))
    try:
        while tally.in_flight and not any(a.pieces for a in tally.in_flight.values()):
            await asyncio.sleep(CALM_S / 10)
        busy = await _cores(pids)
        midway = not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(CALM_S)
    after = await _cores(pids)
    told = bool(pids) and midway and busy - idle > LEAST_CPUS
    return {
        "idle_cores": idle,
        "busy_cores": busy,
        "after_cores": after,
        "stops": after - idle < (busy - idle) / 2 if told else None,
    }


async def some_answers(asker: Asker) -> list[Answer]:
    """Texts to a few different prompts, the last prompt twice; ValueError when one fails."""
    tally = Tally(Ratio(), keep_text=True)
    texts = [asker.prompts.of_words(4 * FEW_WORDS) for _ in range(LOOKS + 1)]
    return [_whole(await asker.send(tally, text, SHORT_OUTPUT)) for text in (*texts, texts[-1])]


async def _cores(pids: tuple[int, ...]) -> float:
    """Processor seconds per second that the server's processes use for a moment."""
    began_s, used_s = time.monotonic(), cpu_seconds(pids)
    await asyncio.sleep(LOOK_S)
    return max(0.0, cpu_seconds(pids) - used_s) / (time.monotonic() - began_s)


def _whole(answer: Answer) -> Answer:
    if answer.fault is not None:
        raise ValueError(f"the server fails a plain request: {answer.fault}")
    return answer


def _usage_prompt(answer: Answer) -> int:
    assert answer.usage is not None, "a whole answer has its counts"
    return answer.usage.prompt


def _ttft(answers: list[Answer]) -> list[float]:
    return [a.first_s - a.sent_s for a in answers if a.first_s is not None]
