"""The Numba CUDA twin without a card: launches simulated, intrinsics built for the CPU, PTX."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

numba = pytest.importorskip("numba")
pytest.importorskip("numba.cuda.extending", reason="numba-cuda is not installed")

from numba.extending import intrinsic  # noqa: E402

from bench.kernels.sha256d import header as h  # noqa: E402
from bench.kernels.sha256d import numba_cuda  # noqa: E402
from bench.kernels.sha256d.compression import IV, message_blocks  # noqa: E402
from bench.kernels.sha256d.toolchain import CompileError, ToolMissingError  # noqa: E402

HERE = Path(__file__).parent
U32 = numba.types.uint32
WORK = numba.types.UniTuple(U32, h.WORK_WORDS)


def test_launches_in_the_simulator() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", HERE / "simulated_launches.py"],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "simulated launches are exact\n"


def test_a_numpy_that_numba_cuda_cannot_compile_with_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(name: str) -> None:
        raise AttributeError(f"{name} wants np.row_stack")

    monkeypatch.setattr(numba_cuda.importlib, "import_module", load)
    with pytest.raises(ImportError, match=r"wants np\.row_stack.*install 'numpy<2\.5'"):
        numba_cuda.open_scanner()


@pytest.fixture(scope="module", params=["_type_last_word", "_type_last_word_on_turing"])
def h7_on_cpu(request: pytest.FixtureRequest) -> Any:
    """Each intrinsic of the CUDA kernel, its IR built for the CPU."""
    last_word = intrinsic(getattr(numba_cuda, request.param))

    def h7(work, nonce, one):  # type: ignore[no-untyped-def]
        return last_word(work, nonce, one)

    return numba.njit(U32(WORK, U32, U32))(h7)


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(min_size=76, max_size=76), nonce=st.integers(0, h.NONCES - 1))
def test_the_intrinsic_is_hashlibs(h7_on_cpu: Any, raw: bytes, nonce: int) -> None:
    digest = h.sha256d(h.with_nonce(raw, nonce))
    assert h7_on_cpu(h.prepare_work(raw), nonce, 1) == int.from_bytes(digest[28:], "big")


def test_the_compression_intrinsic_on_nist_vectors(
    nist_short: list[tuple[bytes, str]], nist_long: list[tuple[bytes, str]]
) -> None:
    words = numba.types.Array(U32, 1, "C")
    compress = intrinsic(numba_cuda._type_compress)

    def block_into(chain, block, one):  # type: ignore[no-untyped-def]
        compress(chain, block, one)

    compiled = numba.njit(numba.types.void(words, words, U32))(block_into)
    for message, digest in [*nist_short, *nist_long]:
        chain = np.array(IV, dtype=np.uint32)
        for block in message_blocks(message):
            compiled(chain, np.array(block, dtype=np.uint32), 1)
        assert struct.pack(">8I", *chain.tolist()).hex() == digest


@pytest.mark.parametrize("capability", [75, 90, 120])
def test_compiles_to_ptx(capability: int) -> None:
    """Types and address spaces as on a card; counts of machine instructions are the audit's."""
    try:
        ptx = numba_cuda.scan_ptx(capability)
    except ToolMissingError as error:
        pytest.skip(str(error))
    assert f".target sm_{capability}" in ptx
    assert re.search(r"\batom\.(global\.)?add\.u32\b", ptx)
    assert ".local" not in ptx, "words must stay in registers"
    if capability >= numba_cuda.AMPERE:
        assert ptx.count("mad.lo.u32") > 200, "lone adds belong to the FMA pipe"
    else:
        assert ptx.count("mad.lo.u32") < 10, "on Turing the compiler's own adds are fewer"


def test_code_for_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fallen_back = (".target sm_90\n", None)
    monkeypatch.setattr(numba_cuda.cuda, "compile_ptx", lambda *_, **__: fallen_back)
    assert numba_cuda.scan_ptx(90) == ".target sm_90\n"
    with pytest.raises(CompileError, match="no code for sm_100 here: install numba-cuda"):
        numba_cuda.scan_ptx(100)


def test_an_unknown_variant_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^kernel: numba-cuda has no variant 'fast', only plain$"):
        numba_cuda.require("fast")
