"""The power limit itself through nvidia-ml-py and our library. About 6 s."""

import pytest

UUID = "GPU-fa4e0000-0000-4000-8000-000000000000"


def limits(path):
    """Every limit that was ever set, W."""
    return [float(line.split()[1]) for line in path.read_text().splitlines()]


def test_it_is_read_set_and_obeyed(limit_file, python):
    found = python("""
        import json, time
        from bench.meters.nvml_library import Nvml
        from bench.meters.power_limit import PowerLimit
        uuid = "GPU-fa4e0000-0000-4000-8000-000000000000"
        nvml = Nvml()
        card = nvml.open_device(uuid)
        def draws():
            return nvml.call("nvmlDeviceGetPowerUsage", card) / 1000
        with PowerLimit(uuid) as limit:
            takes, before = limit.range(), [limit.enforced_w(), limit.asked_w(), draws()]
            limit.enforce(300.0)
            counter, since_s = nvml.call("nvmlDeviceGetTotalEnergyConsumption", card), time.monotonic()
            while time.monotonic() < since_s + 1.3:
                pass
            joules = (nvml.call("nvmlDeviceGetTotalEnergyConsumption", card) - counter) / 1000
            watts = joules / (time.monotonic() - since_s)
            print(json.dumps([
                [takes.least_w, takes.most_w, takes.default_w], before,
                [limit.enforced_w(), limit.asked_w(), draws()], watts,
            ]))
    """)  # noqa: E501
    takes, before, after, watts = found
    assert takes == [200.0, 500.0, 450.0]
    assert before == [450.0, 450.0, 440.0]
    assert after == [300.0, 300.0, 300.0]
    assert watts == pytest.approx(300.0, rel=0.03)
    assert limits(limit_file) == [300.0]


@pytest.mark.usefixtures("limit_file")
@pytest.mark.parametrize(
    ("settings", "watts", "says"),
    [
        ({"FAIL": "nvmlDeviceSetPowerManagementLimit=4"}, 300, "NotPermittedError no permission"),
        ({"FAIL": "nvmlDeviceSetPowerManagementLimit=3"}, 300, "MeterError not supported"),
        ({}, 501, "MeterError invalid argument"),
        ({"LIMIT_LEAST_W": 350}, 300, "MeterError but the limit reads 350 W"),
        ({"FAIL": "nvmlDeviceGetPowerManagementLimitConstraints=3"}, None, "cannot be read"),
    ],
)
def test_what_the_driver_refuses_is_told(fake_gpu, python, settings, watts, says):
    fake_gpu(**settings)
    told = python(f"""
        import json
        from bench.meters.power_limit import PowerLimit
        from bench.ports import MeterError
        try:
            with PowerLimit("{UUID}") as limit:
                limit.range() if {watts} is None else limit.enforce({watts})
        except MeterError as error:
            print(json.dumps(type(error).__name__ + " " + str(error)))
    """)
    assert all(word in told for word in says.split(" ", 1))
