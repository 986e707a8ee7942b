"""The set-up script: what it chooses, what it believes, and how it fails.

No package is installed here: a stand-in for Python answers the few calls that the script makes
and writes down what pip was asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = "awk bash cat cp cut df dirname du find flock grep id ls mkdir rm sed tac tail touch uname"
STAND_IN = r"""#!/usr/bin/env bash
# A Python whose venv is one file and whose pip only takes notes.
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip")
        echo "$*" >>"$NOTES"
        case "$*" in
            *"index versions"*--index-url*) echo "versions: $PYTORCH_HAS" ;;
            *"index versions"*) echo "versions: 2.14.0, $INDEX_HAS" ;;
            *--editable*) eval "${PIP_DOES-}" ;;
        esac ;;
    *) exec "$REAL_PYTHON" "$@" ;;
esac
"""


class Checkout:
    """A directory with the script in it, and a PATH that holds nothing but what is put there."""

    def __init__(self, place: Path, root: Path) -> None:
        self.place = place / "checkout"
        self.bin = place / "bin"
        self.notes = place / "notes"
        (self.place / ".ci").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy2(root / ".ci" / "setup", self.place / ".ci" / "setup")
        shutil.copy2(root / "pyproject.toml", self.place)
        for tool in TOOLS.split():
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.command("python3.11", STAND_IN)
        self.environment = {
            "PATH": str(self.bin),
            "NOTES": str(self.notes),
            "REAL_PYTHON": sys.executable,
            "INDEX_HAS": "2.13.0+cpu, 2.13.0",
            "PYTORCH_HAS": "",
            "JOULEMARK_CUDA": "none",
        }

    @property
    def venv(self) -> Path:
        return self.place / ".venv"

    def command(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def setup(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the script; `more` overrides variables."""
        command = [str(self.bin / "bash"), str(self.place / ".ci" / "setup"), *arguments]
        return subprocess.run(
            command,
            env=self.environment | more,
            cwd=self.place.parent,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def plan(self, purpose: str, **more: str) -> dict[str, str]:
        run = self.setup("--plan", purpose, **more)
        assert run.returncode == 0, run.stderr
        return dict(line.split(": ", 1) for line in run.stdout.splitlines())

    def asked_of_pip(self) -> list[str]:
        """What pip was asked since the last call."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path, root: Path) -> Checkout:
    return Checkout(tmp_path, root)


def only_sentence(run: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failure before any work prints."""
    assert run.returncode == 3
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    return line


# --- what it chooses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuda", "purpose", "extras", "torch"),
    [
        ("none", "bench", "infer", "torch==2.13.0+cpu"),
        ("none", "dev", "infer,dev", "torch==2.13.0+cpu"),
        ("12", "bench", "cuda12", "torch==2.10.0,!=2.10.0+cpu"),
        ("13", "dev", "cuda13,dev", "torch==2.13.0,!=2.13.0+cpu"),
    ],
)
def test_plan(checkout: Checkout, cuda: str, purpose: str, extras: str, torch: str) -> None:
    plan = checkout.plan(purpose, JOULEMARK_CUDA=cuda)
    assert plan["extras"] == extras
    assert plan["torch"] == torch
    assert not checkout.venv.exists()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="a stand-in for libcuda needs gcc")
@pytest.mark.parametrize(
    ("version", "extras", "words"),
    [
        (13020, "cuda13", "supports CUDA 13.2"),
        (13000, "cuda13", "supports CUDA 13.0"),
        (12040, "cuda12", "supports CUDA 12.4"),
        (11080, "infer", "too old"),
        (0, "infer", "driver"),
    ],
)
def test_the_driver_is_asked(
    checkout: Checkout, tmp_path: Path, version: int, extras: str, words: str
) -> None:
    source = tmp_path / "cuda.c"
    source.write_text(f"int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}\n")
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    plan = checkout.plan("bench", JOULEMARK_CUDA="", LD_LIBRARY_PATH=str(tmp_path))
    assert plan["extras"] == extras
    assert words in plan["device"]


