"""KISS as firmware reads it: byte by byte, with what each firmware makes of it left to the machine."""

FEND, FESC, TFEND, TFESC = 0xC0, 0xDB, 0xDC, 0xDD


def unescaped(byte: int) -> int:
    """What an escaped byte stands for; firmware takes any other as it is."""
    return {TFEND: FEND, TFESC: FESC}.get(byte, byte)


def framed(command: int, payload: bytes = b"") -> bytes:
    """A frame to the host."""
    out = bytearray((FEND, command))
    for byte in payload:
        if byte == FEND:
            out += bytes((FESC, TFEND))
        elif byte == FESC:
            out += bytes((FESC, TFESC))
        else:
            out.append(byte)
    out.append(FEND)
    return bytes(out)
