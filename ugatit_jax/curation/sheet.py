"""Contact sheets: many small pictures in one."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TILE, _TEXT, _GAP = 160, 20, 6  # px
_COLUMNS = 6


def contact_sheet(pictures: Iterable[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Lay out pictures, uint8 [h, w, 3] each, with a caption below: uint8 [H, W, 3].

    All of a picture is seen. The pictures are taken one by one.
    """
    rows = max(1, -(-len(captions) // _COLUMNS))
    step = (_TILE + _GAP, _TILE + _TEXT + _GAP)
    sheet = Image.new("RGB", (_COLUMNS * step[0] + _GAP, rows * step[1] + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = _GAP + i % _COLUMNS * step[0], _GAP + i // _COLUMNS * step[1]
        tile = Image.fromarray(picture)
        tile.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
        sheet.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
        while draw.textlength(caption, font) > _TILE:  # the end of a name tells more
            caption = f"…{caption[2:]}"
        draw.text((left, top + _TILE + 2), caption, fill="black", font=font)
    return np.asarray(sheet)
