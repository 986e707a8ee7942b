"""Shared by all rooms: nothing a test does touches the user's cache or results."""

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Cache and state of the tests' own: locks and what is remembered stay out of the user's."""
    root = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(root / "state"))


@pytest.fixture(autouse=True, scope="session")
def private_locks(tmp_path_factory):
    """Locks of the tests' own: neither another session nor a real run keeps a device from them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOULEMARK_LOCK_DIR", str(tmp_path_factory.getbasetemp() / "locks"))
        yield
