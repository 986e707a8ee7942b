"""Forms that this CPU may lack: run with their instruction spelt out, or compiled and read."""

from __future__ import annotations

import ctypes
import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
from llvmlite import binding, ir

from bench.kernels.sha256d import compression, lowering
from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.cpu_forms import Form, VectorForm
from bench.kernels.sha256d.cpu_variants import FORMS
from bench.kernels.sha256d.lowering import I32, TernaryWords
from bench.kernels.sha256d.numba_cpu import _aligned
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import Work, prepare_works


def _module(form: Form, triple: str) -> binding.ModuleRef:
    module = ir.Module()
    module.triple = triple
    words = I32.as_pointer()
    expand = ir.Function(module, ir.FunctionType(ir.VoidType(), [words, I32, words]), "expand")
    builder = ir.IRBuilder(expand.append_basic_block())
    form.expand(builder, *expand.args)
    builder.ret_void()
    hits = ir.Function(module, ir.FunctionType(I32, [words, words, I32, I32]), "hits")
    builder = ir.IRBuilder(hits.append_basic_block())
    builder.ret(form.hits(builder, *hits.args))
    return binding.parse_assembly(str(module))


def _optimise(module: binding.ModuleRef, machine: binding.TargetMachine) -> None:
    tuning = binding.create_pipeline_tuning_options(3)
    passes = binding.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)


def assembly(form: Form, triple: str, cpu: str) -> str:
    """What LLVM makes of the form's two functions for a CPU that need not be this one."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    module = _module(form, triple)
    _optimise(module, machine)
    text: str = machine.emit_assembly(module)
    return text


def body(text: str, function: str) -> str:
    """One function of an assembly."""
    return re.split(r"^\w+:$", text.split(f"\n{function}:", 1)[1], maxsplit=1, flags=re.MULTILINE)[
        0
    ]


def instructions(text: str, function: str) -> Counter[str]:
    """How often each mnemonic occurs in one function of an assembly."""
    return Counter(re.findall(r"^\t([a-z]\w*)", body(text, function), re.MULTILINE))


class BuiltForm:
    """The form's IR compiled for this CPU at little optimisation, one step at a time."""

    def __init__(self, form: Form) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        triple = binding.get_process_triple()
        machine = binding.Target.from_triple(triple).create_target_machine(
            cpu=binding.get_host_cpu_name(),
            features=binding.get_host_cpu_features().flatten(),
            opt=1,
        )
        self._engine = binding.create_mcjit_compiler(_module(form, triple), machine)
        self._engine.finalize_object()
        pointer, u32 = ctypes.c_void_p, ctypes.c_uint32
        self._expand = ctypes.CFUNCTYPE(None, pointer, u32, pointer)(
            self._engine.get_function_address("expand")
        )
        self._hits = ctypes.CFUNCTYPE(u32, pointer, pointer, u32, u32)(
            self._engine.get_function_address("hits")
        )
        self._form = form

    def step(self, works: Sequence[Work], first: int, mask: int) -> list[list[int]]:
        """The nonces of one step that meet the mask, for each work."""
        form = self._form
        packed = _aligned(form.pack(works))
        scratch = _aligned(np.zeros(form.scratch_words, dtype=np.uint32))
        self._expand(packed.ctypes.data, first, scratch.ctypes.data)
        bits = form.midstates * form.nonces // form.turns
        met: list[list[int]] = [[] for _ in works]
        for turn in range(form.turns):
            word = self._hits(packed.ctypes.data, scratch.ctypes.data, turn, mask)
            for bit in range(bits):
                midstate, nonce = divmod(turn * bits + bit, form.nonces)
                if word >> bit & 1:
                    met[midstate].append(first + nonce)
        return met


class Spelt(TernaryWords):
    """``vpternlogd`` by its definition, so that any CPU can run what AVX-512 would."""

    def ternary(self, table: int, *terms: ir.Value | int) -> ir.Value:
        """The terms' minterms that the table names, or-ed."""
        a, b, c = (self.value(term) for term in terms)
        build = self._builder
        minterms = []
        for row in range(8):
            if table >> row & 1:
                signs = ((a, row & 4), (b, row & 2), (c, row & 1))
                literals = [term if sign else build.not_(term) for term, sign in signs]
                minterms.append(reduce(build.and_, literals))
        return reduce(build.or_, minterms)


