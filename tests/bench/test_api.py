"""``bench.run`` and ``bench.load`` as scripts and notebooks call them. About 10 s."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import bench
from bench.cli import run as command
from bench.cli.refusal import Refusal
from bench.cli.turn import await_device
from bench.records.run import DeviceFacts
from bench.store import device_lock

DOC = Path(__file__).parents[2] / "docs" / "api.md"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
QUICK = {"device": "sim:h100", "grade": "quick", "seed": 1}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def handlers():
    return [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import bench, sys; print(dir(bench)); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, modules = done.stdout.splitlines()
    assert not {"numpy", "pydantic", "typer", "bench.api", "bench.cli"} & set(modules.split())
    assert listed == str(sorted(bench.__all__))
    for name in bench.__all__:
        assert getattr(bench, name) is not None
    with pytest.raises(AttributeError, match="'bench' has no attribute 'runs'"):
        bench.runs  # noqa: B018


def test_a_run_is_what_the_command_makes_of_the_same_options(capfd):
    before = handlers()
    record, path = bench.run(**QUICK, sets={"power": 0.05, "token": 0.08}, out="a")
    assert capfd.readouterr() == ("", "")
    assert handlers() == before
    assert path == Path("a", f"{record.run_id}.json")
    assert bench.load(path) == bench.load(str(path)) == record
    said = ["--device", "sim:h100", "--grade", "quick", "--seed", "1", "--out", "b"]
    assert command(["all", *said, "--set", "power=0.05", "token=0.08"]) == 0
    (other,) = Path("b").glob("*.json")
    assert bench.load(other).workloads == record.workloads
    assert bench.load(other).verdict == record.verdict
    assert bench.load(other).plan == record.plan


def test_on_another_thread_and_again_in_the_same_process():
    found = []
    for _ in range(2):
        call = threading.Thread(target=lambda: found.append(bench.run(**QUICK)))
        call.start()
        call.join()
    first, second = found
    assert first.record.workloads == second.record.workloads
    assert len({first.path, second.path}) == 2


def test_what_is_shown_is_what_the_command_shows(capsys):
    bench.run(**QUICK, show=True)
    shown = capsys.readouterr().out
    assert "h100 is simulated" in shown
    assert "sha256d  block  4/4" in shown
    assert "Saved results/" in shown


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"device": "sim:nope"}, 2, "has no nope"),
        ({"device": "tpu"}, 2, "--device tpu"),
        ({"device": "cpu", "gpu": 0}, 2, "exclude each other"),
        ({**QUICK, "grade": "fast"}, 2, "--grade fast: use quick, standard, publish"),
        ({**QUICK, "window": float("nan")}, 2, "--window"),
        ({**QUICK, "sets": "power=free"}, 2, "power"),
        ({**QUICK, "market": "no-such"}, 2, "no-such"),
        ({"gpu": 99}, 3, "NVML"),
        ({**QUICK, "out": "/proc/nowhere"}, 7, "/proc/nowhere"),
    ],
)
def test_a_refusal_is_raised_with_its_line_and_status(asked, status, said, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(bench.RunError, match=re.escape(said)) as raised:
        bench.run(**asked)
    assert raised.value.status == status
    assert "\n" not in str(raised.value)
    assert raised.value.record is None
    assert raised.value.path is None


def test_a_busy_device_is_refused():
    with device_lock("SIM-h100", wait=False), pytest.raises(bench.RunError) as raised:
        bench.run(**QUICK)
    assert raised.value.status == 5


@pytest.mark.parametrize("wait", [False, True])
def test_a_card_that_the_script_itself_computes_on_is_not_waited_for(monkeypatch, wait):
    monkeypatch.setattr("bench.meters.nvml.strangers", lambda _uuid: (os.getpid(),))
    with pytest.raises(Refusal, match=rf"process {os.getpid()}: this is one") as raised:
        await_device(DeviceFacts(kind="gpu", name="H100", uuid="GPU-0"), wait=wait)
    assert raised.value.status == 5


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"meter": "none", "require_energy": True}, 4, "sha256d has no joules"),
        ({"sim_fault": ["throttle"]}, 9, "THROTTLED"),
        ({"sim_fault": ["lost"]}, 6, "GPU_LOST"),
        ({"strict": True}, 9, "stale"),
    ],
)
def test_a_run_that_went_wrong_is_kept_and_at_hand(asked, status, said):
    with pytest.raises(bench.RunError, match=said) as raised:
        bench.run(**QUICK, **asked)
    error = raised.value
    assert error.status == status
    assert "\n" not in str(error)
    assert str(error.path) in str(error)
    assert bench.load(error.path) == error.record


def test_a_file_that_is_no_record(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"schema": "other"}))
    with pytest.raises(bench.BadRecord, match="schema"):
        bench.load(path)
    with pytest.raises(bench.BadRecord, match="cannot be opened"):
        bench.load(tmp_path / "absent.json")


@pytest.fixture
def struck(monkeypatch):
    """The next run is struck by a signal in its midst; handlers are as in a script of one's own."""
    before = handlers()
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def struck_by(number):
        monkeypatch.setattr("bench.cli.session.measure", lambda *given: _struck(number, *given))

    yield struck_by
    for each, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), before, strict=True):
        signal.signal(each, handler)


def test_ctrl_c_is_raised_once_the_partial_record_is_kept(struck):
    struck(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as raised:
        bench.run(**QUICK)
    (path,) = Path("results").glob("*.json")
    assert str(path) in raised.value.__notes__[0]
    assert bench.load(path).validity.status == "incomplete"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("struck")
def test_ctrl_c_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr("bench.cli.session.held", lambda *_, **__: signal.raise_signal(2))
    with pytest.raises(KeyboardInterrupt):
        bench.run(**QUICK)
    assert not Path("results").exists()


def test_a_handler_that_returns_leaves_the_error(struck):
    """As that of a server that notes SIGTERM and goes on."""
    heard = []
    signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    struck(signal.SIGTERM)
    with pytest.raises(bench.RunError, match="interrupted") as raised:
        bench.run(**QUICK)
    assert heard == [signal.SIGTERM]
    assert raised.value.status == 128 + signal.SIGTERM
    assert raised.value.record.validity.status == "incomplete"


def _struck(number, harness, course):
    """The real thing, and a signal at its fifth step."""
    from bench.measure import measure

    def steps():
        for index, step in enumerate(course):
            if index == 4:
                signal.raise_signal(number)
            yield step

    class Course:
        left_s = 0.0
        __iter__ = staticmethod(steps)

        def __getattr__(self, name):
            return getattr(course, name)

    return measure(harness, Course())


@pytest.mark.parametrize("block", PYTHON.findall(DOC.read_text(encoding="utf-8")))
def test_the_examples_of_the_page_run(block, capsys):
    exec(compile(block, str(DOC), "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_page_names_every_option_and_name():
    text = DOC.read_text(encoding="utf-8")
    for name in bench.__all__:
        assert name == "__version__" or f"`bench.{name}" in text
    for option in bench.run.__kwdefaults__:
        assert f"`{option}`" in text or f"`{option}=" in text
