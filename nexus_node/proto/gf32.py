"""GF(2^32) modulo x^32 + x^7 + x^3 + x^2 + 1, and polynomials over it, in whole integers.

An element has one bit a byte, so that an integer product, of which the lowest bit of each byte is kept, is a
carry-less one. A polynomial has one such element every 64 bytes, that of x^0 lowest: a multiplication by
an element is one of integers too, and an addition is `^`.
"""

from functools import cache

BITS = 32
ONE = 1
ELEMENT = (1 << 8 * BITS) - 1
STEP = 16 * BITS
"""Bits from one coefficient to the next: room for a product."""

_DIGITS = int.from_bytes(b"0" * BITS)
_PRODUCT = int.from_bytes(b"\1" * (2 * BITS - 1))


def element(value: int) -> int:
    """From a number of 32 bits, bit i being the coefficient of x^i."""
    return int.from_bytes(f"{value:032b}".encode()) ^ _DIGITS


def number(one: int) -> int:
    """The number of 32 bits that an element is."""
    return int((one ^ _DIGITS).to_bytes(BITS), 2)


def degree(poly: int) -> int:
    """-1 for nought."""
    return (poly.bit_length() + STEP - 1) // STEP - 1


def coefficient(poly: int, power: int) -> int:
    return poly >> power * STEP & ELEMENT


def multiply(one: int, poly: int) -> int:
    """An element times a polynomial, or times another element."""
    products, low = _masks(degree(poly) + 1)
    product = one * poly & products
    for _ in range(2):  # the second takes what the first pushed above x^31
        high = product >> 8 * BITS & low
        product = product & low ^ high ^ high << 16 ^ high << 24 ^ high << 56
    return product


@cache
def _masks(count: int) -> tuple[int, int]:
    """Of `count` coefficients: the product bits, and the bits of reduced ones."""
    each = sum(1 << i * STEP for i in range(count))
    return _PRODUCT * each, ELEMENT * each


def inverse(one: int) -> int:
    """one^(2^32 - 2)."""
    result, power = ONE, one
    for _ in range(BITS - 1):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


def divide(poly: int, divisor: int) -> tuple[int, int]:
    """Quotient and remainder by a monic divisor."""
    quotient, below = 0, degree(divisor)
    for at in reversed(range(degree(poly) - below + 1)):
        lead = coefficient(poly, at + below)
        poly ^= multiply(lead, divisor) << at * STEP
        quotient |= lead << at * STEP
    return quotient, poly


def common(a: int, b: int) -> int:
    """The monic greatest common divisor; `a` is monic."""
    while b:
        b = multiply(inverse(coefficient(b, degree(b))), b)
        a, b = b, divide(a, b)[1]
    return a


def roots(poly: int) -> list[int]:
    """The roots of a monic polynomial if it is a product of different x - a, else none (Berlekamp 1970).

    The trace of bx is 0 for half of all x, so what it has in common with `poly` parts the roots; any two of
    them are parted for at least one b of a basis.
    """
    powers = _frobenius(poly)
    parts = [poly] if powers and degree(poly) else []
    for bit in range(BITS):
        if all(degree(part) == 1 for part in parts):
            break
        trace, scale = 0, 1 << 8 * bit
        for power in powers:
            trace ^= multiply(scale, power)
            scale = multiply(scale, scale)
        finer = []
        for part in parts:
            zeros = common(part, divide(trace, part)[1])
            finer += [one for one in (zeros, divide(part, zeros)[0]) if degree(one)]
        parts = finer
    return [coefficient(part, 0) for part in parts]


def _frobenius(poly: int) -> list[int]:
    """x to the powers 1, 2, 4 .. 2^31 modulo a monic `poly`; empty unless x^(2^32) is x, which is so just
    when `poly` is a product of different x - a."""
    first = power = divide(ONE << STEP, poly)[1]
    powers = []
    for _ in range(BITS):
        powers.append(power)
        square = 0
        for i in range(degree(power) + 1):
            one = coefficient(power, i)
            square |= multiply(one, one) << 2 * i * STEP
        power = divide(square, poly)[1]
    return powers if power == first else []
