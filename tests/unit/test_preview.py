"""N13: a preview of an image in some hundred bytes, and only where the way affords it (ADR 0005)."""

import random
from io import BytesIO

import pytest
from PIL import Image

from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.engine.attach import preview_room, seal_attachment
from nexus_node.engine.mailbox import Way
from nexus_node.ports.driver import LinkProfile
from nexus_node.runtime.preview import make_preview
from nexus_node.wire.description import encode_descriptions, parse_descriptions_untrusted
from tests.harness.pictures import picture

PHOTO = picture(1600, 1200)


@pytest.mark.parametrize("room", [700, 450, 300, 200, 150])
def test_the_best_that_fits(room: int) -> None:
    preview = make_preview(BytesIO(PHOTO), room)
    assert room / 2 < len(preview) <= room
    shown = Image.open(BytesIO(preview), formats=["WEBP"])
    assert max(shown.size) <= 64
    # It is that picture: the mean colours of its quarters are.
    small = Image.open(BytesIO(PHOTO)).resize((2, 2), Image.Resampling.BOX)
    again = shown.convert("RGB").resize((2, 2), Image.Resampling.BOX)
    for one, other in zip(*(image.get_flattened_data() for image in (small, again)), strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 40


def test_none_where_there_is_no_room() -> None:
    assert make_preview(BytesIO(PHOTO), 40) == b""
    assert make_preview(BytesIO(PHOTO), 0) == b""


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_kinds_of_images(kind: str) -> None:
    assert make_preview(BytesIO(picture(200, 100, kind)), 700)


def test_it_stands_upright_and_tells_nothing_else() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "where and when it was taken"
    preview = make_preview(BytesIO(picture(400, 200, exif=exif)), 700)
    shown = Image.open(BytesIO(preview))
    assert shown.height > shown.width
    assert not shown.getexif()
    assert b"taken" not in preview


def test_what_is_no_image_or_damaged_or_too_large_has_none() -> None:
    assert make_preview(BytesIO(), 700) == b""
    assert make_preview(BytesIO(b"not an image" * 100), 700) == b""
    assert make_preview(BytesIO(PHOTO[:200]), 700) == b""
    dice = random.Random(1)
    for _ in range(60):
        hurt = bytearray(PHOTO[:40_000])
        for _ in range(20):
            hurt[dice.randrange(len(hurt))] = dice.randrange(256)
        assert len(make_preview(BytesIO(hurt), 700)) <= 700
    bomb = BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    assert make_preview(bomb, 700) == b""


class _Link:
    def __init__(self, bps: float, duty: float | None = None) -> None:
        self.profile = LinkProfile(mtu=255, bps=bps, duty_cycle=duty)


def way(bps: float, duty: float | None = None) -> Way:
    return Way(_Link(bps, duty))


@pytest.mark.parametrize(
    ("ways", "room"),
    [
        ([], 450),  # not known: as over 1.2 kbit/s
        ([way(1200)], 450),
        ([way(5e6)], 700),
        ([way(300)], 112),
        ([way(3125, 0.01)], 700),
        ([way(1758, 0.01)], 395),  # 1.8 s of the 36 s that an hour has
        ([way(250, 0.01)], 56),
        ([way(5e6), way(300)], 112),  # it goes to two relays
    ],
)
def test_n13_how_much_a_way_affords(ways: list[Way], room: int) -> None:
    assert preview_room(ways) == room


def test_it_is_what_the_description_says() -> None:
    preview = make_preview(BytesIO(PHOTO), 450)
    file = seal_attachment("a.jpg", PHOTO, media_type="image/jpeg", key=bytes(32), preview=preview)
    packed = encode_descriptions([file.description])
    assert len(packed) < 600 < CHUNK_SIZE
    assert parse_descriptions_untrusted(packed)[0][0].preview == preview
