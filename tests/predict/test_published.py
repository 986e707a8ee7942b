"""Published figures against predictions of cards taken as unmeasured. About 2 s."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.catalogue import load_gpu, load_market, load_model
from bench.predict.calibrate import prior_factor
from bench.predict.card import Subject, at_work, hashing
from bench.predict.draws import Dice, draw_stage
from bench.predict.limits import hash_limit, pace
from bench.predict.point import Asked
from bench.predict.priors import KINDS, PRIORS
from bench.predict.row import Spread, spread
from bench.records.market import ModelConfig

DATA = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
SHA256_PER_SHA256D = 2.26
LONG = 100_000
"""Tokens a row generates where prefill is to be left out."""
SHARE = 0.9
CEILING = 0.01


def model_of(name: str) -> ModelConfig:
    if name in DATA["models"]:
        return ModelConfig(name, None, None, DATA["models"][name], "2023-07", "Llama 2")
    return load_model(name)


def predicted(row: dict[str, Any]) -> Spread:
    gpu = load_gpu(row["card"])
    stage = draw_stage(load_market("default"), None, Dice(seed=1, draws=4000))
    subject = Subject(gpu.name, gpu, {kind: prior_factor(kind) for kind in KINDS})
    if row["kind"] == "sha256":
        found = hashing(subject, stage)
        assert found is not None
        return spread(found.hashes_per_s * SHA256_PER_SHA256D)
    if row["kind"] == "prefill":
        asked = Asked(model_of(row["model"]), row["precision"], row["tokens"], 1, 1, None)
        factor = stage.dice.factor(subject.factors["prefill rate"], gpu.name, "", "rate")
        share = PRIORS["prefill rate"].mid * factor
        return spread(pace(gpu, asked, 1).prefill_s / share)
    prompt, output = row.get("mix", (1, LONG))
    context = float(row["context"]) if "context" in row else None
    asked = Asked(
        model_of(row["model"]),
        row["precision"],
        prompt,
        output,
        row["batch"],
        None,
        context,
        row.get("kv_bytes", 2.0),
    )
    card = at_work(subject, asked, stage, None)
    assert card is not None
    tokens = card.serving.tokens_per_s
    return spread(card.serving.power.board_w / tokens if row["kind"] == "joules" else tokens)


def test_nine_in_ten_published_figures_lie_in_their_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    inside = []
    lines = []
    for row in DATA["row"]:
        if row["kind"] == "ceiling":
            continue
        found, value = predicted(row), row["value"]
        inside.append(found.p2 <= value <= found.p97)
        what = " ".join(str(row.get(key, "")) for key in ("kind", "card", "model", "precision"))
        lines.append(
            f"{what:36} b{row.get('batch', ''):<4} published {value:10.4g}  predicted"
            f" {found.mid:10.4g} [{found.p2:.4g}, {found.p97:.4g}]  error"
            f" {found.mid / value - 1:+6.1%}  {'in' if inside[-1] else 'OUT'}  {row['source']}"
        )
    with capsys.disabled():
        print("\n" + "\n".join(lines))
        print(f"{sum(inside)} of {len(inside)} inside")
    assert len(inside) >= 30
    assert sum(inside) >= SHARE * len(inside)


@pytest.mark.parametrize("row", [r for r in DATA["row"] if r["kind"] == "ceiling"], ids=str)
def test_the_ceiling_of_the_plain_kernel_is_the_published_scale(row: dict[str, Any]) -> None:
    assert hash_limit(load_gpu(row["card"])) == pytest.approx(row["value"], rel=CEILING)


@pytest.mark.parametrize("row", DATA["row"], ids=str)
def test_every_figure_names_its_source_and_date(row: dict[str, Any]) -> None:
    assert row["source"].strip()
    assert row["as_of"][:2] == "20"
