"""``bench compare`` from arguments to files and exit status. About 12 s."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.records.run import Estimate
from bench.report.sheet import Alarm, Column, Sheet, terminal
from bench.stats import ratio_interval, t_quantile

Called = Callable[..., tuple[int, str, str]]
Changed = Callable[..., Path]


@pytest.fixture
def tables(compared: Called, tmp_path: Path) -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """The rows of each table of work, as JSON."""

    def found(*arguments: object) -> dict[str, list[dict[str, Any]]]:
        out = tmp_path / "compared.json"
        status, _, err = compared(*arguments, "--json", out)
        assert status in (0, 9), err
        document = json.loads(out.read_text(encoding="utf-8"))
        return {table["workload"]: table["rows"] for table in document["tables"]}

    return found


def scaled(record: dict[str, Any], workload: str, factor: float) -> None:
    """That workload's joules, all of them."""
    for each in record["workloads"]:
        if each["name"] == workload:
            for name in ("joules_per_unit", "joules_per_unit_absolute"):
                figure = each["metrics"][name]
                figure.update({key: figure[key] * factor for key in ("mid", "lo", "hi")})


def ranked(record: dict[str, Any]) -> None:
    """As if the joules had been measured on this device."""
    record["validity"]["codes"] = []


def named(name: str) -> Callable[[dict[str, Any]], None]:
    """Another card, which may be ranked."""

    def change(record: dict[str, Any]) -> None:
        ranked(record)
        record["device"] |= {"name": name, "uuid": f"GPU-{name}"}

    return change


def limited(record: dict[str, Any]) -> None:
    record["device"]["power_limit_w"] = 300.0


def test_two_cards_at_their_own_limits_compare_without_red(
    compared: Called, two: tuple[Path, Path], tmp_path: Path
) -> None:
    page, book = tmp_path / "c.html", tmp_path / "c.xlsx"
    status, shown, _ = compared(*two, "--html", page, "--xlsx", book)
    assert status == 0
    assert "not comparable" not in shown
    assert 'class="alarm"' not in page.read_text(encoding="utf-8")
    rows = [line.split() for line in shown.splitlines() if line.startswith("sim:rtx4090")]
    assert [row[-1] for row in rows if row[-1] == "yes"] == ["yes", "yes"]


def test_a_changed_limit_is_red(
    compared: Called, two: tuple[Path, Path], changed: Changed, tmp_path: Path
) -> None:
    page, book, sums = (tmp_path / name for name in ("c.html", "c.xlsx", "c.md"))
    other = changed(two[1], limited)
    status, shown, _ = compared(two[0], other, "--html", page, "--xlsx", book, "--markdown", sums)
    assert status == 0
    why = "sim:rtx4090 at 300 W, not comparable: power limit 300 W, the card's default 450 W."
    assert shown.count(why) == 2
    assert page.read_text(encoding="utf-8").count('<td class="alarm">not comparable</td>') == 2
    assert sums.read_text(encoding="utf-8").count("| **not comparable** |") == 2
    with zipfile.ZipFile(book) as inside:
        assert 'rgb="FFB00020"' in inside.read("xl/styles.xml").decode()


def test_red_is_red_on_a_terminal() -> None:
    for width in (100, 24):  # aligned, and folded
        rows = tuple(("card", Alarm("not comparable: x")) for _ in range(4))
        sheet = Sheet("t", "board", (Column("card", "card"), Column("s", "s")), rows)
        out = io.StringIO()
        Console(file=out, width=width, force_terminal=True, color_system="standard").print(
            terminal(sheet, width)
        )
        assert out.getvalue().count("\x1b[1;31m") >= 4


def test_the_ratios_are_those_of_the_middles_with_an_interval(
    tables: Any, two: tuple[Path, Path]
) -> None:
    for rows in tables(*two).values():
        base, other = rows
        assert base["standing"] == "baseline"
        assert base["joules_ratio"] is base["rate_ratio"] is None
        for ratio, figure in (("joules_ratio", "joules_per_unit"), ("rate_ratio", "units_per_s")):
            found = other[ratio]
            assert found["mid"] == pytest.approx(other[figure]["mid"] / base[figure]["mid"])
            assert found["lo"] < found["mid"] < found["hi"]


