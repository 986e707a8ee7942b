"""``bench sweep`` on a simulated card, and the arithmetic of curtailing by hand. About 10 s."""

import csv
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bench.catalogue import load_gpu
from bench.cli import run
from bench.cli.sweeping import MOST_LIMITS, parse_limits
from bench.economics.flexible import Earned, curtailing, curves
from bench.records.decision import Money
from bench.records.run import Estimate
from bench.report.sheet import caption
from bench.report.sweep import energy, money, point_lines
from bench.simulate import SimulatedDevice, card_of, limit_range_w, limited
from bench.simulate.limit import EXPONENT, clock_share
from bench.store import load, to_object

SIM = ("sweep", "--device", "sim:h100", "--grade", "quick", "--seed", "1")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A whole sweep in odd order: its folder, which holds sweep.json and the tables."""
    place = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        files = ["--json", place / "sweep.json", "--csv", place / "t.csv", "--markdown",
                 place / "t.md", "--out", place / "results"]  # fmt: skip
        assert run([*SIM, "--power-limit", "500,300,700", *map(str, files)]) == 0
    return place


@pytest.fixture(scope="module")
def records(swept):
    """(limit, record) in the order they were measured."""
    document = json.loads((swept / "sweep.json").read_text())
    return [
        (point["limit_w"], load(swept / "results" / point["record"]))
        for point in document["points"]
    ]


@pytest.fixture
def refused(capsys, tmp_path):
    """Runs a sweep that is refused: (status, stderr)."""

    def refused(*arguments):
        status = run([*SIM, "--out", str(tmp_path / "results"), *arguments])
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert not (tmp_path / "results").exists()
        return status, err

    return refused


# The whole way


def test_each_limit_is_an_ordinary_run_whose_truth_follows_the_limit(records):
    assert [limit_w for limit_w, _ in records] == [500.0, 300.0, 700.0]
    card, device = card_of(load_gpu("h100")), records[-1][1].device
    card = replace(card, truth=device.truth)  # 700 W hold nothing back
    assert set(device.truth) == {"sha256d", "serve", "serve.prefill", "serve.decode"}
    for limit_w, record in records:
        assert record.device.power_limit_w == limit_w
        assert record.device.power_limit_default_w == 700.0
        assert record.device.truth == limited(card, limit_w).truth
        names = {code.name for code in record.validity.codes}
        assert record.validity.status == "labelled"
        assert "SIMULATED" in names
        assert ("LIMIT_NOT_DEFAULT" in names) == (limit_w != 700.0)
        assert ("POWER_CAPPED" in names) == (limit_w < 560.0)
        assert "LIMIT_CHANGED" not in names
        for workload in record.workloads:
            true = record.device.truth[workload.name]
            assert workload.metrics.units_per_s.mid == pytest.approx(true.units_per_s, rel=0.01)
            absolute = workload.metrics.joules_per_unit_absolute
            assert absolute.lo <= true.joules_per_unit <= absolute.hi


def test_the_stored_runs_can_be_verified(swept, capsys):
    files = map(str, (swept / "results").glob("*.json"))
    assert run(["verify", *files]) == 0
    assert capsys.readouterr().out.count("verified: ") == 3


def test_the_document_holds_what_the_records_say(swept, records):
    document = json.loads((swept / "sweep.json").read_text())
    assert document["schema"] == "joulemark/sweep/1"
    assert document["limits_w"] == [500.0, 300.0, 700.0]
    assert document["limit_restored"] is None
    assert [point["exit_status"] for point in document["points"]] == [0, 0, 0]
    by_limit = dict(records)
    for curve in document["workloads"]:
        assert [point["limit_w"] for point in curve["points"]] == [300.0, 500.0, 700.0]
        for point in curve["points"]:
            record = to_object(by_limit[point["limit_w"]])
            (known,) = [w for w in record["workloads"] if w["name"] == curve["workload"]]
            assert point["joules_per_unit"] == known["metrics"]["joules_per_unit"]
            assert point["units_per_s"] == known["metrics"]["units_per_s"]


def test_the_paid_power_is_that_of_the_verdict(records):
    """Board to facility by the option's own factors, idle in the hours that earn nothing."""
    for curve in curves(records):
        for point in curve.points:
            record = dict(records)[point.limit_w]
            use = {"hash": "MINE", "token": "SERVE"}[curve.unit]
            (option,) = [o for o in record.verdict.options if o.code == use]
            kwh_usd = point.earned.usd_per_kwh - point.earned.usd_per_kwh_net
            assert kwh_usd == pytest.approx(record.market.power_usd_per_j.value * 3.6e6)
            if curve.utilisation == 1.0:
                (workload,) = [w for w in record.workloads if w.name == curve.workload]
                metrics = workload.metrics
                watts = metrics.joules_per_unit_absolute.mid * metrics.units_per_s.mid
                paid_w = watts * option.wall_factor * option.pue
                assert point.earned.mean_w == pytest.approx(paid_w, rel=1e-9)