@pytest.fixture(scope="module")
def spelt() -> BuiltForm:
    shape = FORMS["avx512"]
    return BuiltForm(VectorForm(shape.lanes, shape.midstates, Spelt))


def test_avx512_is_right_where_its_instruction_is_spelt_out(spelt: BuiltForm) -> None:
    rng, lanes = random.Random(3), FORMS["avx512"].nonces
    for case in range(200):
        headers = h.siblings(rng.randbytes(76), FORMS["avx512"].midstates)
        first = rng.choice([0, h.NONCES - lanes, rng.randrange(h.NONCES - lanes)])
        mask = 1 << case % 32
        expected = [h.scan_reference(raw, first, lanes, mask) for raw in headers]
        assert spelt.step(prepare_works(headers), first, mask) == expected


@pytest.mark.parametrize("raw", REAL_HEADERS)
def test_avx512_finds_real_nonces_in_every_lane_and_place(spelt: BuiltForm, raw: bytes) -> None:
    nonce, form = h.Header.parse(raw).nonce, FORMS["avx512"]
    for lane in range(form.nonces):
        place = lane % form.midstates
        headers = h.siblings(h.sibling(raw, -place), form.midstates)
        found = spelt.step(prepare_works(headers), nonce - lane, 0xFFFFFFFF)
        assert found == [[nonce] if one == raw else [] for one in headers]


def test_ternary_tables_are_the_functions_they_stand_for() -> None:
    rows = [(row >> 2, row >> 1 & 1, row & 1) for row in range(8)]
    integers = compression.INTEGERS
    for table, function in (
        (TernaryWords._XOR, integers.xor),
        (TernaryWords._CH, integers.ch),
        (TernaryWords._MAJ, integers.maj),
    ):
        assert [table >> row & 1 for row in range(8)] == [function(*bits) & 1 for bits in rows]


@pytest.mark.parametrize("cpu", ["skylake-avx512", "icelake-server", "znver4"])
def test_avx512_compiles_to_its_instructions(cpu: str) -> None:
    """An audit, for want of such a CPU: the limit is two of these instructions a clock."""
    text = assembly(FORMS["avx512"], "x86_64-unknown-linux-gnu", cpu)
    hits, expand = instructions(text, "hits"), instructions(text, "expand")
    computing = ("vpaddd", "vprold", "vpternlogd", "vpsrld", "vpxord", "vptestnmd")
    assert sum(hits[name] for name in computing) <= 2392
    assert sum(expand[name] for name in computing) <= 490
    assert not {"vpslld", "vpord", "vpandd", "vpandnd"} & {*hits, *expand}
    assert (hits["vprold"], hits["vpsrld"]) == (868, 80)
    assert hits.total() <= 2750, "with the moves that vpternlogd wants, as it overwrites an operand"
    stored = re.compile(r"\tvmov\w+\t%zmm\d+, -?\d*\(%rsp\)")
    assert not stored.findall(body(text, "hits")), "nothing spilt where it is hot"
    assert len(stored.findall(body(text, "expand"))) <= 24


def test_sha_extension_of_aarch64_compiles_to_its_instructions() -> None:
    text = assembly(FORMS["sha2-arm"], "aarch64-unknown-linux-gnu", "neoverse-n1")
    hits = instructions(text, "hits")
    streams = FORMS["sha2-arm"].midstates
    assert hits["sha256h"] + hits["sha256h2"] == streams * (2 * (15 + 15) + 1)
    assert 10 * streams <= hits["sha256su0"] <= 14 * streams


def test_plain_vectors_compile_to_neon_on_aarch64() -> None:
    text = assembly(FORMS["sse4"], "aarch64-unknown-linux-gnu", "cortex-a72")
    assert instructions(text, "hits")["add"] > 800
    assert "\tbl\t" not in text


def test_words_fold_like_integers() -> None:
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "nothing")
    builder = ir.IRBuilder(function.append_basic_block())
    for words in (lowering.LlvmWords, TernaryWords):
        ops = words(builder)
        for x, y, z in ((1, 2, 3), (0xFFFFFFFF, 0x80000001, 0x12345678)):
            assert ops.ch(x, y, z) == compression.INTEGERS.ch(x, y, z)
            assert ops.maj(x, y, z) == compression.INTEGERS.maj(x, y, z)
            assert ops.xor(x, y, z) == x ^ y ^ z