def test_the_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)

    def estimate(mean: float) -> Estimate:
        values = mean * (1 + 0.01 * random.standard_normal(6))
        half = t_quantile(5) * values.std(ddof=1) / np.sqrt(6)
        return Estimate(values.mean(), values.mean() - half, values.mean() + half, 6)

    held = 0
    for _ in range(4000):
        found = ratio_interval(estimate(3.0), estimate(2.0))
        assert found is not None
        held += found.lo <= 1.5 <= found.hi
    assert 0.945 <= held / 4000 <= 0.975
    assert ratio_interval(Estimate(1, -1, 3, 4), Estimate(1, 0.9, 1.1, 4)) is None


def test_cards_within_the_gain_error_are_not_separable_and_share_a_rank(
    tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    def close(record: dict[str, Any]) -> None:
        named("close")(record)
        scaled(record, "sha256d", 1.08)

    def far(record: dict[str, Any]) -> None:
        named("far")(record)
        scaled(record, "sha256d", 1.5)

    rows = tables(changed(two[0], ranked), changed(two[0], close), changed(two[0], far))["sha256d"]
    assert [row["standing"] for row in rows] == ["baseline", "not separable", "comparable"]
    assert [row["group"] for row in rows] == ["a", "a", None]
    assert [row["rank"] for row in rows] == [1, 1, 3]


def test_a_calibrated_pair_is_separable_where_sensors_are_not(
    tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    def calibrated(record: dict[str, Any]) -> None:
        for workload in record["workloads"]:
            for line in workload["metrics"]["budget"]:
                line["relative_u"] = 0.003

    def other(record: dict[str, Any]) -> None:
        calibrated(record)
        named("other")(record)
        scaled(record, "sha256d", 1.08)

    rows = tables(changed(two[0], calibrated), changed(two[0], other))["sha256d"]
    assert [row["standing"] for row in rows] == ["baseline", "comparable"]
    assert [row["group"] for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: r["workloads"][1]["metrics"].update(boundary="node"), "boundary node"),
        (lambda r: r["meter"].update(scope="module"), "scope module"),
        (lambda r: r["profiles"]["model"].update(model_id="another"), "model another"),
        (limited, "power limit 300 W"),
    ],
    ids=["boundary", "scope", "model", "limit"],
)
def test_what_differs_is_named(
    tables: Any, two: tuple[Path, Path], changed: Changed, change: Any, why: str
) -> None:
    """Where only the joules were counted differently, rates still compare."""
    row = tables(two[0], changed(two[1], change))["serve"][1]
    assert row["standing"] == "not comparable"
    assert row["why"][0].startswith(why)
    assert row["joules_ratio"] is None
    assert (row["rate_ratio"] is not None) == why.startswith(("boundary", "scope"))