def test_the_tables_have_one_boundary_each_and_files_hold_them_all(swept, records):
    for curve in curves(records):
        joules, usd = energy(curve, "sim:h100"), money(curve, "sim:h100")
        assert joules.boundary == "board"
        assert usd.boundary == "facility"
        assert not any("USD" in str(column.unit) for column in joules.columns)
        assert not any("J/" in str(column.unit) for column in usd.columns)
        for text in ((swept / "t.csv").read_text(), (swept / "t.md").read_text().replace("\\", "")):
            assert caption(joules) in text
            assert caption(usd) in text
    with (swept / "t.csv").open() as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    assert [row[0] for row in rows if row[0][0].isdigit()] == ["300", "500", "700"] * 4


def test_a_plan_of_all_limits_measures_nothing(capsys, tmp_path):
    out = tmp_path / "results"
    asked = [*SIM, "--power-limit", "300,700", "--dry-run", "--json", "-", "--out", str(out)]
    assert run(asked) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["limits_w"] == [300.0, 700.0]
    assert {step["name"] for step in plan["steps"]} >= {"idle", "block"}
    assert not out.exists()


def test_the_documentation_shows_what_the_command_prints(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text(encoding="utf-8")
    command, shown = re.findall(r"```\n(.*?)\n```", page, re.DOTALL)[1:3]
    assert run([*shlex.split(command)[1:], "--out", str(tmp_path)]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    missing = [line for line in shown.splitlines() if line.split() not in printed]
    assert missing == []


# What goes wrong


@pytest.mark.parametrize(
    ("fault", "points", "status"), [("xid", 2, 9), ("lost", 1, 6)], ids=["invalid", "lost"]
)
def test_a_failed_point_is_recorded_and_the_sweep_goes_on_where_it_can(
    tmp_path, capsys, fault, points, status
):
    found = tmp_path / "sweep.json"
    asked = [*SIM, "--power-limit", "300,700", "--sim-fault", fault, "--json", str(found)]
    assert run([*asked, "--out", str(tmp_path)]) == status
    document = json.loads(found.read_text())
    assert [point["exit_status"] for point in document["points"]] == [status] * points
    assert [point["run"] for point in document["points"]] == ["invalid"] * points
    assert all(curve["thriftiest_w"] is None for curve in document["workloads"])
    out = capsys.readouterr().out
    assert "FATAL" in out
    assert "Thriftiest: unknown" in out
    assert "No money: the run is invalid." in out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "give at least one limit"),
        ("watts", "watts is no power limit"),
        ("300,,500", "nothing is no power limit"),
        ("0", "0 is no power limit"),
        ("-300", "-300 is no power limit"),
        ("nan", "nan is no power limit"),
        ("1e999", "1e999 is no power limit"),
        ("300,300.0", "300 W is given twice"),
        (",".join(["300"] * (MOST_LIMITS + 1)), f"give at most {MOST_LIMITS} limits, not 33"),
        ("209", "209 W is out of range"),
        ("300,701", "701 W is out of range"),
    ],
)
def test_limits_that_cannot_be_meant(refused, given, says):
    status, err = refused("--power-limit", given)
    assert status == 2
    assert says in err
    assert "sim:h100 takes 210 to 700 W" in err
    assert len(err) < 300


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--power-limit", "300", "--grade", "publish"), 2, "the card's default limit of 700 W"),
        (("--power-limit", "300", "--wait-limit", "0"), 2, "--wait-limit 0"),
        (("--power-limit", "300", "--wait-limit", "nan"), 2, "--wait-limit nan"),
        (("--power-limit", "300", "--csv", "/nowhere/t.csv"), 7, "--csv /nowhere/t.csv"),
        (("--power-limit", "300", "--device", "cpu"), 2, "a processor's limit"),
    ],
)
def test_options_that_cannot_be_meant(refused, arguments, status, says):
    found, err = refused(*arguments)
    assert found == status
    assert says in err


