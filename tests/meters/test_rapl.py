import errno

import pytest

from bench.meters.process import ProcessMeter
from bench.meters.rapl import RaplSensor, read_text
from bench.meters.sampling import MeterLost, Missing, TransientError
from bench.ports import MeterError
from bench.records.journal import Sample

RANGE_UJ = 262_143_328_850


def zone(root, folder, name, energy_uj, range_uj=RANGE_UJ):
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


def joules(sensor, field="energy_j"):
    (value,) = [reading.value for reading in sensor.read(slow=True) if reading.field == field]
    return value


def refusing(name, error):
    """Reads the tree, but raises ``error`` at files of this name below a folder of this name."""
    folder, file = name

    def read(path):
        if path.name == file and path.parent.name == folder:
            raise error
        return read_text(path)

    return read


def test_energy_counts_from_the_opening(tmp_path):
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    sensor = RaplSensor(tmp_path)
    assert joules(sensor) == 0.0
    counter.write_text("7500000")
    assert joules(sensor) == 2.5


def test_sockets_are_summed_and_each_wraps_at_its_own_range(tmp_path):
    one = zone(tmp_path, "intel-rapl:0", "package-0", 90_000_000, range_uj=100_000_000)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 10_000_000)
    sensor = RaplSensor(tmp_path)
    one.write_text("4000000")  # 10 J to the range, 4 J after it
    two.write_text("11000000")
    assert joules(sensor) == 15.0
    one.write_text("99000000")
    assert joules(sensor) == 110.0
    one.write_text("1000000")
    assert joules(sensor) == 112.0
    assert sensor.facts().name == "RAPL, 2 packages"


def test_parts_of_a_package_psys_and_the_mmio_twin_are_not_counted_twice(tmp_path):
    counters = [
        zone(tmp_path, "intel-rapl:1", "psys", 0),
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:0/intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    package = tmp_path / "intel-rapl:0"
    for name, text in [("name", "package-0"), ("max_energy_range_uj", "100"), ("energy_uj", "0")]:
        (package / name).write_text(text)
    (tmp_path / "intel-rapl").mkdir()
    sensor = RaplSensor(tmp_path)
    for counter in counters:
        counter.write_text("1000000")
    assert joules(sensor) == 0.0


def test_dies_of_one_package_are_all_counted(tmp_path):
    counters = [zone(tmp_path, f"intel-rapl:{die}", f"package-0-die-{die}", 0) for die in range(2)]
    sensor = RaplSensor(tmp_path)
    for counter in counters:
        counter.write_text("1000000")
    assert joules(sensor) == 2.0


def test_memory_of_all_sockets_is_counted_beside_and_wraps_at_its_own_range(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, "intel-rapl:1", "package-1", 0)
    zone(tmp_path, "intel-rapl:2", "psys", 0)
    one = zone(tmp_path, "intel-rapl:0:1", "dram", 65_000_000, range_uj=65_700_000)
    two = zone(tmp_path, "intel-rapl:1:0", "dram", 0)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:1:1", "uncore", 0),
        zone(tmp_path, "intel-rapl:2:0", "dram", 0),
    ]
    sensor = RaplSensor(tmp_path)
    assert sensor.facts().capabilities == ("energy_j", "dram_energy_j")
    for counter in others:
        counter.write_text("9000000")
    one.write_text("300000")  # 0.7 J to the range, 0.3 J after it
    two.write_text("2000000")
    assert (joules(sensor), joules(sensor, "dram_energy_j")) == (0.0, 3.0)