def test_a_limit_that_nobody_knows_is_not_red(
    tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    other = changed(two[1], lambda r: r["device"].update(power_limit_default_w=None))
    assert tables(two[0], other)["sha256d"][1]["standing"] == "comparable"


def test_tiers_stand_in_tables_of_their_own(
    compared: Called, two: tuple[Path, Path], changed: Changed
) -> None:
    engine = changed(two[1], lambda r: r["workloads"][1].update(tier="T2"))
    status, shown, _ = compared(two[0], engine)
    assert status == 0
    assert "serve T1, each at its best" in shown
    assert "serve T2, each at its best" in shown
    assert "sha256d against the baseline, sim:h100" in shown
    assert "serve T1 against" not in shown, "each stands alone in its table"


def test_runs_of_one_card_stand_in_one_row_and_name_the_gate(
    compared: Called, two: tuple[Path, Path], changed: Changed
) -> None:
    again = changed(two[0], lambda r: r.update(run_id="20261101t000000z-aaaaaa"))
    status, shown, _ = compared(two[0], again)
    assert status == 0
    assert "2 runs of one card: the one that says most; bench gate RUN --baseline OTHER" in shown
    assert "against the baseline" not in shown
    assert "× is this card" not in shown


def test_an_invalid_run_is_shown_and_held_against_nothing(
    compared: Called, tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    def spoilt(record: dict[str, Any]) -> None:
        record["validity"] = {
            "status": "invalid",
            "codes": [{"name": "XID", "text": "the driver reported Xid 79", "fatal": True}],
        }

    first = changed(two[0], spoilt)
    assert compared(first, two[1])[0] == 9
    rows = tables(first, two[1])["sha256d"]
    assert [row["standing"] for row in rows] == ["baseline", "not ranked"]
    assert rows[0]["device"] == "sim:rtx4090"
    assert rows[1]["why"] == ["the run is invalid"]
    assert rows[1]["joules_ratio"] is rows[1]["rank"] is None
    assert rows[1]["joules_per_unit"]["mid"] > 0


def test_unranked_runs_have_ratios_and_no_rank(tables: Any, two: tuple[Path, Path]) -> None:
    for rows in tables(*two).values():
        assert {row["rank"] for row in rows} == {None}
        assert rows[1]["joules_ratio"]["mid"] > 0


def points(two: tuple[Path, Path], changed: Changed) -> list[Path]:
    """A slow thrifty point, a fast one above the bound, one between, of one card."""

    def at(batch: int, rate: float, tpot_s: float, kl: float | None) -> Path:
        def change(record: dict[str, Any]) -> None:
            serve = record["workloads"][1]
            serve["config"] |= {"batch": batch}
            if kl is not None:
                serve["config"] |= {"precision": "fp8", "rung": {"kl_to_bf16": kl}}
            metrics = serve["metrics"]
            for name, mid in (
                ("units_per_s", rate),
                ("joules_per_unit", metrics["watts"]["mid"] / rate),
            ):
                metrics[name] = {"mid": mid, "lo": mid * 0.99, "hi": mid * 1.01, "n": 4}
            metrics["joules_per_unit_absolute"] = None
            serve["metrics"]["tpot_s"]["p99"] = tpot_s

        return changed(two[1], change)

    return [at(4, 200, 0.02, None), at(64, 900, 0.08, None), at(32, 700, 0.045, 0.0123)]


def test_each_card_stands_at_its_best_point_under_the_bound(
    compared: Called, tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    runs = [two[0], *points(two, changed)]
    for bound, batch in (("50ms", 32), ("35ms", 4), ("0.1s", 64)):
        rows = tables(*runs, "--best-under", f"TPOT={bound}")["serve"]
        assert [row["config"]["batch"] for row in rows] == [214, batch]
    rows = tables(*runs, "--best-under", "TPOT=30ms")["serve"]
    assert [row["standing"] for row in rows] == ["baseline", "not ranked"]
    assert rows[1]["why"] == ["TPOT p99 32.4 ms is above 30 ms"]
    _, shown, _ = compared(*runs)
    assert "0.0123" in shown
    assert "KL: mean KL(bf16 ‖ the rung)" in shown
    assert "4 runs of 2 cards" in shown


def test_a_card_above_the_bound_is_shown_and_not_ranked(
    tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    row = tables(two[0], points(two, changed)[1])["serve"][1]
    assert (row["standing"], row["joules_ratio"]) == ("not ranked", None)
    assert row["why"] == ["TPOT p99 80 ms is above 50 ms"]


def test_like_for_like_takes_the_baselines_point(
    tables: Any, two: tuple[Path, Path], changed: Changed
) -> None:
    alike = changed(two[1], lambda r: r["workloads"][1]["config"].update(batch=214))
    runs = [two[0], *points(two, changed), alike]
    rows = tables(*runs, "--like-for-like")["serve"]
    assert [row["config"]["batch"] for row in rows] == [214, 214]
    assert rows[1]["standing"] == "comparable"
    (_, other) = tables(*runs[:2], "--like-for-like")["serve"]
    assert other["why"] == ["its precision or batch is another"]


def test_a_bad_file_is_one_line_and_the_rest_is_shown(
    compared: Called, two: tuple[Path, Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    status, shown, _ = compared(two[0], bad, two[1])
    assert status == 8
    assert shown.count(f"unreadable: {bad}") == 1
    assert "sim:rtx4090" in shown
    assert compared(bad)[0] == 8


def test_json_alone_on_stdout_and_strict_on_old_prices(
    compared: Called, two: tuple[Path, Path]
) -> None:
    status, out, err = compared(*two, "--json", "-")
    assert status == 0
    assert json.loads(out)["schema"] == "joulemark/compare/1"
    assert "STALE" in err
    assert compared(*two, "--strict")[0] == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--like-for-like", "--best-under", "TPOT=50ms"], "choose one of them"),
        (["--best-under", "50"], "write it as TPOT=50ms"),
        (["--market", "nowhere"], "default"),
        (["--set", "token=-1"], "token"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(
    compared: Called, two: tuple[Path, Path], arguments: list[str], said: str
) -> None:
    status, _, err = compared(*two, *arguments)
    assert status == 2
    assert err.count("\n") == 1
    assert said in err
