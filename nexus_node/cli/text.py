"""Text from outside, made safe for a terminal."""

import unicodedata

UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that move the cursor, reorder what stands beside them, or cannot be encoded."""
JOINERS = frozenset("\u200c\u200d")
"""Format characters that ordinary words and emoji need; they touch only their neighbours."""


def clean(text: str) -> str:
    """`text` on one line, with every character a terminal might obey shown as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in UNSAFE and character not in JOINERS
        else character
        for character in text
    )


def clean_lines(text: str) -> list[str]:
    """As `clean`, but line by line: for message texts, whose line breaks count."""
    return [clean(line).replace("\\t", "    ") for line in text.replace("\r\n", "\n").split("\n")]