def test_the_newest_named_python_wins_and_can_be_overridden(checkout: Checkout) -> None:
    real = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    checkout.command("python3.13", "#!/bin/sh\ncat >/dev/null\necho 3.13.9\n")
    assert checkout.plan("bench")["python"] == "3.13.9"
    assert checkout.plan("bench", PYTHON="python3.11")["python"] == real


def test_torch_comes_from_the_configured_index_first(checkout: Checkout) -> None:
    run = checkout.setup("bench")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "--grade quick\n"
    installs = [line for line in checkout.asked_of_pip() if "--no-deps" in line]
    assert len(installs) == 1
    assert "torch==2.13.0+cpu" in installs[0]
    assert "--index-url" not in installs[0]
    assert "from the configured package index" in run.stderr


def test_torch_comes_from_pytorch_where_the_index_has_only_cuda(checkout: Checkout) -> None:
    run = checkout.setup("bench", INDEX_HAS="2.13.0", PYTORCH_HAS="2.13.0+cpu")
    assert run.returncode == 0, run.stderr
    probe, install = (line for line in checkout.asked_of_pip() if "--index-url" in line)
    assert "--timeout 3 --retries 0" in probe
    assert "--no-deps --index-url https://download.pytorch.org/whl/cpu" in install


def test_no_cuda_build_is_taken_unasked(checkout: Checkout) -> None:
    run = checkout.setup("bench", INDEX_HAS="2.13.0")
    assert run.returncode == 3
    assert "no CPU build of torch==2.13.0" in run.stderr.splitlines()[-1]
    assert not [line for line in checkout.asked_of_pip() if "install" in line and "torch" in line]
    assert (
        checkout.setup("bench", INDEX_HAS="2.13.0", JOULEMARK_TORCH="torch==2.13.0").returncode == 0
    )


def test_a_gpu_gets_no_quick_grade(checkout: Checkout) -> None:
    run = checkout.setup("bench", JOULEMARK_CUDA="13")
    assert (run.returncode, run.stdout) == (0, "")
    assert not [line for line in checkout.asked_of_pip() if "index versions" in line]


# --- what it believes -----------------------------------------------------------------------


def test_the_second_run_asks_pip_nothing(checkout: Checkout) -> None:
    assert checkout.setup("dev").returncode == 0
    assert checkout.asked_of_pip()
    for purpose in ("dev", "bench"):
        again = checkout.setup(purpose)
        assert again.returncode == 0
        assert again.stderr == "setup: .venv is ready: CPU packages (JOULEMARK_CUDA=none)\n"
    assert not checkout.asked_of_pip()


@pytest.mark.parametrize("change", ["pyproject", "script", "driver", "purpose"])
def test_a_change_installs_again_in_place(checkout: Checkout, change: str) -> None:
    assert checkout.setup("bench").returncode == 0
    checkout.asked_of_pip()
    if change in ("pyproject", "script"):
        path = checkout.place / ("pyproject.toml" if change == "pyproject" else ".ci/setup")
        path.write_text(path.read_text() + "\n# changed\n")
    again = checkout.setup(
        "dev" if change == "purpose" else "bench",
        JOULEMARK_CUDA="13" if change == "driver" else "none",
    )
    assert again.returncode == 0, again.stderr
    assert "making .venv" not in again.stderr
    assert any("--editable" in line for line in checkout.asked_of_pip())


@pytest.mark.parametrize("end", ["exit 1", "kill -KILL $PPID"])
def test_an_unfinished_environment_is_rebuilt(checkout: Checkout, end: str) -> None:
    assert checkout.setup("bench", PIP_DOES=end).returncode != 0
    (checkout.venv / "half").write_text("left by an interrupted run")
    again = checkout.setup("bench")
    assert again.returncode == 0, again.stderr
    assert "making .venv" in again.stderr
    assert not (checkout.venv / "half").exists()


