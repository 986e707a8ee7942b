"""Tools that are missing, binaries that are kept, and the folder that nobody else may write."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.kernels import private_cache
from bench.kernels.sha256d import toolchain as t
from bench.kernels.sha256d.cuda_source import SOURCE, VARIANTS

SMALL = 'extern "C" __global__ void sha256d_scan(int* x) { *x = 7; }'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    private_cache._CHOSEN.clear()
    yield private_cache.folder()
    private_cache._CHOSEN.clear()


needs_nvrtc = pytest.mark.skipif(
    importlib.util.find_spec("cuda.bindings") is None, reason="cuda-bindings is not installed"
)


def test_the_cache_is_this_users_alone(cache: Path, tmp_path: Path) -> None:
    assert cache == tmp_path / "joulemark" / "cuda"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (made,) = private_cache.kept(["a.bin"], lambda: [b"one"])
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    (same,) = private_cache.kept(["a.bin"], lambda: [b"two"])
    assert (same, same.read_bytes()) == (made, b"one")
    assert os.listdir(cache) == [made.name], "nothing half-written is left"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"other"),
    lambda path: path.unlink(),
])  # fmt: skip
def test_a_damaged_file_is_made_again(spoil: Callable[[Path], Any]) -> None:
    names = "a.cubin", "a.log"
    cubin, log = private_cache.kept(names, lambda: [b"code", b"log"])
    for each in (cubin, log):
        spoil(each)
        assert not private_cache.known("a" + each.suffix)
        again = private_cache.kept(names, lambda: [b"code", b"log"])
        assert [path.read_bytes() for path in again] == [b"code", b"log"]
    assert private_cache.known("a.cubin")


@pytest.mark.usefixtures("cache")
def test_what_fails_to_be_made_leaves_nothing() -> None:
    def fail() -> bytes:
        raise t.CompileError("no")

    with pytest.raises(t.CompileError):
        private_cache.kept(["a.bin"], fail)
    assert os.listdir(private_cache.folder()) == []


@pytest.mark.parametrize("spoil", [
    lambda path: path.chmod(0o777),
    lambda path: (path.rename(path.with_name("x")), path.symlink_to(path.with_name("x"))),
])  # fmt: skip
def test_a_folder_that_others_could_write_is_not_used(
    cache: Path, spoil: Callable[[Path], Any]
) -> None:
    spoil(cache)
    private_cache._CHOSEN.clear()
    other = private_cache.folder()
    assert other != cache
    assert stat.S_IMODE(other.stat().st_mode) == 0o700
    shutil.rmtree(other)


def test_keys_do_not_run_together() -> None:
    assert private_cache.digest("ab", "c") != private_cache.digest("a", "bc")


@needs_nvrtc
def test_the_longest_variant_compiles_in_time_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    options = VARIANTS["two-midstate-balanced"].options
    began_s = time.process_time()
    binary = t.compile_cuda(source, 90, options)
    assert time.process_time() - began_s < 10
    assert binary.cubin.parent == cache
    assert binary.cubin.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(t, "_run_nvrtc", lambda *_: pytest.fail("compiled again"))
    assert t.compile_cuda(source, 90, options) == binary


@needs_nvrtc
@pytest.mark.usefixtures("cache")
def test_source_options_and_architecture_are_the_key() -> None:
    binaries = [
        t.compile_cuda(SMALL, 90, ()),
        t.compile_cuda(SMALL + "\n", 90, ()),
        t.compile_cuda(SMALL, 80, ()),
        t.compile_cuda(SMALL, 90, ("--maxrregcount=48",)),
    ]
    assert len({binary.cubin for binary in binaries}) == 4
    with pytest.raises(t.CompileError, match="error"):
        t.compile_cuda("extern int", 90, ())


@pytest.mark.parametrize(("capability", "chosen"), [(75, 75), (89, 89), (91, 90), (121, 120)])
def test_a_device_gets_its_own_code_or_its_majors(
    monkeypatch: pytest.MonkeyPatch, capability: int, chosen: int
) -> None:
    monkeypatch.setattr(t, "architectures", lambda: (75, 80, 86, 89, 90, 100, 120))
    assert t.architecture_for(capability) == chosen


def test_a_device_that_the_compiler_has_dropped_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(t, "architectures", lambda: (75, 80))
    monkeypatch.setattr(t, "nvrtc_version", lambda: "nvrtc 13.0")
    with pytest.raises(t.CompileError, match=r"^nvrtc 13\.0 compiles for 75, 80, not for .* 7\.0$"):
        t.architecture_for(70)


def test_a_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    t.program.cache_clear()
    with pytest.raises(
        t.ToolMissingError,
        match=r"^nvdisasm is not installed: pip install 'nvidia-cuda-nvdisasm==13\.2\.\*'$",
    ):
        t.program("nvdisasm")


def test_a_tool_that_fails_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = cache / "nvdisasm"
    broken.write_text("#!/bin/sh\nexit 3\n")
    monkeypatch.setattr(t, "program", lambda _: str(broken))
    with pytest.raises(t.CompileError, match="Permission denied"):
        t.disassemble(broken)
    broken.chmod(0o700)
    with pytest.raises(t.CompileError, match="ended with status 3"):
        t.disassemble(broken)


def test_what_is_missing_can_be_told_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(t.ToolMissingError("nvvm")))
    assert str(error) == "nvvm is not installed: pip install 'nvidia-nvvm==13.0.*'"


def test_a_missing_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    t._nvrtc.cache_clear()
    with pytest.raises(t.ToolMissingError, match=r"^nvrtc is not installed: pip install 'nvidia-"):
        t._nvrtc()
