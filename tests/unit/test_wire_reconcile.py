"""Reconciliation messages as bytes, and our code against the vectors of `tests/vectors/make_reconcile.py`."""

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.proto.itemset import ItemSet
from nexus_node.proto.reconcile_responder import Responder
from nexus_node.proto.sketch import decode, syndromes
from nexus_node.wire.reconcile import (
    BEGIN,
    END,
    Answer,
    Extras,
    Question,
    Range,
    Summary,
    parse_reconcile_untrusted,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/vectors/make_reconcile.py"
VECTORS: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/reconcile.json").read_text("utf-8"))

_u8, _u32 = st.integers(0, 255), st.integers(0, 2**32 - 1)
_ids = st.lists(st.binary(min_size=8, max_size=8), max_size=4).map(tuple)
_shorts = st.lists(_u32, max_size=4).map(tuple)
_places = st.tuples(_u32, st.binary(max_size=8).map(lambda prefix: prefix.ljust(8, b"\0")))
_summaries = st.builds(Summary, _u32, st.integers(0, 2**64 - 1))


@st.composite
def _ranges(draw: st.DrawFn) -> tuple[Range, ...]:
    borders = sorted({*draw(st.lists(_places, max_size=8)), *draw(st.sampled_from(([], [BEGIN, END])))})
    says = st.one_of(st.binary(min_size=4, max_size=4), _shorts)
    pairs = itertools.pairwise(borders)
    return tuple(Range(*pair, draw(says)) for pair in pairs if draw(st.integers(0, 3)))


_questions = st.one_of(
    st.builds(
        lambda salt, last, summary, sketch: Question(salt[0], 0, last, (salt, summary), sketch),
        st.binary(min_size=8, max_size=8),
        st.booleans(),
        _summaries,
        st.sampled_from((None, (0, 0))),
    ),
    st.builds(
        Question,
        _u8,
        _u8,
        st.booleans(),
        st.none(),
        st.none() | st.tuples(_u8, _u8),
        _ranges(),
        _shorts,
        _ids,
    ),
)
_bitmaps = st.integers(0, 2**40)
_extras = st.lists(st.builds(Extras, _bitmaps, _ids, st.none() | _places), max_size=3).map(tuple)
_answers = st.one_of(
    st.builds(Answer, _u8, _u8, st.none() | _summaries, _shorts, _bitmaps, _extras),
    st.builds(Answer, _u8, _u8, st.none() | _summaries, st.none(), _bitmaps, _extras, _ids),
)


@given(_questions | _answers)
def test_what_is_encoded_is_read_again(message: Question | Answer) -> None:
    assert parse_reconcile_untrusted(message.encode()) == message


def test_ten_thousand_pieces_of_garbage_are_refused_or_read() -> None:
    dice = random.Random(7)
    good = [bytes.fromhex(one[key]) for one in VECTORS for key in ("question", "answer") if key in one]
    refused = 0
    for round_ in range(10_000):
        data = bytearray(dice.choice(good) if round_ % 2 else dice.randbytes(dice.randrange(60)))
        for _ in range(dice.randrange(4) if data else 0):
            at = dice.randrange(len(data))
            data[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(1, 4))
        try:
            message = parse_reconcile_untrusted(bytes(data))
        except BadWire as error:
            assert error.code == "bad_reconcile"
            refused += 1
        else:
            assert parse_reconcile_untrusted(message.encode()) == message
    assert 1000 < refused < 9900


def test_a_range_takes_few_bytes() -> None:
    """Five to an hour ahead, its fingerprint included; the first bears the time since 1970."""
    hours = [(1_767_225_600 + 3600 * hour, bytes(8)) for hour in range(17)]
    pairs = itertools.pairwise(hours)
    question = Question(1, 1, ranges=tuple(Range(*pair, b"1234") for pair in pairs))
    assert len(question.encode()) == 3 + 1 + 5 + 1 + 16 * (2 + 4)


# --- vectors ------------------------------------------------------------------------------------------
def chosen(start: str) -> Any:
    vectors = [one for one in VECTORS if one["id"].startswith(start)]
    assert vectors
    return pytest.mark.parametrize("vector", vectors, ids=[one["id"] for one in vectors])


def raw(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


@chosen("reconcile-hash")
def test_n10_hashes(vector: dict[str, Any]) -> None:
    items = ItemSet({}, raw(vector, "salt"))
    assert items.hash(raw(vector, "item")).to_bytes(8, "little") == raw(vector, "hash")
    assert items.short(raw(vector, "item")) == vector["short"]


@chosen("reconcile-sketch")
def test_n10_sketches(vector: dict[str, Any]) -> None:
    assert syndromes(vector["values"], 8) == vector["syndromes"]
    expected = set(vector["values"]) if len(vector["values"]) <= 8 else None
    assert decode(vector["syndromes"]) == expected


@chosen("reconcile-exchange")
def test_n10_a_question_and_its_answer(vector: dict[str, Any]) -> None:
    question = parse_reconcile_untrusted(raw(vector, "question"))
    assert isinstance(question, Question) and question.encode() == raw(vector, "question")
    held = {bytes.fromhex(item): time for time, item in vector["answers"]}
    responder = Responder(held, salt=raw(vector, "salt"), room=1400)
    assert (responder.take(question).message or b"").hex() == vector["answer"]
    answer = parse_reconcile_untrusted(raw(vector, "answer"))
    assert isinstance(answer, Answer) and answer.encode() == raw(vector, "answer")


@chosen("reconcile-cut")
def test_n10_an_answer_that_was_cut_off(vector: dict[str, Any]) -> None:
    assert parse_reconcile_untrusted(raw(vector, "question")) == Question(
        0xA0, 3, ranges=(Range(BEGIN, END, ()),)
    )
    answer = parse_reconcile_untrusted(raw(vector, "answer"))
    time, item = vector["cut"]
    items = tuple(map(bytes.fromhex, vector["items"]))
    assert answer == Answer(0xA0, 3, extras=(Extras(0, items, (time, bytes.fromhex(item))),))


@chosen("reconcile-bad")
def test_what_must_be_refused_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(BadWire) as caught:
        parse_reconcile_untrusted(raw(vector, "message"))
    assert caught.value.code == vector["refused"]


def test_the_script_makes_the_committed_vectors_without_us(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, timeout=60)
    assert json.loads((tmp_path / "reconcile.json").read_text("utf-8")) == VECTORS
    imports = [line for line in SCRIPT.read_text("utf-8").splitlines() if line.startswith(("import", "from"))]
    assert not [line for line in imports if "nexus" in line]


def test_the_page_cites_every_family_of_vectors() -> None:
    page = (ROOT / "docs/protocol/reconcile.md").read_text("utf-8")
    families = {one["id"].split("-bad-")[0].rstrip("0123456789") for one in VECTORS}
    assert not [family for family in families if f"`{family}" not in page]
    assert "`reconcile-bad-" in page and "tests/vectors/reconcile.json" in page
