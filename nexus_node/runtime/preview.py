"""Small previews of images, which go ahead with what is said of a file (N13, docs/adr/0005-previews.md).

Loaded only when an image is sent: it imports Pillow, which a node without it does without. Pillow only ever
reads the owner's own files here; what others send is handed on unopened.
"""

from io import BytesIO
from typing import BinaryIO

from PIL import Image, ImageOps

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_PIXELS_MAX = 100_000_000
"""A larger image takes more memory than a preview is worth."""
_ATTEMPTS = ((64, 50), (64, 30), (48, 30), (48, 10), (32, 10), (32, 1))
"""Longest side and quality, the best first."""


def make_preview(file: BinaryIO, room: int) -> bytes:
    """The best WebP of at most `room` bytes, upright and without what cameras note down; empty if there is
    none, or the file holds no image."""
    try:
        image = Image.open(file, formats=_FORMATS)
        if image.width * image.height > _PIXELS_MAX:
            return b""
        image.draft("RGB", (128, 128))  # a JPEG of 12 megapixels is decoded at an eighth of its size
        image.thumbnail((64, 64))
        upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""
    for side, quality in _ATTEMPTS:
        upright.thumbnail((side, side))
        out = BytesIO()
        upright.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= room:
            return out.getvalue()
    return b""
