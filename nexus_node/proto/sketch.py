"""PinSketch: the few differences of two sets of 32-bit values (docs/protocol/reconcile.md).

Dodis, Ostrovsky, Reyzin and Smith 2008, in the field of libminisketch. The syndromes of a set are the sums of
its members' odd powers. Those of two sets, added, are those of their difference, and c of them give away
up to c values.
"""

from collections.abc import Collection, Sequence

from nexus_node.proto.gf32 import (
    BITS,
    ONE,
    STEP,
    coefficient,
    degree,
    element,
    inverse,
    multiply,
    number,
    roots,
)


def syndromes(values: Collection[int], count: int) -> list[int]:
    """The sums of the powers 1, 3, 5 .. of `values`, each 1 to 2^32 - 1: `count` numbers of 32 bits.

    All values at once: plane k is an integer with bit k of each.
    """
    digits = "".join(f"{value:032b}" for value in values) or "0" * BITS
    power = [int(digits[BITS - 1 - k :: BITS], 2) for k in range(BITS)]
    square = _multiply_planes(power, power)
    sums = []
    for _ in range(count):
        sums.append(sum((plane.bit_count() & 1) << k for k, plane in enumerate(power)))
        power = _multiply_planes(power, square)
    return sums


def _multiply_planes(a: Sequence[int], b: Sequence[int]) -> list[int]:
    product = [0] * (2 * BITS - 1)
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            product[i + j] ^= left & right
    for k in reversed(range(BITS, 2 * BITS - 1)):
        for tap in (0, 2, 3, 7):
            product[k - BITS + tap] ^= product[k]
    return product[:BITS]


def decode(sums: Sequence[int]) -> set[int] | None:
    """The values whose syndromes these are, if there are at most `len(sums)`; else None, or a wrong set.

    One in about len(sums)! sketches of too many values gives a wrong set: the caller checks.
    """
    locator = _locator([element(one) for one in sums])
    if degree(locator) > len(sums):
        return None
    values = {number(root) for root in roots(locator)}
    return values if len(values) == degree(locator) and 0 not in values else None


def _locator(odd: Sequence[int]) -> int:
    """The monic polynomial with the values as roots, after Berlekamp and Massey.

    Each even syndrome is the square of the one of half its index; so every second step changes nothing.
    """
    every = [0]
    for one in odd:
        every.append(one)
        half = every[len(every) // 2]
        every.append(multiply(half, half))
    current, previous, scale, length, gap = ONE, ONE, ONE, 0, 1
    for step in range(1, 2 * len(odd), 2):
        off = 0
        for i in range(min(length, degree(current)) + 1):
            off ^= multiply(coefficient(current, i), every[step - i])
        if off:
            changed = current ^ multiply(multiply(off, inverse(scale)), previous) << gap * STEP
            if 2 * length < step:
                previous, scale, length, gap = current, off, step - length, 0
            current = changed
        gap += 2
    reverse = 0
    for i in range(length + 1):
        reverse |= coefficient(current, i) << (length - i) * STEP
    return reverse
