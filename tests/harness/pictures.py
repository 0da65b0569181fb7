"""Images for tests."""

import random
from io import BytesIO

from PIL import Image, ImageDraw, ImageFilter


def picture(width: int, height: int, kind: str = "JPEG", **options) -> bytes:
    """Something like a photo."""
    dice = random.Random(width)
    image = Image.effect_noise((width // 8, height // 8), 90).resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, side = dice.randrange(width), dice.randrange(height), dice.randrange(width // 20, width // 3)
        draw.ellipse((x, y, x + side, y + side), fill=tuple(dice.randrange(256) for _ in range(3)))
    out = BytesIO()
    image.filter(ImageFilter.GaussianBlur(2)).save(out, kind, **options)
    return out.getvalue()
