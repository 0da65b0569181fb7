"""Make the preset dictionaries of the text codecs from the corpus beside this script.

Deterministic: the same corpus gives the same bytes. Imports nothing of the project.

    python packaging/dictionary/make_dictionary.py             write nexus_node/wire/dictionaries/
    python packaging/dictionary/make_dictionary.py --measure   print what each brings, write nothing
"""

import hashlib
import heapq
import sys
import zlib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / "nexus_node/wire/dictionaries"
HELD_OUT = ROOT / "tests/corpus/messages"

LANGUAGES = ("en", "es", "de", "fr", "pt", "it", "zh", "ru", "uk", "ar")
"""In the order of their codec ids, from 1."""
WIDE = {"zh", "ru", "uk", "ar"}
"""Scripts of two or three bytes a character: two to three characters are six bytes."""
WINDOW = 32768

HEADER = '''"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: {rules}

TEXT = """\\
'''
LOOKALIKES = {"zh", "ru", "uk"}
"""Languages with letters that ruff takes for misspelt Latin ones (RUF001)."""


def grams(line: bytes, size: int) -> set[bytes]:
    return {line[at : at + size] for at in range(len(line) - size + 1)}


def order_by_coverage(lines: list[bytes], size: int) -> list[bytes]:
    """Put the lines with the most reusable text last, where matches cost the fewest distance bits.

    A gram is worth the number of other lines that hold it; a line is worth the grams that no line
    taken before it has, per byte. Taken greedily, best first.
    """
    worth = Counter(gram for line in lines for gram in grams(line, size))
    covered: set[bytes] = set()

    def score(line: bytes) -> float:
        return sum(worth[gram] - 1 for gram in grams(line, size) - covered) / (len(line) + 1)

    heap = [(-score(line), line) for line in lines]
    heapq.heapify(heap)
    best_first = []
    while heap:
        line = heapq.heappop(heap)[1]
        now = -score(line)  # others taken meanwhile may have covered part of it
        if heap and now > heap[0][0]:
            heapq.heappush(heap, (now, line))
            continue
        best_first.append(line)
        covered |= grams(line, size)
    return best_first[::-1]


def make(language: str) -> bytes:
    lines = (HERE / "corpus" / f"{language}.txt").read_bytes().splitlines()
    dictionary = b"\n".join(order_by_coverage(lines, 6 if language in WIDE else 4))
    if len(dictionary) > WINDOW:
        sys.exit(f"{language}.txt makes {len(dictionary)} bytes; a DEFLATE window has {WINDOW}")
    return dictionary


def deflated(text: bytes, dictionary: bytes) -> int:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 5, zdict=dictionary)
    return min(len(text), len(compressor.compress(text) + compressor.flush()))


def measure(language: str, dictionary: bytes) -> str:
    """Mean bytes of the held-out messages by length in characters: raw, plain DEFLATE, with dictionary."""
    messages = (HELD_OUT / f"{language}.txt").read_text("utf-8").splitlines()
    cells = []
    for low, high in ((0, 40), (40, 500), (500, 9999)):
        texts = [m.encode() for m in messages if low <= len(m) < high]
        if texts:
            means = [
                sum(sizes) / len(texts)
                for sizes in (
                    [len(t) for t in texts],
                    [deflated(t, b"") for t in texts],
                    [deflated(t, dictionary) for t in texts],
                )
            ]
            cells.append("{:.0f} -> {:.0f} -> {:.1f}".format(*means))
    return " | ".join(cells)


def main() -> None:
    only_measure = sys.argv[1:] == ["--measure"]
    for codec, language in enumerate(LANGUAGES, 1):
        dictionary = make(language)
        digest = hashlib.blake2b(dictionary, digest_size=32).hexdigest()
        if not only_measure:
            text = dictionary.decode()
            if "\\" in text or '"""' in text:
                sys.exit(f"{language}.txt holds a backslash or a triple quote")
            header = HEADER.format(rules="E501, RUF001" if language in LOOKALIKES else "E501")
            (TARGET / f"{language}.py").write_text(header + text + '\\\n"""\n', "utf-8")
        print(f"| {codec} | {language} | {len(dictionary)} | {digest} | {measure(language, dictionary)}")


if __name__ == "__main__":
    main()
