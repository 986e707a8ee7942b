"""Two instruments as one: the main one's run, the host's energy beside it."""

import pytest

from bench.meters import open_meter, rapl
from bench.meters.beside import Beside
from bench.ports import MeterError
from bench.records.journal import ClockPair, Event, Sample
from bench.records.run import MeterFacts


class Played:
    """A meter that says what it is told to; an exception is raised instead."""

    pid = 41

    def __init__(self, *said, source="nvml-counter"):
        self.said = list(said)
        self.source = source
        self.calls = []

    def facts(self):
        return MeterFacts(source=self.source, name=self.source)

    def start(self):
        self.calls.append("start")

    def pace(self, period_s):
        self.calls.append(("pace", period_s))

    def survey(self):
        self.calls.append("survey")

    def poll(self):
        turn = self.said.pop(0) if self.said else []
        if isinstance(turn, Exception):
            raise turn
        return turn

    def stop(self):
        self.calls.append("stop")


def lost(facts):
    return [f.data["reason"] for f in facts if isinstance(f, Event) and f.name == "host_meter_lost"]


def test_the_hosts_energy_is_renamed_and_the_rest_of_it_left_out():
    main = Played([Sample(1.0, "energy_j", 5.0), ClockPair(3.0, 3.0, 3.0)])
    host = Played(
        [
            ClockPair(0.0, 0.0, 0.0),
            Sample(0.5, "energy_j", 7.0),
            Sample(2.0, "dram_energy_j", 1.0),
            Event(2.5, "meter_tally", {}),
        ],
        source="rapl",
    )
    both = Beside(main, host)
    both.start()
    assert both.poll() == [
        Sample(0.5, "host_energy_j", 7.0),
        Sample(1.0, "energy_j", 5.0),
        Sample(2.0, "dram_energy_j", 1.0),
        ClockPair(3.0, 3.0, 3.0),
    ]
    assert (both.facts().source, both.pid) == ("nvml-counter", 41)


def test_orders_are_the_main_instruments_and_never_is_both():
    main, host = Played(), Played()
    both = Beside(main, host)
    both.start()
    both.survey()
    both.pace(0.0015)
    both.pace(0.0)
    both.stop()
    assert main.calls == ["start", "survey", ("pace", 0.0015), ("pace", 0.0), "stop"]
    assert host.calls == ["start", ("pace", None), ("pace", 0.0), "stop"]


@pytest.mark.parametrize(
    "trouble",
    [
        MeterError("the counter went"),
        [Event(2.0, "meter_trouble", {"code": "NO_ENERGY", "text": "the counter went"})],
    ],
)
def test_the_hosts_trouble_is_told_once_and_ends_there(trouble):
    main = Played(*[[Sample(float(t), "energy_j", 1.0)] for t in range(3)])
    host = Played([], trouble, [Sample(9.0, "energy_j", 1.0)])
    both = Beside(main, host)
    assert lost(both.poll()) == []
    told = both.poll()
    assert lost(told) == ["the counter went"]
    assert not any(isinstance(f, Event) and f.name == "meter_trouble" for f in told)
    assert list(both.poll()) == [Sample(2.0, "energy_j", 1.0)]
    assert host.calls == ["stop"]


def test_without_a_host_meter_the_reason_is_told_once():
    both = Beside(Played([], []), None, "root alone may read it")
    both.start()
    assert lost(both.poll()) == ["root alone may read it"]
    assert lost(both.poll()) == []


def test_the_main_instruments_trouble_is_the_runs():
    both = Beside(Played(MeterError("gone")), Played())
    with pytest.raises(MeterError, match="gone"):
        both.poll()


def test_a_gpus_run_reads_the_host_too(fake_gpu, gpu, tmp_path, monkeypatch, polled):
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in [("name", "package-0"), ("max_energy_range_uj", "9"), ("energy_uj", "1")]:
        (zone / name).write_text(text)
    monkeypatch.setattr(rapl, "ROOT", tmp_path)
    fake_gpu()
    meter = open_meter("nvml:0", gpu, lambda name: pytest.fail(f"asked for {name}"))
    meter.start()

    def both(facts):
        return {"energy_j", "host_energy_j"} <= {f.field for f in facts if isinstance(f, Sample)}

    facts = polled(meter, 5.0, both)
    meter.stop()
    assert both(facts)
    assert lost(facts) == []
    assert meter.facts().source == "nvml-counter"


def test_a_gpus_run_without_rapl_says_why(fake_gpu, gpu, tmp_path, monkeypatch, polled):
    monkeypatch.setattr(rapl, "ROOT", tmp_path)
    fake_gpu()
    meter = open_meter("auto", gpu, lambda name: pytest.fail(f"asked for {name}"))
    meter.start()
    facts = polled(meter, 5.0, lambda facts: bool(lost(facts)))
    meter.stop()
    assert "no energy counter" in lost(facts)[0]
