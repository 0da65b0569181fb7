"""Decoders of byte streams: the same events in any pieces, no error, bounded memory, and they find the next
good frame whatever came before (A1, A2, A4)."""

import ast
import json
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .mutate import mutate
from .streams import STREAMS, Stream, awkward

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus" / "streams"
CODECS = ROOT / "firmware_bridge" / "nexus_firmware"
CUTS = st.lists(st.integers(0, 10_000), max_size=8)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def check(stream: Stream, data: bytes, cuts: list[int]) -> int:
    """How many events there are in `data`."""
    whole = stream.make()
    events = whole.feed(data)
    pieces = stream.make()
    assert [event for piece in in_pieces(data, cuts) for event in pieces.feed(piece)] == events
    for decoder in (whole, pieces):
        assert decoder.feed(stream.sure)[-1:] == [stream.found], data.hex()
    return len(events)


def hostile(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    mutated = st.builds(mutate, valid, st.integers(0, 2**32 - 1))
    return st.one_of(st.binary(max_size=200), awkward, mutated, mutated, mutated)


def each(stream: Stream, examples: int) -> None:
    @settings(max_examples=examples, deadline=2000, database=None, suppress_health_check=list(HealthCheck))
    @given(data=hostile(stream.valid), cuts=CUTS)
    def run(data: bytes, cuts: list[int]) -> None:
        check(stream, data, cuts)

    run()


@pytest.mark.parametrize("name", STREAMS)
def test_decoder_stands_300_inputs(name: str) -> None:
    each(STREAMS[name], 300)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", STREAMS)
def test_decoder_stands_50_000_inputs(name: str) -> None:
    for _ in range(20):
        each(STREAMS[name], 2500)


@pytest.mark.parametrize(
    ("byte", "megabytes"), [(0x55, 10), (0x00, 0.2), (0x94, 0.2), (0xC0, 0.2), (0xDB, 0.2), (0x0A, 0.2)]
)
@pytest.mark.parametrize("name", STREAMS)
def test_megabytes_of_nothing_stay_bounded(name: str, byte: int, megabytes: float) -> None:
    stream = STREAMS[name]
    decoder = stream.make()
    decoder.feed(stream.sure)
    piece = bytes((byte,)) * 100_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(round(10 * megabytes)):
            decoder.feed(piece)
        assert tracemalloc.get_traced_memory()[0] - before <= stream.memory
    finally:
        tracemalloc.stop()
    assert decoder.feed(stream.sure)[-1:] == [stream.found]


@pytest.mark.parametrize("name", STREAMS)
def test_corpus(name: str) -> None:
    """Streams worth keeping, with how many events each holds."""
    cases = json.loads((CORPUS / f"{name.rpartition('.')[2]}.json").read_text())
    assert len(cases) >= 4
    for case in cases:
        data = b"".join(bytes.fromhex(part) * times for part, times in case["parts"])
        count = check(STREAMS[name], data, list(range(1, len(data), 3)))
        assert count == case["events"], case["why"]


def test_every_decoder_is_in_the_table() -> None:
    """A class with a `feed` that nobody feeds garbage does not get in."""
    assert set(decoders()) == set(STREAMS)


def decoders() -> Iterator[str]:
    for path in CODECS.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(one, ast.FunctionDef) and one.name == "feed" for one in node.body
            ):
                yield f"nexus_firmware.{path.stem}.{node.name}"
