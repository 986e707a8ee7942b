"""One run of a simulated card, made once by the command itself, for tests of what is stored."""

from pathlib import Path

import pytest

from bench.cli import run


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a quick run; its journal lies beside it."""
    place = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        out = place / "results"
        said = ["--device", "sim:h100", "--grade", "quick", "--seed", "1", "--out", str(out)]
        assert run(["all", *said]) == 0
    (record,) = out.glob("*.json")
    return record
