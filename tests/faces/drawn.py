"""A drawn face, of which it is known where its eyes and its chin are."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 320  # px
EYES = (SIDE / 2, SIDE / 2 + 12)  # their middle
CHIN = (SIDE / 2, SIDE / 2 + 100)
_FINE = 4  # drawn so many times larger, for smooth edges
_SKIN, _WHITE = (252, 226, 208), (255, 255, 255)


class _Pen:
    """Draws in px from the middle of the picture."""

    def __init__(self, image: Image.Image) -> None:
        self._draw, self._centre = ImageDraw.Draw(image), SIDE * _FINE // 2

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self._centre + x * _FINE, self._centre + y * _FINE

    def oval(self, x: float, y: float, w: float, h: float, colour: tuple[int, ...]) -> None:
        self._draw.ellipse((*self._at(x - w, y - h), *self._at(x + w, y + h)), fill=colour)

    def area(self, corners: list[tuple[float, float]], colour: tuple[int, ...]) -> None:
        self._draw.polygon([self._at(*corner) for corner in corners], fill=colour)

    def arc(self, x: float, y: float, w: float, h: float, ends: tuple[int, int]) -> None:
        box = (*self._at(x - w, y - h), *self._at(x + w, y + h))
        self._draw.arc(box, *ends, fill=(60, 30, 50), width=4 * _FINE)


def drawn_face() -> np.ndarray:
    """Large eyes, a small mouth, a fringe and long hair, uint8 [320, 320, 3]."""
    image = Image.new("RGB", (SIDE * _FINE, SIDE * _FINE), (200, 220, 240))
    pen, hair = _Pen(image), (90, 60, 150)
    pen.oval(0, -10, 110, 120, hair)
    for side in (-1, 1):
        corners = [(110, -10), (118, 130), (60, 130), (70, 20)]
        pen.area([(side * x, y) for x, y in corners], hair)
    pen.area([(-22, 60), (22, 60), (26, 140), (-26, 140)], (236, 200, 180))
    jaw = [(-80, -40), (80, -40), (78, 20), (55, 65), (0, 100), (-55, 65), (-78, 20)]
    pen.area(jaw, _SKIN)
    pen.oval(0, -20, 80, 72, _SKIN)
    for x in (-42, 42):
        pen.oval(x, 10, 21, 26, _WHITE)
        pen.oval(x, 12, 17, 25, (70, 50, 110))
        pen.oval(x, 18, 13, 16, (140, 110, 200))
        pen.oval(x, 10, 7, 12, (25, 15, 40))
        pen.oval(x - 5, 0, 6, 8, _WHITE)
        pen.arc(x, 7, 24, 27, (200, 340))
    pen.arc(0, 65, 12, 9, (20, 160))
    for left, right, tip in ((-88, -50, 2), (-60, -25, -16), (-30, 5, -8), (0, 35, -18)):
        pen.area([(left, -70), (right, -75), ((left + right) / 2, tip)], hair)
    pen.area([(28, -70), (62, -75), (45, -12)], hair)
    pen.area([(52, -70), (88, -75), (70, 4)], hair)
    pen.oval(0, -85, 86, 38, hair)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
