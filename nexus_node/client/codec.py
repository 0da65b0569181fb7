"""The control protocol's lines, for both of its ends (docs/control.md)."""

import json
from collections.abc import Mapping
from math import isinf
from typing import Any

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.limits import CONTROL_LINE_MAX

from .errors import ControlError

BAD_ANSWER = (
    "the node's answer cannot be understood; restart the node, so that it is of the same version as nexus"
)


def encode_line(message: Mapping[str, Any]) -> bytes:
    """One JSON object and its newline, in ASCII. Raises `InputError` beyond `CONTROL_LINE_MAX`."""
    line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(line) > CONTROL_LINE_MAX:
        raise InputError(
            f"this takes {len(line)} bytes on the control socket, whose lines hold {CONTROL_LINE_MAX}; "
            "make it shorter"
        )
    return line + b"\n"


def encode_request(request_id: int, verb: str, args: Mapping[str, Any] | None) -> bytes:
    """A request's line. Raises `InputError` when it is too long or holds what is no text."""
    line = encode_line({"id": request_id, "verb": verb, "args": dict(args or {})})
    try:
        parse_line_untrusted(line)
    except BadWire:
        # Names and arguments from the operating system may hold bytes that are not UTF-8.
        raise InputError("a name or argument is not UTF-8; write it, or rename the file, in UTF-8") from None
    return line


def parse_line_untrusted(line: bytes) -> dict[str, Any]:
    """Read one line without its newline. Raises `BadWire` unless it is one JSON object of valid text."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
        if b"\\ud" in line.lower():
            # An escaped half of a surrogate pair is legal JSON but no text: it could never be encoded.
            json.dumps(message, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadWire("control_line") from error
    if not isinstance(message, dict):
        raise BadWire("control_line")
    return message


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"{digits} is too large a number")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class LineBuffer:
    """Cuts a byte stream into lines, holding at most one unfinished line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes. Raises `BadWire` once one exceeds `CONTROL_LINE_MAX`."""
        head, *tail = data.split(b"\n")
        lines = [self._rest + head, *tail]
        self._rest = lines.pop()
        if any(len(line) > CONTROL_LINE_MAX for line in (*lines, self._rest)):
            raise BadWire("control_line_length")
        return lines


def answer_error(answer: Mapping[str, Any]) -> ControlError | None:
    """The error an answer carries, if it carries one."""
    if "error" not in answer:
        return None
    error = answer["error"]
    if not isinstance(error, dict):
        return ControlError("bad_answer", BAD_ANSWER)
    details = {key: value for key, value in error.items() if key not in ("code", "message")}
    return ControlError(str(error.get("code")), str(error.get("message")), details)
