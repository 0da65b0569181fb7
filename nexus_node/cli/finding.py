"""What `nexus doctor` gives: findings, and how our errors are read as such."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One line: what was looked at, whether it is well, what was found, and what to do about it."""

    check: str
    ok: bool
    found: str
    do: str = ""


def split_cure(sentence: str) -> tuple[str, str]:
    """Our errors name the thing, then the cure after a semicolon."""
    found, _, do = sentence.rpartition("; ")
    return (found, do) if found else (sentence, "correct it")