def test_an_interrupted_update_is_not_believed_when_the_change_is_undone(
    checkout: Checkout,
) -> None:
    assert checkout.setup("bench").returncode == 0
    assert checkout.setup("bench", JOULEMARK_CUDA="13", PIP_DOES="kill -KILL $PPID").returncode
    assert "making .venv" in checkout.setup("bench").stderr


def test_an_update_that_pip_refuses_keeps_the_environment(checkout: Checkout) -> None:
    assert checkout.setup("bench").returncode == 0
    (checkout.venv / "kept").write_text("installed before")
    assert checkout.setup("bench", JOULEMARK_CUDA="13", PIP_DOES="exit 1").returncode == 3
    checkout.asked_of_pip()
    again = checkout.setup("bench")
    assert again.returncode == 0, again.stderr
    assert checkout.asked_of_pip()
    assert (checkout.venv / "kept").exists()


def test_a_moved_checkout_is_installed_again(checkout: Checkout) -> None:
    assert checkout.setup("bench").returncode == 0
    checkout.place = checkout.place.rename(checkout.place.with_name("moved"))
    checkout.asked_of_pip()
    assert checkout.setup("bench").returncode == 0
    assert checkout.asked_of_pip()


def test_an_environment_of_another_kind_is_not_deleted(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "mine").write_text("mine")
    assert "made by something else" in only_sentence(checkout.setup("bench"))
    assert (checkout.venv / "mine").read_text() == "mine"


# --- how it fails ---------------------------------------------------------------------------


def test_no_python(checkout: Checkout) -> None:
    checkout.command("python3.11", "#!/bin/sh\nexit 1\n")
    assert "no Python 3.11 or newer found" in only_sentence(checkout.setup("bench"))
    assert "PYTHON=old is not" in only_sentence(checkout.setup("bench", PYTHON="old"))


def test_no_venv_module(checkout: Checkout) -> None:
    stub = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *) echo 3.11.2;; esac\n'
    checkout.command("python3.11", stub)
    assert "sudo apt install python3.11-venv" in only_sentence(checkout.setup("bench"))


def test_no_room(checkout: Checkout) -> None:
    checkout.command("df", "#!/bin/sh\necho Filesystem\necho /dev/x 9 9 2000000 9% /\n")
    sentence = only_sentence(checkout.setup("bench"))
    assert "need 3 GB free" in sentence
    assert "there are 1 GB" in sentence


def test_read_only_checkout(checkout: Checkout) -> None:
    # What cannot be created, for root neither: a link to a place that the kernel forbids.
    checkout.venv.symlink_to("/proc/self/nowhere")
    assert "cannot write to" in only_sentence(checkout.setup("bench"))


def test_pip_is_quoted(checkout: Checkout) -> None:
    failure = "echo 'ERROR: Could not find a version of tinyml'; echo 'ERROR: later'; exit 1"
    run = checkout.setup("bench", PIP_DOES=failure)
    assert run.returncode == 3
    last = run.stderr.splitlines()[-1]
    assert '"ERROR: Could not find a version of tinyml"' in last
    assert ".venv/setup.log" in last
    assert "ERROR: later" in (checkout.venv / "setup.log").read_text()


@pytest.mark.slow
def test_an_index_that_cannot_be_reached(checkout: Checkout) -> None:
    (checkout.bin / "python3.11").unlink()
    run = checkout.setup(
        "bench",
        PYTHON=sys.executable,
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/",
    )
    assert run.returncode == 3
    assert "because a package index cannot be reached" in run.stderr.splitlines()[-1]
    assert not list(checkout.venv.glob("setup.bench"))


@pytest.mark.parametrize("arguments", [[], ["prod"], ["bench", "dev"], ["--plan"]])
def test_usage(checkout: Checkout, arguments: list[str]) -> None:
    run = checkout.setup(*arguments)
    assert run.returncode == 2
    assert run.stderr.startswith("setup: usage:")


def test_the_scripts_are_clean(root: Path) -> None:
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    command = [shellcheck, ".ci/setup", ".ci/run"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