def test_nonsense_is_a_usage_error_where_there_is_no_card_too(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert run(["sweep", "--power-limit", "much"]) == 2
    assert "much is no power limit; use watts" in capsys.readouterr().err
    assert run(["sweep", "--power-limit", "300"]) == 3
    assert "no power limit to sweep" in capsys.readouterr().err


def test_limits_are_read_in_order():
    assert parse_limits(" 300, 250.5 ,700") == (300.0, 250.5, 700.0)


# The arithmetic


def test_curtailing_by_hand():
    """700 → 500 W at the facility saves 0.2 kW: 0.30 USD/h gross, 0.28 net of 0.10 USD/kWh."""
    best = Earned(700.0, 1.00, 0.93, 1.00 / 0.7, 1.00 / 0.7 - 0.1)
    less = Earned(500.0, 0.70, 0.65, 1.40, 1.30)
    found = curtailing(best, less)
    assert found.usd_per_mwh == pytest.approx(1400.0)
    assert found.strike_usd_per_mwh == pytest.approx(1500.0)
    assert curtailing(best, replace(less, mean_w=700.0)) is None
    assert curtailing(best, replace(less, mean_w=701.0)) is None


def priced(record, *, per_h, kw, joules, status="valid"):
    """A run of the simulated card with other figures for its tokens, at 0.10 USD/kWh."""

    def flat(number):
        return Money(number, number, number, number)

    options = tuple(
        replace(
            option,
            usd_per_device_h=flat(per_h),
            usd_per_device_h_net=flat(per_h - 0.1 * kw),
            usd_per_kwh=flat(per_h / kw),
            usd_per_kwh_net=flat(per_h / kw - 0.1),
        )
        for option in record.verdict.options
        if option.code == "SERVE"
    )
    (served,) = [workload for workload in record.workloads if workload.name == "serve"]
    own = Estimate(joules, joules - 0.001, joules + 0.001, 8)
    served = replace(served, metrics=replace(served.metrics, joules_per_unit=own))
    return replace(
        record,
        workloads=(served,),
        verdict=replace(record.verdict, options=options),
        validity=replace(record.validity, status=status),
    )


@pytest.fixture
def curve(records):
    """Tokens: 200 W is invalid, 300 W the best per kWh, 500 W per hour; 400 W as thrifty as 300."""
    record = records[0][1]
    runs = [
        (700.0, priced(record, per_h=1.01, kw=0.9, joules=0.100)),
        (200.0, priced(record, per_h=9.99, kw=0.1, joules=0.001, status="invalid")),
        (500.0, priced(record, per_h=1.00, kw=0.7, joules=0.080)),
        (300.0, priced(record, per_h=0.76, kw=0.4, joules=0.060)),
        (400.0, priced(record, per_h=0.90, kw=0.6, joules=0.0615)),
    ]
    (found,) = curves(runs)
    return found


def test_the_best_limits_and_what_each_lower_one_costs(curve):
    assert [point.limit_w for point in curve.points] == [200.0, 300.0, 400.0, 500.0, 700.0]
    assert curve.thriftiest_w == 300.0
    assert curve.alike_w == (400.0,)
    assert curve.best_per_h_w == 500.0  # 0.93 net, against 0.92 at 700 W
    assert curve.best_per_kwh_w == 300.0  # 1.90, against 1.50 at 400 W
    costs = {point.limit_w: point.curtailing for point in curve.points}
    assert {limit_w for limit_w, cost in costs.items() if cost} == {300.0, 400.0}
    assert costs[300.0].strike_usd_per_mwh == pytest.approx(0.24 / 0.3 * 1000)
    assert costs[300.0].usd_per_mwh == pytest.approx(0.21 / 0.3 * 1000)
    assert costs[400.0].strike_usd_per_mwh == pytest.approx(0.10 / 0.1 * 1000)
    assert costs[400.0].usd_per_mwh == pytest.approx(0.09 / 0.1 * 1000)


def test_the_tables_show_it(curve):
    joules, usd = energy(curve, "a card"), money(curve, "a card")
    assert joules.notes == (
        "Thriftiest: 300 W, 60.0 mJ/token; not to be told from 400 W (their 95 % intervals"
        " overlap).",
    )
    by_limit = {row[0]: row for row in usd.rows}
    assert by_limit[300][1:7] == pytest.approx((400.0, 0.76, 0.72, 1.90, 700.0, 800.0))
    assert by_limit[500][5:7] == (None, None)
    assert by_limit[200][-1] == "invalid"
    assert usd.notes[0] == (
        "Best per hour: 500 W, $0.930/h net of power. Best per kWh: 300 W, $1.90/kWh."
    )
    assert usd.notes[-1].startswith("From 500 W down, “curtailed” is what each MWh")


def test_tokens_without_a_price_have_joules_and_no_money(records):
    record = records[0][1]
    bare = replace(
        record.verdict,
        options=tuple(
            replace(o, usd_per_device_h=None, usd_per_kwh=None, reason="no price")
            for o in record.verdict.options
        ),
    )
    for curve in curves([(500.0, replace(record, verdict=bare))]):
        assert curve.thriftiest_w == 500.0
        assert (curve.best_per_h_w, curve.best_per_kwh_w) == (None, None)
        assert money(curve, "a card").notes == ("No money: no price.",)


def test_a_use_that_earns_nothing_has_no_money(records):
    (found,) = curves([(500.0, priced(records[0][1], per_h=0.0, kw=0.7, joules=0.08))])
    assert found.points[0].earned is None
    assert money(found, "a card").notes == ("No money: it earns nothing in this market.",)


def test_tables_that_cannot_be_written_cost_nothing_else(capsys, tmp_path):
    found = tmp_path / "sweep.json"
    asked = ["--power-limit", "300", "--json", str(found), "--csv", "/dev/full"]
    assert run([*SIM, *asked, "--out", str(tmp_path)]) == 7
    assert "cannot write /dev/full" in capsys.readouterr().err
    assert len(json.loads(found.read_text())["points"]) == 1


def test_a_limit_with_nothing_measured_has_its_line(records):
    empty = replace(records[0][1], workloads=())
    assert any("500 W: nothing was measured" in line for line in point_lines(500.0, empty))
    assert curves([(500.0, empty)]) == ()


# The simulated limit


def test_a_simulated_card_slows_to_just_its_limit():
    card = card_of(load_gpu("h100"))
    assert limit_range_w(card) == (210.0, 700.0)
    held = limited(card, 300.0)
    assert held.load_w("sha256d") == pytest.approx(300.0)
    assert held.load_w("decode") == pytest.approx(300.0)
    share = ((300.0 - 70.0) / (480.0 - 70.0)) ** (1 / EXPONENT)
    assert clock_share(card, "sha256d", 300.0) == pytest.approx(share)
    assert held.truth["sha256d"].units_per_s == pytest.approx(
        share * card.truth["sha256d"].units_per_s
    )
    lost = {name: held.truth[name].units_per_s / known.units_per_s
            for name, known in card.truth.items()}  # fmt: skip
    assert lost["sha256d"] < lost["decode"] < 1.0
    assert limited(card, 640.0).truth == card.truth
    for watts in (209.0, 701.0):
        with pytest.raises(ValueError, match="takes a limit of 210 to 700 W"):
            limited(card, watts)


def test_a_limited_card_shows_its_clock_and_counts_the_time_it_is_held_back():
    card = limited(card_of(load_gpu("h100")), 300.0)
    device = SimulatedDevice(card, seed=1)
    device.load(10.0, "sha256d")
    device.idle(30.0)
    assert device.clock_hz(20.0) == pytest.approx(1.98e9 * card.slowed["sha256d"], abs=15e6)
    assert device.held_back_s("power-cap", 40.0) == pytest.approx(20.0)
    assert device.held_back_s("throttle", 40.0) == 0.0
    assert device.energy_j(30.0) - device.energy_j(10.0) == pytest.approx(300.0 * 20.0)
    assert device.temperature_c(29.9) < 30 + 40 * 300 / 700 + 1
