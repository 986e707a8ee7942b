"""The lock of a device: where all users of a machine meet, and trusting nothing that lies there."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store import Busy, StoreError, device_lock, lock_folder
from bench.store import lock as locks

NOBODY = 65534
TAKE = (
    "import os, sys\nfrom bench.store import Busy, device_lock\n"
    "user = int(sys.argv[1])\nos.setgroups([]); os.setgid(user); os.setuid(user)\n"
    "try:\n    with device_lock('GPU-1', wait=False) as note:\n        print(note)\n"
    "except Busy as busy:\n    sys.exit(str(busy))\n"
)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A folder as /run/lock is, in its place."""
    folder = tmp_path / "lock"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.delenv(locks.NAMED)
    monkeypatch.setattr(locks, "SHARED", (tmp_path / "absent", folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def name_of(folder):
    with device_lock("GPU-1", wait=False) as note:
        assert note is None
        (path,) = folder.iterdir()
    return path


def test_the_first_folder_that_all_may_write_and_none_may_clear(shared, tmp_path, monkeypatch):
    assert lock_folder() == shared
    shared.chmod(0o777)
    assert lock_folder() is None
    monkeypatch.setenv(locks.NAMED, str(tmp_path / "own"))
    assert lock_folder() == tmp_path / "own"


def test_the_file_is_empty_and_all_may_lock_it_whatever_the_umask(shared):
    before = os.umask(0o077)
    try:
        path = name_of(shared)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_bytes() == b""


def test_a_planted_link_is_not_followed(shared, tmp_path):
    path, prey = name_of(shared), tmp_path / "prey"
    path.unlink()
    path.symlink_to(prey)
    with device_lock("GPU-1", wait=False) as note:
        assert note.startswith("only your own runs")
        assert str(path) in note
        with pytest.raises(Busy):
            device_lock("GPU-1", wait=False).__enter__()
    assert not prey.exists()


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir])
def test_what_is_no_file_blocks_nobody(shared, plant):
    path = name_of(shared)
    path.unlink()
    plant(path)
    with device_lock("GPU-1", wait=True) as note:
        assert "only your own runs" in note


def test_a_removed_file_is_made_again_and_locked_anew(shared):
    path = name_of(shared)
    handle = os.open(path, os.O_RDONLY)
    path.unlink()
    with device_lock("GPU-1", wait=False) as note:
        assert note is None
        assert not os.path.samestat(os.fstat(handle), path.stat())
    os.close(handle)


def test_a_folder_that_was_named_must_serve(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(locks.NAMED, str(tmp_path / "file" / "locks"))
    with pytest.raises(StoreError, match=locks.NAMED):
        device_lock("GPU-1", wait=False).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_two_users_exclude_each_other(monkeypatch):
    place = Path("/tmp") / f"joulemark-test-{os.getpid()}"
    place.mkdir()
    place.chmod(0o1777)
    environment = {**os.environ, locks.NAMED: str(place), "HOME": str(place)}
    environment.pop("XDG_CACHE_HOME")
    monkeypatch.setenv(locks.NAMED, str(place))
    command = [sys.executable, "-c", TAKE, str(NOBODY)]
    try:
        with device_lock("GPU-1", wait=False):
            other = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment, cwd=place
            )
        assert other.returncode == 1
        assert "GPU-1 is in use" in other.stderr
        freed = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=place
        )
        assert (freed.returncode, freed.stdout) == (0, "None\n"), freed.stderr
    finally:
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
