"""Broken files meet the readers: a record, a BadRecord, and never anything else."""

import contextlib
import json
import random
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cli.verifying import verify
from bench.records.journal import from_line
from bench.store import BadRecord, load, load_journal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
again = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
seldom = settings(again, max_examples=40)


def read(path):
    """Both readers; anything but a BadRecord of one line is a failure."""
    for reader in (load, load_journal):
        try:
            reader(path)
        except BadRecord as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@given(st.binary(max_size=4096))
@again
def test_random_bytes(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    read(path)


@given(st.randoms(use_true_random=False))
@again
def test_flipped_and_cut_bytes(seed_files, tmp_path, chance):
    for source in seed_files:
        data = bytearray(source.read_bytes()[: 1 << 16])
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / "x.json"
        path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
        read(path)


def places(found, path=()):
    """Every place of a document, leaves and branches."""
    yield path
    if isinstance(found, (dict, list)):
        for name, each in found.items() if isinstance(found, dict) else enumerate(found):
            yield from places(each, (*path, name))


def graft(document, chance, value):
    """Put ``value`` at a random place below the root."""
    *way, last = chance.choice([path for path in places(document) if path])
    for step in way:
        document = document[step]
    document[last] = value


@given(st.randoms(use_true_random=False), JSON)
@again
def test_any_value_at_any_place_of_a_record(seed_files, tmp_path, chance, value):
    document = json.loads(seed_files[0].read_text())
    graft(document, chance, value)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    read(path)


@given(st.dictionaries(st.sampled_from(["kind", "t_s", "field", "value", "data", "x"]), JSON))
@again
def test_any_object_as_a_fact(line):
    with contextlib.suppress(ValueError):
        from_line(line)


NUMBERS = (0, -1, 1e-300, 1e300, -1e300, 2**63, 0.5)


@given(st.randoms(use_true_random=False))
@seldom
def test_a_record_that_reads_but_makes_no_sense_is_still_answered(seed_files, tmp_path, chance):
    """Numbers that no market, sensor or clock gives, in record and journal, through verify."""
    record, journal = seed_files
    document = json.loads(record.read_text())
    for _ in range(2):
        numbers = [path for path in places(document["market"]) if path and path[-1] == "value"]
        *way, last = chance.choice(numbers)
        holder = document["market"]
        for step in way:
            holder = holder[step]
        holder.update({last: chance.choice(NUMBERS), "low": None, "high": None})
    lines = journal.read_text().splitlines()
    for _ in range(3):
        k = chance.randrange(len(lines))
        fact = json.loads(lines[k])
        graft(fact, chance, chance.choice([*NUMBERS, "x", None, [], {}]))
        lines[k] = json.dumps(fact)
    if chance.random() < 0.5:
        del lines[chance.randrange(len(lines)) :]
    copy = tmp_path / record.name
    copy.write_text(json.dumps(document))
    (tmp_path / journal.name).write_text("".join(f"{line}\n" for line in lines))
    assert verify(copy).status in {"different", "unreadable"}


@pytest.mark.parametrize("seed", range(20))
def test_events_of_any_shape_are_still_answered(seed_files, tmp_path, seed):
    """Well-typed facts whose events hold something else than their names promise."""
    record, journal = seed_files
    chance = random.Random(seed)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    names = [line["name"] for line in lines if line["kind"] == "event"]
    names += ["processes", "xid", "meter_trouble", "meter_lost", "meter_tally", "load", "failed"]
    for _ in range(3):
        data = chance.choice([{}, {"pids": "x"}, {"code": []}, {"level": "x"}, {"workload": 5}])
        fact = {"kind": "event", "t_s": 1.0, "name": chance.choice(names), "data": data}
        lines.insert(chance.randrange(1, len(lines)), fact)
    shutil.copy(record, tmp_path)
    (tmp_path / journal.name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert verify(tmp_path / record.name).status in {"different", "unreadable"}
