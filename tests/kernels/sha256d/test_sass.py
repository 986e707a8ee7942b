"""Counting machine code: pipes, slots and the path without a hit, on listings made by hand."""

from __future__ import annotations

import pytest

from bench.kernels.sha256d.sass import UnreadableCodeError, count_hot_loop

LISTING = """
	.section	.text.other,"ax",@progbits
other:
.text.other:
.L_x_9:
        /*0000*/                   FADD R1, R1, R2 ;
        /*0010*/                   BRA `(.L_x_9) ;
	.section	.text.kernel_scan,"ax",@progbits
kernel_scan:
.text.kernel_scan:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   SHF.L.W.U32.HI R0, R1.reuse, 0x1a, R1.reuse ;
        /*0020*/                   IMAD.IADD R0, R0, 0x1, R1 ;
        /*0030*/                   IMAD.HI.U32 R0, R0, UR4, RZ ;
        /*0040*/                   IMAD.WIDE.U32 R2, R0, UR4, RZ ;
        /*0050*/                   LOP3.LUT P1, RZ, R0, UR5, RZ, 0xc0, !PT ;
        /*0060*/                   BSSY B0, `(.L_x_1) ;
        /*0070*/               @P1 BRA `(.L_x_1) ;
        /*0080*/                   ATOMG.E.ADD.STRONG.GPU PT, R9, desc[UR6][R8.64], R15 ;
        /*0090*/               @P2 STG.E desc[UR6][R8.64], R2 ;
.L_x_1:
        /*00a0*/                   UIADD3 UR4, UR4, 0x1, URZ ;
        /*00b0*/                   LDCU UR6, c[0x0][0x360] ;
        /*00c0*/                   NEWOP R3 ;
        /*00d0*/              @!P0 BRA `(.L_x_0) ;
        /*00e0*/                   EXIT ;
.L_x_2:
        /*00f0*/                   BRA `(.L_x_2);
"""


def test_pipes_of_the_path_without_a_hit() -> None:
    counts = count_hot_loop(LISTING, "kernel_scan")
    assert counts.instructions == 11
    assert (counts.alu, counts.fma_slots) == (2, 1 + 2 + 2)
    assert (counts.control, counts.uniform, counts.constant_loads) == (3, 1, 1)
    assert (counts.global_memory, counts.shared_memory, counts.local_memory) == (0, 0, 0)
    assert counts.other == 1, "an opcode that nobody knows is shown, not guessed"
    assert dict(counts.opcodes)["IMAD"] == 3


@pytest.mark.parametrize(
    ("opcode", "field"),
    [("LDL.LU R1, [R2]", "local_memory"), ("LDS R1, [R2]", "shared_memory"),
     ("LDG.E R1, [R2]", "global_memory")],
)  # fmt: skip
def test_memory_on_the_path_is_seen(opcode: str, field: str) -> None:
    counts = count_hot_loop(LISTING.replace("NEWOP R3", opcode), "kernel_scan")
    assert getattr(counts, field) == 1
    assert counts.other == 0


def test_no_function_and_no_loop_are_named() -> None:
    with pytest.raises(UnreadableCodeError, match="no function 'absent'"):
        count_hot_loop(LISTING, "absent")
    straight = LISTING.replace("@!P0 BRA `(.L_x_0)", "NOP").replace("BRA `(.L_x_2)", "NOP")
    with pytest.raises(UnreadableCodeError, match="no loop"):
        count_hot_loop(straight, "kernel_scan")
