"""The sdist and the wheel carry every package, also the linked ones, and all their data."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DATA = {".cuh", ".css", ".html", ".js", ".json", ".jsonl", ".gz", ".safetensors", ".toml", ".typed"}
ROOMS = {"bench": "bench", "kernels": "bench/kernels", "profiles": "bench/profiles"}


def build(kind: str, source: Path, out: Path) -> Path:
    """Call the build backend in `source` as a front end would, with nothing but setuptools."""
    code = f"import sys, setuptools.build_meta as b; b.build_{kind}(sys.argv[1])"
    run = [sys.executable, "-c", code, str(out)]
    done = subprocess.run(run, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(root: Path, files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as an index would serve it: built from the sdist of a clean checkout."""
    if not (root / "README.md").exists():
        pytest.skip("there is no README.md, which the metadata names")
    place = tmp_path_factory.mktemp("packaging")
    checkout = place / "checkout"
    for path in files:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, checkout / path)
    for link in ("kernels", "profiles", "results"):
        (checkout / "bench" / link).symlink_to(f"../{link}")
    sdist = build("sdist", checkout, place)
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "unpacked", filter="data")
    (source,) = (place / "unpacked").iterdir()
    return build("wheel", source, place)


def expected_in_wheel(files: list[Path]) -> set[str]:
    names = set()
    for path in files:
        room = ROOMS.get(path.parts[0])
        if room and (path.suffix == ".py" or path.suffix in DATA):
            names.add(str(Path(room, *path.parts[1:])))
        ships = path.parts[:2] in {("results", "demo"), ("results", "reference")}
        if ships or path == Path("results/__init__.py"):
            names.add(str(Path("bench", path)))
    return names


def test_the_wheel_carries_every_module_and_datum(wheel: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = expected_in_wheel(files)
    assert "bench/__init__.py" in expected
    assert not expected - names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"bench"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_installed_wheel_imports_its_rooms(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run = [*pip, "--target", str(tmp_path), str(wheel)]
    subprocess.run(run, check=True, capture_output=True)
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "import bench.kernels, bench.profiles, bench.results\n"
        "print(json.dumps([bench.kernels.__file__, bench.profiles.__file__,"
        " bench.results.__file__]))"
    )
    command = [sys.executable, "-I", "-c", code, str(tmp_path)]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    rooms = ("kernels", "profiles", "results")
    assert json.loads(out) == [str(tmp_path / "bench" / room / "__init__.py") for room in rooms]
