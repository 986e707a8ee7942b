"""Our own libnvidia-ml.so.1, and ways to run on it."""

import json
import os
import select
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bench.records.run import DeviceFacts

SOURCE = Path(__file__).parents[1] / "fakenvml" / "fakenvml.c"


@pytest.fixture(scope="session")
def fakenvml(tmp_path_factory):
    """Builds the library, "new" or "old" (without what old drivers lack); returns its folder."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is needed to build the fake NVML library")
    built = {}

    def build(age):
        if age not in built:
            built[age] = tmp_path_factory.mktemp(f"fakenvml-{age}")
            subprocess.run(
                ["gcc", "-shared", "-fPIC", "-O1",
                 "-Wl,-soname,libnvidia-ml.so.1", *(["-DFAKENVML_OLD"] if age == "old" else []),
                 "-o", built[age] / "libnvidia-ml.so.1", SOURCE, "-lm"],
                check=True,
            )  # fmt: skip
        return built[age]

    return build


@pytest.fixture
def fake_gpu(fakenvml, monkeypatch):
    """Sets the fake library and its settings for the processes that this test starts."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def configure(age="new", **settings):
        monkeypatch.setenv("LD_LIBRARY_PATH", str(fakenvml(age)))
        for name, value in settings.items():
            monkeypatch.setenv(f"FAKENVML_{name}", str(value))

    return configure


@pytest.fixture
def limit_file(fake_gpu, tmp_path, monkeypatch):
    """A fake card of 440 W whose limit can be set; the file holds the limits so far."""
    path = tmp_path / "limits"
    path.write_text("")
    fake_gpu(LIMIT_FILE=path, WATTS=440)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def python():
    """Runs code in a Python of its own, where the fake library can be found; its last line is JSON.

    The first library opened in a process stays there, so none is opened in this one.
    """

    def run(code):
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(code)],
            capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def polled():
    """Polls a started meter for some seconds, or until ``enough(facts)``."""

    def poll(meter, seconds, enough=lambda _: False):
        facts, end_s = [], time.monotonic() + seconds
        while time.monotonic() < end_s and not enough(facts):
            select.select([], [], [], 0.01)
            facts += meter.poll()
        return facts

    return poll


@pytest.fixture
def cpu():
    return DeviceFacts(kind="cpu", name="a processor")


@pytest.fixture
def gpu():
    """The fake library's first GPU."""
    uuid = "GPU-fa4e0000-0000-4000-8000-000000000000"
    return DeviceFacts(kind="gpu", name="Fake GPU", index=0, uuid=uuid)
