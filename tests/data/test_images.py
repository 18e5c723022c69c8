import io
import struct
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images

RED, WHITE = (255, 0, 0), (255, 255, 255)
D50 = (0.9642, 1.0, 0.8249)
SRGB_COLORANTS = (  # of IEC 61966-2-1, adapted to D50
    (0.4360, 0.2225, 0.0139),
    (0.3851, 0.7169, 0.0971),
    (0.1431, 0.0606, 0.7141),
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_come_back_exactly(format: str, options: dict[str, object]) -> None:
    pixels = noise(12, 20, 3)
    np.testing.assert_array_equal(
        images.decode(encode(Image.fromarray(pixels), format, **options)), pixels
    )


def test_jpeg_comes_back_nearly(tmp_path: Path) -> None:
    file = tmp_path / "ramp.jpeg"
    ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    file.write_bytes(encode(Image.fromarray(ramp), "JPEG", quality=95))
    decoded = images.decode(file)
    assert decoded.dtype == np.uint8 and decoded.shape == (32, 32, 3)
    assert np.abs(decoded.astype(int) - ramp).max() < 12


def test_gif_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in (RED, "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(images.decode(data), np.full((4, 6, 3), RED))


def test_greyscale_becomes_rgb() -> None:
    grey = noise(5, 7)
    expected = np.stack([grey] * 3, -1)
    np.testing.assert_array_equal(images.decode(encode(Image.fromarray(grey), "PNG")), expected)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = np.array([[0, 100 * 257, 200 * 257, 65535]], np.uint16)
    decoded = images.decode(encode(Image.fromarray(deep), "PNG"))
    assert decoded[0, :, 0].tolist() == [0, 100, 200, 255]


def test_palette_becomes_rgb() -> None:
    image = Image.new("RGB", (4, 4), RED).quantize(4)
    np.testing.assert_array_equal(images.decode(encode(image, "PNG")), np.full((4, 4, 3), RED))


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(format: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, 0, 0, 255])
    image.putpixel((1, 0), 1)
    decoded = images.decode(encode(image, format, transparency=1))
    assert decoded.tolist() == [[list(RED), list(WHITE)]]


def test_transparency_is_composited_over_white() -> None:
    rgba = noise(6, 6, 4)
    decoded = images.decode(encode(Image.fromarray(rgba, "RGBA"), "PNG"))
    alpha = rgba[..., 3:] / 255
    np.testing.assert_allclose(decoded, rgba[..., :3] * alpha + 255 * (1 - alpha), atol=1)
    grey_alpha = noise(6, 6, 2)
    decoded = images.decode(encode(Image.fromarray(grey_alpha, "LA"), "PNG"))
    alpha = grey_alpha[..., 1:] / 255
    np.testing.assert_allclose(
        decoded, np.repeat(grey_alpha[..., :1] * alpha + 255 * (1 - alpha), 3, -1), atol=1
    )


def test_cmyk_becomes_rgb() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    decoded = images.decode(encode(cyan, "JPEG", quality=100))
    np.testing.assert_allclose(decoded, np.full((16, 16, 3), (0, 255, 255)), atol=4)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, np.fliplr),
        (3, lambda x: np.rot90(x, 2)),
        (4, np.flipud),
        (5, lambda x: np.swapaxes(x, 0, 1)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: np.swapaxes(np.rot90(x, 2), 0, 1)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_undone(orientation: int, upright: Callable) -> None:
    pixels = noise(3, 5, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = images.decode(encode(Image.fromarray(pixels), "PNG", exif=exif))
    np.testing.assert_array_equal(decoded, upright(pixels))


def icc_profile(
    space: str, gamma: float = 1.0, colorants: tuple[tuple[float, ...], ...] = SRGB_COLORANTS
) -> bytes:
    """A small ICC profile (ICC.1:2001-04), of space 'RGB ' or 'GRAY', by matrix and gamma."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return struct.pack(">3i", *(round(65536 * value) for value in values))

    curve = b"curv" + struct.pack(">2IHxx", 0, 1, round(256 * gamma))
    tags = {"wtpt": b"XYZ \0\0\0\0" + xyz(D50)}
    if space == "GRAY":
        tags["kTRC"] = curve
    else:
        for letter, values in zip("rgb", colorants, strict=True):
            tags |= {f"{letter}TRC": curve, f"{letter}XYZ": b"XYZ \0\0\0\0" + xyz(values)}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4s2I", name.encode(), offset + len(body), len(content))
        body += content
    size = offset + len(body)
    header = struct.pack(
        ">I4xI4s4s4s12x4s", size, 0x02400000, b"mntr", space.encode(), b"XYZ ", b"acsp"
    )
    return header.ljust(68, b"\0") + xyz(D50).ljust(60, b"\0") + table + body


def srgb_of_linear(pixels: np.ndarray) -> np.ndarray:
    """The transfer function of sRGB (IEC 61966-2-1), uint8 to float in [0, 255]."""
    x = pixels / 255
    return 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_icc_profiles_are_converted_to_srgb(format: str) -> None:
    pixels = noise(8, 8, 3)
    image = Image.fromarray(pixels)
    options: dict[str, object] = {"lossless": True} if format == "WEBP" else {}
    linear = encode(image, format, icc_profile=icc_profile("RGB "), **options)
    np.testing.assert_allclose(images.decode(linear), srgb_of_linear(pixels), atol=2)
    swapped = icc_profile("RGB ", colorants=SRGB_COLORANTS[::-1])
    np.testing.assert_allclose(
        images.decode(encode(image, format, icc_profile=swapped, **options)),
        srgb_of_linear(pixels)[..., ::-1],
        atol=2,
    )


def test_icc_profiles_of_greyscale_and_of_transparent_pictures() -> None:
    grey = noise(8, 8)
    data = encode(Image.fromarray(grey), "PNG", icc_profile=icc_profile("GRAY", gamma=1.8))
    expected = srgb_of_linear(255 * (grey / 255) ** 1.8)[..., None].repeat(3, -1)
    np.testing.assert_allclose(images.decode(data), expected, atol=2)
    rgba = noise(8, 8, 4)
    data = encode(Image.fromarray(rgba), "PNG", icc_profile=icc_profile("RGB "))
    picture, alpha = images.decode_with_alpha(data)
    assert alpha is not None
    np.testing.assert_array_equal(alpha, rgba[..., 3])
    opacity = alpha[..., None] / 255
    expected = srgb_of_linear(rgba[..., :3]) * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(picture, expected, atol=2)
    palette = Image.fromarray(noise(8, 8, 3)).quantize(8)
    data = encode(palette, "PNG", icc_profile=icc_profile("RGB "))
    expected = srgb_of_linear(np.asarray(palette.convert("RGB")))
    np.testing.assert_allclose(images.decode(data), expected, atol=2)


@pytest.mark.parametrize("profile", [b"no profile", icc_profile("RGB ")[:200], icc_profile("GRAY")])
def test_icc_profiles_that_are_of_no_use_are_left_out(profile: bytes) -> None:
    pixels = noise(8, 8, 3)
    data = encode(Image.fromarray(pixels), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(images.decode(data), pixels)


def test_only_pictures_with_something_to_see_through_have_an_alpha() -> None:
    rgba = noise(6, 6, 4)
    rgba[..., 3] = 255
    picture, alpha = images.decode_with_alpha(encode(Image.fromarray(rgba), "PNG"))
    assert alpha is None
    np.testing.assert_array_equal(picture, rgba[..., :3])
    assert images.decode_with_alpha(encode(Image.fromarray(noise(6, 6, 3)), "PNG"))[1] is None
    grey_alpha = noise(6, 6, 2)
    alpha = images.decode_with_alpha(encode(Image.fromarray(grey_alpha, "LA"), "PNG"))[1]
    assert alpha is not None
    np.testing.assert_array_equal(alpha, grey_alpha[..., 1])


def test_an_alpha_is_upright_as_its_picture() -> None:
    rgba = noise(3, 5, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = images.decode_with_alpha(encode(Image.fromarray(rgba), "PNG", exif=exif))[1]
    assert alpha is not None
    np.testing.assert_array_equal(alpha, np.rot90(rgba[..., 3], -1))


@pytest.mark.parametrize("format", ["png", "webp", "jpg"])
def test_encoded_pictures_come_back(format: str) -> None:
    ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    alpha = np.full((32, 32), 255, np.uint8)
    alpha[:16] = 0
    np.testing.assert_allclose(images.decode(images.encode(ramp, format)), ramp, atol=8)
    picture, found = images.decode_with_alpha(images.encode(ramp, format, alpha))
    np.testing.assert_allclose(picture[:16], 255, atol=8)
    np.testing.assert_allclose(picture[16:], ramp[16:], atol=8)
    if format == "jpg":
        assert found is None
    else:
        np.testing.assert_array_equal(found, alpha)


def test_a_picture_that_a_format_cannot_hold_is_refused() -> None:
    wide = np.zeros((1, 20_000, 3), np.uint8)
    with pytest.raises(InputError, match=r"cannot make a webp of 20000×1 px: .*; try png"):
        images.encode(wide, "webp")
    assert images.decode(images.encode(wide, "png")).shape == wide.shape


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_broken_exif_does_not_matter() -> None:
    image = Image.new("RGB", (8, 8), WHITE)
    data = encode(image, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\x7f\x12\x01garbage")
    np.testing.assert_array_equal(images.decode(data), np.full((8, 8, 3), WHITE))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_truncated_file_is_named(tmp_path: Path, format: str) -> None:
    data = encode(Image.fromarray(noise(64, 64, 3)), format)
    file = tmp_path / f"half.{format.lower()}"
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="half"):
        images.decode(file)


@pytest.mark.parametrize("data", [b"", b"no picture at all", b"<svg></svg>"])
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "text.png"
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"text\.png: it is none of JPEG"):
        images.decode(file)
    with pytest.raises(InputError, match=r"00001\.jpg"):
        images.decode(data, "00001.jpg")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: No such file"):
        images.decode(tmp_path / "gone.png")


def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("RGB", (100, 100)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="decompression bomb"):
        images.decode(data)


@pytest.mark.parametrize("size", [16, 50])
def test_square_to_square_is_a_plain_resize(size: int) -> None:
    pixels = noise(40, 40, 3)
    expected = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images.cover_resize(pixels, (size, size)), np.asarray(expected))


@pytest.mark.parametrize(
    ("shape", "scaled", "corner"),
    [((40, 100), (20, 50), (0, 15)), ((100, 40), (50, 20), (15, 0)), ((80, 40), (40, 20), (10, 0))],
)
def test_covers_then_cuts_out_the_middle(
    shape: tuple[int, int], scaled: tuple[int, int], corner: tuple[int, int]
) -> None:
    pixels = noise(*shape, 3)
    whole = Image.fromarray(pixels).resize(scaled[::-1], Image.Resampling.BILINEAR)
    expected = np.asarray(whole)[corner[0] : corner[0] + 20, corner[1] : corner[1] + 20]
    fitted = images.cover_resize(pixels, (20, 20)).astype(int)
    np.testing.assert_allclose(fitted, expected, atol=1)  # Pillow rounds between its two passes


def test_size_is_height_by_width() -> None:
    pixels = noise(30, 60, 3)
    np.testing.assert_array_equal(images.cover_resize(pixels, (30, 60)), pixels)
    assert images.cover_resize(pixels, (48, 16)).shape == (48, 16, 3)


def test_every_byte_survives_the_way_to_float_and_back() -> None:
    every = np.arange(256, dtype=np.uint8)
    floats = images.to_float(every)
    assert floats.dtype == np.float32 and (floats[0], floats[-1]) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(floats), every)


def test_to_float_takes_jax_arrays() -> None:
    floats = images.to_float(jnp.array([0, 255], jnp.uint8))
    assert isinstance(floats, jnp.ndarray) and floats.dtype == jnp.float32
    assert floats.tolist() == [-1, 1]


def test_to_uint8_rounds_and_clips() -> None:
    values = np.array([-7, -1, -0.001, 0.001, 1, 7], np.float32)
    assert images.to_uint8(values).tolist() == [0, 0, 127, 128, 255, 255]


def test_pictures_are_listed_in_order_without_the_hidden(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a.webp", ".x.png", ".git/y.png", "notes.txt", "c.Gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    listed = [file.relative_to(tmp_path).as_posix() for file in images.list_images(tmp_path)]
    assert listed == ["a.webp", "a/z.png", "b.JPG", "c.Gif"]


def test_marked_folders_are_left_out_but_for_the_one_that_was_named(tmp_path: Path) -> None:
    for name in ("a.png", "cycle/b.png", "cycle/deep/c.png", "x/cycle/d.png", "cycles/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "cycle" / ".nomedia").touch()
    found, left_out = images.find_images(tmp_path)
    assert found == images.list_images(tmp_path)
    names = [file.relative_to(tmp_path).as_posix() for file in found]
    assert names == ["a.png", "cycles/e.png", "x/cycle/d.png"] and left_out == 2
    assert len(images.list_images(tmp_path / "cycle")) == 2


def test_hidden_parents_do_not_hide_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".cache"
    folder.mkdir()
    (folder / "a.png").touch()
    assert images.list_images(folder) == [folder / "a.png"]


def test_listing_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        images.list_images(tmp_path / "nowhere")
