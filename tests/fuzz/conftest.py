"""A real record and its journal, small enough to be broken a thousand times."""

import gzip
from pathlib import Path

import pytest

from bench.cli import run


@pytest.fixture(scope="session")
def seed_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A quick simulated run's record, and its journal uncompressed."""
    place = tmp_path_factory.mktemp("seed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        said = ["--device", "sim:h100", "--grade", "quick", "--seed", "1", "--out", str(place)]
        assert run(["all", *said]) == 0
    (record,) = place.glob("*.json")
    journal = place / f"{record.stem}.samples.jsonl"
    journal.write_bytes(gzip.decompress(journal.with_suffix(".jsonl.gz").read_bytes()))
    return record, journal
