"""Objects back to nouns: the way back from asdict and JSON, and every wrong shape by its field."""

import json
import math
import re
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.decode import from_object
from bench.records.journal import Sample, Share, Span
from bench.records.record import Plan, Profiles, RunRecord, Step
from bench.records.run import (
    Calibration,
    DeviceFacts,
    Estimate,
    MeterFacts,
    SensorFacts,
    Truth,
    WorkloadFacts,
)

SENSOR = SensorFacts(0.1, 0.025, 0.0, 0.25, "gpu", None, "part-time")
NOUNS = [
    Sample(1.0, "energy_j", 5.0, 0.9),
    Span("block", "sha256d", 0.0, 1.0),
    Share("00" * 80, 3, 255),
    DeviceFacts("sim", "card", features=("a", "b"), truth={"sha256d": Truth(1e-9, 5.0)}),
    DeviceFacts("gpu", "card", nvml_library={"path": "/x", "deep": [1, {"a": None}]}, mig=False),
    MeterFacts(
        "nvml-counter",
        "nvml:0",
        sensor=SENSOR,
        calibration=Calibration(
            SENSOR, "power_w", "2026-11-22", 0.01, 300.0, None, plot=((0.0, 1.0, 2.0),)
        ),
    ),
    WorkloadFacts("decode", "torch", "token", "T0", {"batch": 8}, sources={"a.py": "00"}),
    Plan(
        "quick", 1, 4, 2.5, 0.5, "8b", "default", ("btc=1",), "auto",
        (Step("idle", None, 5.0), Step("block", "sha256d", 2.5, 0.5, 0.05)),
    ),
]  # fmt: skip


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: type(noun).__name__)
def test_the_way_back_from_asdict_and_from_json(noun):
    data = asdict(noun)
    assert from_object(type(noun), data) == noun
    assert from_object(type(noun), json.loads(json.dumps(data))) == noun


@pytest.mark.parametrize("cls", [RunRecord, Profiles])
def test_every_noun_of_a_record_can_be_read(cls):
    with pytest.raises(ValueError, match="is missing"):
        from_object(cls, {})


PLAN = json.loads(json.dumps(asdict(NOUNS[-1])))


@pytest.mark.parametrize(
    ("cls", "data", "said"),
    [
        (DeviceFacts, [], "is not an object"),
        (DeviceFacts, {"kind": "gpu"}, "name is missing"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "nam": 1}, "nam is not a known field"),
        (DeviceFacts, {"kind": "toaster", "name": "x"}, "kind is none of gpu, cpu, sim"),
        (DeviceFacts, {"kind": ["gpu"], "name": "x"}, "kind is none of"),
        (DeviceFacts, {"kind": "gpu", "name": 5}, "name is not a text"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "mig": 1}, "mig is neither true nor false"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "index": True}, "index is not a whole number"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "index": 1.0}, "index is not a whole number"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "features": "ab"}, "features is not a list"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "features": ["a", 2]}, "features[1] is not"),
        (DeviceFacts, {"kind": "gpu", "name": "x", "truth": {"a": {}}}, "truth.a."),
        (Sample, {"t_s": math.nan, "field": "power_w", "value": 1}, "t_s is not a finite number"),
        (Sample, {"t_s": 10**400, "field": "power_w", "value": 1}, "t_s is not a finite number"),
        (Sample, {"t_s": True, "field": "power_w", "value": 1}, "t_s is not a finite number"),
        (Estimate, {"mid": 2.0, "lo": 3.0, "hi": 4.0, "n": 2}, "an interval must hold its middle"),
        (Plan, {**PLAN, "steps": [*PLAN["steps"], {}]}, "steps[2]."),
    ],
)
def test_a_wrong_shape_is_named_by_its_field(cls, data, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        from_object(cls, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DEVICE = asdict(NOUNS[3])


@given(st.dictionaries(st.sampled_from(sorted(DEVICE)), JSON, max_size=4))
def test_whatever_stands_in_a_field_it_is_that_noun_or_a_value_error(changes):
    try:
        noun = from_object(DeviceFacts, {**DEVICE, **changes})
    except ValueError as error:
        assert str(error).startswith(tuple(changes))  # noqa: PT017 - either outcome is right
    else:
        assert json.loads(json.dumps(asdict(noun))) == json.loads(json.dumps({**DEVICE, **changes}))
