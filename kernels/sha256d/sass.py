"""Machine code of NVIDIA GPUs, counted: the path of one loop pass by opcode and by pipe.

It reads nvdisasm's text alone; compilers, kernels and clocks stop here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);")
_LABEL = re.compile(r"(\.L\w+):")
_TARGET = re.compile(r"`\((\.L\w+)\)")

_PIPES = {
    "alu": """BMSK FLO IABS IADD IADD3 IMNMX ISETP LEA LOP LOP3 MOV PLOP3 POPC PRMT SEL SGXT SHF SHL
        SHR VABSDIFF VIADD VIADDMNMX VIMNMX VIMNMX3""",
    "fma": "FADD FFMA FMUL HADD2 HFMA2 HMUL2 IMAD IMUL",
    "control": """BMOV BRA BREAK BRX BSSY BSYNC CALL EXIT JMP NANOSLEEP NOP RET VOTE WARPSYNC
        YIELD""",
    "global_memory": "ATOM ATOMG LD LDG RED REDG ST STG",
    "shared_memory": "ATOMS LDS STS",
    "local_memory": "LDL STL",
    "constant_loads": "LDC LDCU ULDC",
}
_PIPE_OF = {opcode: pipe for pipe, opcodes in _PIPES.items() for opcode in opcodes.split()}
_DOUBLE = {"HI", "WIDE"}
"""Forms of IMAD that take two slots of the FMA pipe, which makes 32 bits of product at a time."""


class UnreadableCodeError(ValueError):
    """The disassembly has no such function, or the function no loop."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions of one pass of the hot loop when nothing is found.

    ``alu`` are instructions of the integer ALU, ``fma_slots`` issue slots of the FMA pipe (IMAD
    one, IMAD.HI and IMAD.WIDE two). ``other`` are instructions that no list here names: a new
    architecture's, to be looked at before any ceiling is believed.
    """

    instructions: int
    alu: int
    fma_slots: int
    uniform: int
    control: int
    constant_loads: int
    global_memory: int
    shared_memory: int
    local_memory: int
    other: int
    opcodes: Mapping[str, int]


def count_hot_loop(disassembly: str, function: str) -> Counts:
    """Count the largest loop of the function whose name contains ``function``."""
    code, labels = _function(disassembly, function)
    return _count(_pass_without_a_hit(code, labels))


def _function(disassembly: str, name: str) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """The function's (opcode, operands) in order, and what index each label stands for."""
    code: list[tuple[str, str]] = []
    labels: dict[str, int] = {}
    inside = False
    for line in disassembly.splitlines():
        if line.startswith(".text."):
            inside = name in line
        elif inside and (label := _LABEL.match(line)):
            labels[label[1]] = len(code)
        elif inside and (instruction := _INSTRUCTION.match(line)):
            code.append((instruction[1], instruction[2]))
    if not code:
        raise UnreadableCodeError(f"the disassembly has no function {name!r}")
    return code, labels


def _pass_without_a_hit(code: Sequence[tuple[str, str]], labels: Mapping[str, int]) -> list[str]:
    """The opcodes of one pass; whatever a branch inside the loop can skip is not on the path.

    The only branches of the kernels' loops skip what is done with a hit.
    """
    jumps = {
        at: labels[target[1]]
        for at, (opcode, operands) in enumerate(code)
        if opcode.startswith("BRA") and (target := _TARGET.search(operands))
    }
    loops = [(at - to, to, at) for at, to in jumps.items() if to < at]
    if not loops:
        raise UnreadableCodeError("the function has no loop")
    _, at, end = max(loops)
    path = []
    while at <= end:
        path.append(code[at][0])
        skip = jumps.get(at, 0)
        at = skip if at < skip <= end else at + 1
    return path


def _count(path: Sequence[str]) -> Counts:
    bases = Counter(opcode.split(".")[0] for opcode in path)
    pipes: Counter[str] = Counter()
    for name, number in bases.items():
        pipes[_pipe(name)] += number
    doubled = sum(
        opcode.startswith("IMAD.") and not _DOUBLE.isdisjoint(opcode.split(".")) for opcode in path
    )
    return Counts(
        instructions=len(path),
        alu=pipes["alu"],
        fma_slots=pipes["fma"] + doubled,
        uniform=pipes["uniform"],
        control=pipes["control"],
        constant_loads=pipes["constant_loads"],
        global_memory=pipes["global_memory"],
        shared_memory=pipes["shared_memory"],
        local_memory=pipes["local_memory"],
        other=pipes["other"],
        opcodes=dict(sorted(bases.items(), key=lambda item: (-item[1], item[0]))),
    )


def _pipe(name: str) -> str:
    """Where an opcode runs; U… is the scalar data path of a warp, with the moves to and from it."""
    uniform = name.startswith("U") or name in {"R2UR", "S2UR", "VOTEU"}
    return _PIPE_OF.get(name, "uniform" if uniform else "other")
