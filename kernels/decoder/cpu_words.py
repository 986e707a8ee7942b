"""What Numba lacks for a step on a CPU: addresses as tensors, bf16 by its bits, threads that meet.

Each is a few instructions of LLVM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import extending

types: Any = numba.types  # its annotations do not know of all it makes
Maker = Callable[..., Any]
intrinsic: Callable[[Maker], Maker] = extending.intrinsic
"""Typed: what it makes is called without the context."""


@intrinsic
def pointer(_context: Any, address: Any, like: Any) -> Any:
    """The elements at an address, of the type of ``like``: an array or a NumPy scalar type."""
    made = types.CPointer(like.dtype)

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(made))

    return made(address, like), code


@intrinsic
def wide(_context: Any, value: Any) -> Any:
    """fp32 of an fp32, or of the bits of a bf16."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, bits.type(16)), ir.FloatType())

    return types.float32(value), code


@intrinsic
def narrow(_context: Any, value: Any, like: Any) -> Any:
    """An fp32 in the type of ``like``; bits of bf16 are rounded to nearest, ties to even."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if like.dtype == types.float32:
            return arguments[0]
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        odd = builder.and_(builder.lshr(bits, bits.type(16)), bits.type(1))
        rounded = builder.add(bits, builder.add(odd, bits.type(0x7FFF)))
        return builder.trunc(builder.lshr(rounded, bits.type(16)), ir.IntType(16))

    return like.dtype(value, like), code


@intrinsic
def nearest(_context: Any, _value: Any) -> Any:
    """The whole number nearest to an fp32, as fp32."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.call(
            builder.module.declare_intrinsic("llvm.rint", [ir.FloatType()]), arguments
        )

    return types.float32(types.float32), code


@intrinsic
def power_of_two(_context: Any, _exponent: Any) -> Any:
    """2 to the power of a whole number in fp32, by its bits."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], word), word(127))
        return builder.bitcast(builder.shl(biased, word(23)), ir.FloatType())

    return types.float32(types.float32), code


@intrinsic
def offset(_context: Any, base: Any, _more: Any) -> Any:
    """A pointer to fp32, ``more`` bytes on."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.ptrtoint(arguments[0], ir.IntType(64))
        return builder.inttoptr(builder.add(address, arguments[1]), arguments[0].type)

    return base(base, types.int64), code


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def count_arrival(_context: Any, _address: Any) -> Any:
    """Add 1 to the word at an address, for all threads to see after what was written before."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        one = ir.IntType(64)(1)
        return builder.atomic_rmw("add", _word(builder, arguments[0]), one, "seq_cst")

    return types.int64(types.int64), code


@intrinsic
def peek(_context: Any, _address: Any, _more: Any) -> Any:
    """The word ``more`` bytes behind an address as other threads have left it."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        at = _word(builder, builder.add(arguments[0], arguments[1]))
        return builder.load_atomic(at, "seq_cst", 8)

    return types.int64(types.int64, types.int64), code


@intrinsic
def give_way(_context: Any) -> Any:
    """Let another thread have this CPU, should one want it."""

    def code(_context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        name = "sched_yield"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, [])

    return types.int32(), code
