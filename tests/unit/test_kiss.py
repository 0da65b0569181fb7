"""KISS framing: round trips, splits, noise and bounds (acceptance A1 to A4)."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware.kiss import KissDecoder, KissFrame, encode_kiss

LIMIT = 508
awkward = st.lists(st.sampled_from([0xC0, 0xDB, 0xDC, 0xDD, 0x00]), max_size=60).map(bytes)
frames = st.builds(KissFrame, st.integers(0, 255), st.binary(max_size=80) | awkward)


def pieces_of(stream, cuts):
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def test_known_frames():
    """The RNode detection request in one write, and a frame of nothing but special bytes."""
    request = encode_kiss(0x08, b"\x73") + encode_kiss(0x50, b"\x00")
    assert request == bytes.fromhex("c00873c0c05000c0")
    worst = encode_kiss(0x00, bytes.fromhex("c0dbdcdd"))
    assert worst == bytes.fromhex("c000dbdcdbdddcddc0")
    assert KissDecoder(LIMIT).feed(request + worst) == [
        (0x08, b"\x73"),
        (0x50, b"\x00"),
        (0x00, bytes.fromhex("c0dbdcdd")),
    ]


def test_neighbouring_frames_may_share_a_fend():
    stream = bytes.fromhex("c00873c05000c04800c0")
    assert KissDecoder(LIMIT).feed(stream) == [(0x08, b"\x73"), (0x50, b"\x00"), (0x48, b"\x00")]


@given(st.lists(frames, max_size=6), st.lists(st.integers(0, 10_000), max_size=8))
def test_round_trip_in_any_pieces(sent, cuts):
    decoder = KissDecoder(LIMIT)
    stream = b"".join(encode_kiss(*frame) for frame in sent)
    got = [frame for piece in pieces_of(stream, cuts) for frame in decoder.feed(piece)]
    assert got == sent
    assert decoder.dropped == 0


@given(st.binary(max_size=200) | awkward, st.lists(st.integers(0, 10_000), max_size=8))
def test_pieces_of_noise_give_what_the_whole_gives(noise, cuts):
    whole, pieces = KissDecoder(20), KissDecoder(20)
    expected = whole.feed(noise)
    assert [frame for piece in pieces_of(noise, cuts) for frame in pieces.feed(piece)] == expected
    assert pieces.dropped == whole.dropped


@given(st.binary(max_size=3000) | awkward, frames)
def test_a_frame_after_noise_is_found(noise, frame):
    assert KissDecoder(LIMIT).feed(noise + encode_kiss(*frame))[-1] == frame


def test_what_comes_before_the_first_fend_is_no_frame():
    decoder = KissDecoder(LIMIT)
    assert decoder.feed(b"booting...\r\n" + encode_kiss(1, b"a")) == [(1, b"a")]
    assert decoder.dropped == 0


def test_meaningless_and_cut_escapes_drop_the_frame():
    decoder = KissDecoder(LIMIT)
    assert decoder.feed(bytes.fromhex("c000db41c0")) == []
    assert decoder.feed(bytes.fromhex("c00041dbc0")) == []
    assert decoder.feed(bytes.fromhex("c000dbdbdcc0")) == []
    assert decoder.dropped == 3
    assert decoder.feed(encode_kiss(0, b"ok")) == [(0, b"ok")]


def test_the_limit_counts_data_bytes_without_escapes():
    decoder = KissDecoder(LIMIT)
    for byte in (b"\x00", b"\xc0"):
        assert decoder.feed(encode_kiss(0, byte * LIMIT)) == [(0, byte * LIMIT)]
        assert decoder.feed(encode_kiss(0, byte * (LIMIT + 1))) == []
    assert decoder.dropped == 2


def test_an_endless_frame_stays_bounded():
    decoder = KissDecoder(LIMIT)
    decoder.feed(b"\xc0")
    for _ in range(1000):
        assert decoder.feed(b"\x55" * 10_000) == []
        assert decoder._body is None or len(decoder._body) <= 2 * (LIMIT + 1)
    assert decoder.dropped == 1
    assert decoder.feed(encode_kiss(2, b"back")) == [(2, b"back")]