def test_memory_that_is_not_counted_or_not_readable_is_no_reason_to_refuse(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    facts = RaplSensor(tmp_path).facts()
    assert facts.capabilities == ("energy_j",)
    assert "does not count its memory" in facts.reason
    zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    denied = PermissionError(errno.EACCES, "Permission denied")
    sensor = RaplSensor(tmp_path, refusing(("intel-rapl:0:0", "energy_uj"), denied))
    package.write_text("1000000")
    assert joules(sensor) == 1.0
    assert "cannot be read" in sensor.facts().reason


def test_a_memory_counter_that_goes_takes_nothing_with_it(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    memory = zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    sensor = RaplSensor(tmp_path)
    memory.write_text("")
    assert [reading.field for reading in sensor.read(slow=False)] == ["energy_j"]
    memory.unlink()
    package.write_text("1000000")
    energy, missing = sensor.read(slow=False)
    assert energy.value == 1.0
    assert isinstance(missing, Missing)
    assert (missing.field, "lost" in missing.reason) == ("dram_energy_j", True)
    assert [reading.field for reading in sensor.read(slow=False)] == ["energy_j"]


def test_of_two_sockets_one_that_goes_ends_the_sum(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    sensor = RaplSensor(tmp_path)
    two.unlink()
    with pytest.raises(MeterLost) as caught:
        sensor.read(slow=False)
    assert caught.value.code == "NO_ENERGY"


def test_facts(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    facts = RaplSensor(tmp_path).facts()
    assert (facts.source, facts.scope, facts.capabilities) == ("rapl", "package", ("energy_j",))


def test_an_unreadable_counter_is_refused_without_advice_to_open_it_to_all(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)

    def read(path):
        if path.name == "energy_uj":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read_text(path)

    with pytest.raises(MeterError, match="root") as caught:
        RaplSensor(tmp_path, read)
    text = str(caught.value)
    assert "energy_uj" in text
    assert "group" in text
    assert "chmod" not in text


@pytest.mark.parametrize("present", [True, False])
def test_a_machine_without_rapl_is_refused_with_the_reason(tmp_path, present):
    root = tmp_path / "powercap"
    if present:
        root.mkdir()
    with pytest.raises(MeterError, match="no energy counter"):
        RaplSensor(root)


@pytest.mark.parametrize("text", ["", "many"])
def test_a_counter_that_is_no_number_is_refused(tmp_path, text):
    zone(tmp_path, "intel-rapl:0", "package-0", text)
    with pytest.raises(MeterError, match="cannot be read"):
        RaplSensor(tmp_path)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (BlockingIOError(errno.EAGAIN, "again"), TransientError),
        (InterruptedError(errno.EINTR, "interrupted"), TransientError),
        (FileNotFoundError(errno.ENOENT, "gone"), MeterLost),
        (PermissionError(errno.EACCES, "denied"), MeterLost),
        (OSError(errno.EIO, "input/output error"), MeterLost),
    ],
)
def test_a_failure_in_a_run_is_sorted(tmp_path, failure, kind):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    failing = []

    def read(path):
        if failing:
            raise failing.pop()
        return read_text(path)

    sensor = RaplSensor(tmp_path, read)
    failing.append(failure)
    with pytest.raises(kind):
        sensor.read(slow=False)


def test_a_failed_tick_leaves_every_package_as_it_was(tmp_path):
    one = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    sensor = RaplSensor(tmp_path)
    one.write_text("1000000")
    two.write_text("")
    with pytest.raises(TransientError):
        sensor.read(slow=False)
    two.write_text("1000000")
    assert joules(sensor) == 2.0


def test_rapl_in_a_process_of_its_own(tmp_path, cpu, gpu, polled):
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    meter = ProcessMeter("rapl", str(tmp_path), cpu)
    assert not meter.facts().mismatch
    meter.start()
    facts = polled(meter, 5.0, lambda facts: any(isinstance(f, Sample) for f in facts))
    counter.write_text("4000000")
    facts += polled(meter, 5.0, lambda facts: any(isinstance(f, Sample) for f in facts))
    meter.stop()
    assert [fact.value for fact in facts if isinstance(fact, Sample)] == [0.0, 3.0]
    other = ProcessMeter("rapl", str(tmp_path), gpu)
    assert other.facts().mismatch
    other.stop()
