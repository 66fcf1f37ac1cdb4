import io
import os
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ganinv.errors import GanInvError
from ganinv.photos import (
    ImageWarning,
    check_images,
    from_pil,
    from_uint8,
    load_target,
    magnify,
    pack_images,
    read_image,
    save_png,
    tile,
    to_pil,
    to_uint8,
    unpack_images,
)


def scene(width=48, height=32):
    """A picture in which every corner differs, smooth enough for JPEG."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(
        np.stack([255 * x / (width - 1), 255 * y / (height - 1), 255 * (x + y) / (width + height - 2)], -1).astype(
            np.uint8
        )
    )


def difference(one, other):
    return np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).max()


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def png_header(width, height):
    """A PNG of a few bytes that claims any size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 100)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )


@pytest.fixture(autouse=True)
def warnings_are_errors():
    """A test that expects a warning says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- kinds of pictures ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff", ".ppm", ".tga"])
def test_lossless_formats_are_read_exactly(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    scene().save(path, **({"lossless": True} if suffix == ".webp" else {}))
    for source in (path, str(path), io.BytesIO(path.read_bytes()) if suffix != ".tga" else path):
        image = read_image(source)
        assert image.mode == "RGB"
        assert difference(image, scene()) == 0


def test_pil_images_are_accepted_and_left_alone():
    original = scene().convert("RGBA")
    original.info["comment"] = "mine"
    assert difference(read_image(original), scene()) == 0
    assert original.mode == "RGBA"
    assert original.info == {"comment": "mine"}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exif_rotation_is_applied(tmp_path, orientation, suffix):
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the viewer turns 6 clockwise, so the camera stored it turned anticlockwise
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = scene() if undo is None else scene().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(
        tmp_path / f"turned{suffix}", exif=exif, quality=95, **({"lossless": True} if suffix == ".webp" else {})
    )
    image = read_image(tmp_path / f"turned{suffix}")
    assert image.size == scene().size
    assert difference(image, scene()) <= (0 if suffix != ".jpg" else 12)
    assert 0x0112 not in image.getexif()


def test_broken_exif_is_ignored(tmp_path):
    scene().save(tmp_path / "broken.png", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert difference(read_image(tmp_path / "broken.png"), scene()) == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(tmp_path, mode):
    colour = {"RGBA": (200, 100, 0), "LA": (100,)}[mode]
    image = Image.new(mode, (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    image.save(tmp_path / "alpha.png")
    colour = np.array(colour if len(colour) == 3 else colour * 3)
    pixels = np.asarray(read_image(tmp_path / "alpha.png"), dtype=float)[0]
    assert pixels[0].tolist() == [255, 255, 255]
    assert np.abs(pixels[1] - (colour * 128 + 255 * 127) / 255).max() <= 1
    assert pixels[2].tolist() == colour.tolist()


def test_16_bit_grey_with_alpha():
    raw = b"\0" + struct.pack(">4H", 0x8000, 0xFFFF, 0x8000, 0)  # one opaque and one transparent pixel
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 4, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )
    assert np.asarray(read_image(io.BytesIO(file)))[0, :, 0].tolist() == [128, 255]


def test_premultiplied_alpha():
    image = Image.new("RGBA", (1, 1), (200, 100, 0, 128))
    assert difference(read_image(image.convert("RGBa")), read_image(image)) <= 2


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_palette_with_and_without_transparency(tmp_path, suffix):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 200, 30, 200, 20, 60] + [0] * (254 * 3))
    image.putpixel((1, 0), 1)
    image.save(tmp_path / f"plain{suffix}")
    image.save(tmp_path / f"clear{suffix}", transparency=1)
    assert np.asarray(read_image(tmp_path / f"plain{suffix}"))[0].tolist() == [[10, 200, 30], [200, 20, 60]]
    assert np.asarray(read_image(tmp_path / f"clear{suffix}"))[0].tolist() == [[10, 200, 30], [255, 255, 255]]


def test_rgb_with_a_transparent_colour(tmp_path):
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    image.save(tmp_path / "key.png", transparency=(9, 9, 9))
    assert np.asarray(read_image(tmp_path / "key.png"))[0].tolist() == [[1, 2, 3], [255, 255, 255]]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_greyscale(tmp_path, mode):
    grey = scene().convert(mode)
    grey.save(tmp_path / "grey.png")
    assert difference(read_image(tmp_path / "grey.png"), grey.convert("RGB")) == 0


def test_cmyk_jpeg(tmp_path):
    scene().convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert mode_of(tmp_path / "print.jpg") == "CMYK"
    assert difference(read_image(tmp_path / "print.jpg"), scene()) <= 12


def test_lab_tiff(tmp_path):
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    ImageCms.applyTransform(scene(), to_lab).save(tmp_path / "lab.tiff")
    assert mode_of(tmp_path / "lab.tiff") == "LAB"
    assert np.abs(np.asarray(read_image(tmp_path / "lab.tiff"), dtype=float) - np.asarray(scene())).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_16_bit_keeps_its_range(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None]
    Image.fromarray(ramp).save(tmp_path / f"deep{suffix}")
    assert mode_of(tmp_path / f"deep{suffix}")[0] == "I"
    grey = np.asarray(read_image(tmp_path / f"deep{suffix}"))[0]
    assert np.abs(grey[:, 0] - np.arange(256.0)).max() <= 1
    assert (grey == grey[:, :1]).all()


def test_dark_16_bit_stays_dark():
    assert np.asarray(read_image(Image.fromarray(np.full((2, 2), 200, np.uint16)))).max() == 1


@pytest.mark.parametrize(("mode", "top"), [("F", 1.0), ("F", 255.0), ("F", 65535.0), ("I", 255), ("I", 65535)])
def test_wide_modes_are_scaled_by_the_range_they_fit(mode, top):
    ramp = np.linspace(0, top, 256)[None].astype({"F": np.float32, "I": np.int32}[mode])
    image = Image.fromarray(ramp)
    assert image.mode == mode
    assert np.abs(np.asarray(read_image(image))[0, :, 0] - np.arange(256.0)).max() <= 1


def test_unknown_ranges_are_stretched_and_said_so():
    with pytest.warns(ImageWarning, match="stretched"):
        stretched = read_image(Image.fromarray(np.array([[-1.0, 0.0, 1.0]], dtype=np.float32)))
    assert np.asarray(stretched)[0, :, 0].tolist() == [0, 128, 255]
    with pytest.warns(ImageWarning, match="stretched"):
        assert read_image(Image.fromarray(np.full((2, 2), -7.0, dtype=np.float32))).size == (2, 2)


def test_float_picture_with_nan_is_refused(tmp_path):
    Image.fromarray(np.array([[0.5, np.nan]], dtype=np.float32)).save(tmp_path / "nan.tiff")
    with pytest.raises(GanInvError, match=r"nan\.tiff holds NaN"):
        read_image(tmp_path / "nan.tiff")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tiff"])
def test_first_frame_of_an_animation_is_used_and_said_so(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"moving{suffix}", save_all=True, append_images=frames[1:], **options)
    with pytest.warns(ImageWarning, match="only the first is used"):
        assert read_image(tmp_path / f"moving{suffix}").getpixel((0, 0)) == (255, 0, 0)


def swapped_profile():
    """An ICC profile whose red is sRGB's blue and the other way round: sRGB with two tags of its tag table renamed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(struct.unpack_from(">I", profile, 128)[0]):
        at = 132 + 12 * i
        tag = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(profile)


@pytest.mark.parametrize(
    ("suffix", "alpha"), [(".png", False), (".png", True), (".jpg", False), (".tiff", False), (".tiff", True)]
)
def test_icc_profile_is_converted(tmp_path, suffix, alpha):
    image = Image.new("RGBA" if alpha else "RGB", (8, 8), (230, 60, 20, 255) if alpha else (230, 60, 20))
    image.save(
        tmp_path / f"wide{suffix}", icc_profile=swapped_profile(), **({"quality": 95} if suffix == ".jpg" else {})
    )
    assert difference(read_image(tmp_path / f"wide{suffix}"), Image.new("RGB", (8, 8), (20, 60, 230))) <= 4


def test_icc_profile_that_cannot_be_used_is_said(tmp_path):
    scene().save(tmp_path / "odd.png", icc_profile=b"no profile")
    with pytest.warns(ImageWarning, match="colour profile"):
        assert difference(read_image(tmp_path / "odd.png"), scene()) == 0
    # a profile for RGB on a grey picture
    scene().convert("LA").save(tmp_path / "grey.png", icc_profile=swapped_profile())
    with pytest.warns(ImageWarning, match="colour profile"):
        assert difference(read_image(tmp_path / "grey.png"), scene().convert("L").convert("RGB")) == 0


# --- what is refused ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.jpg",
        "http:/example.org/a.jpg",
        "file:///a.jpg",
        "s3://a/b.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_urls_are_not_fetched(url):
    with pytest.raises(GanInvError, match="download"):
        read_image(url)


def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture", encoding="utf-8")
    (tmp_path / "vector.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    cases = [
        (tmp_path / "missing.png", "there is no file"),
        (tmp_path / "link.png", "there is no file"),
        (tmp_path / ("long" * 100), "there is no file"),
        ("with\0null.png", "there is no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty.png", "is empty"),
        (tmp_path / "text.png", "not an image"),
        (tmp_path / "drawing.svg", "not an image"),
        (tmp_path / "vector.eps", "vector drawing"),
        (io.BytesIO(b""), "not an image"),
        ("/dev/null", "not a regular file"),
        (Image.new("RGB", (0, 5)), "no pixels"),
    ]
    for source, message in cases:
        with pytest.raises(GanInvError, match=message) as caught:
            read_image(source)
        assert "\n" not in str(caught.value)
        if isinstance(source, type(tmp_path)):
            assert str(source) in str(caught.value)
    for source in (None, 3, torch.zeros(3, 8, 8), np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(GanInvError, match="an image is a path"):
            read_image(source)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".gif", ".bmp"])
def test_truncated_and_damaged_files(tmp_path, suffix):
    rng = np.random.default_rng(0)
    whole = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        whole, format={".jpg": "jpeg", ".tiff": "tiff"}.get(suffix, suffix[1:])
    )
    data = whole.getvalue()
    for part in (1 / 2, 9 / 10):
        (tmp_path / f"cut{suffix}").write_bytes(data[: int(len(data) * part)])
        with pytest.raises(GanInvError, match=rf"cut\{suffix} is (damaged|not an image)"):
            read_image(tmp_path / f"cut{suffix}")
    # flipped bits may leave a readable picture; nothing but a picture or one clear error may come of them
    for _ in range(60):
        flipped = bytearray(data)
        for at in rng.integers(0, min(len(data), 600), 3):
            flipped[at] ^= 1 << int(rng.integers(8))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert read_image(io.BytesIO(bytes(flipped)), max_pixels=10**7).mode == "RGB"
        except GanInvError:
            pass


@pytest.mark.parametrize("side", [11_000, 30_000])
def test_decompression_bombs_are_refused_before_decoding(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(GanInvError, match=r"bomb\.png has .*pixels; scale it down"):
        read_image(tmp_path / "bomb.png")


def test_max_pixels(tmp_path):
    scene().save(tmp_path / "scene.png")
    assert read_image(tmp_path / "scene.png", max_pixels=48 * 32).size == (48, 32)
    with pytest.raises(GanInvError, match="48 x 32"):
        read_image(tmp_path / "scene.png", max_pixels=48 * 32 - 1)
    with pytest.raises(GanInvError, match="48 x 32"):
        read_image(scene(), max_pixels=100)


# --- targets --------------------------------------------------------------------------------------------------------------------------------


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"  # how a picture of a phone begins


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_without_its_extra_heic_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / name).write_bytes(HEIC)
    for source in (tmp_path / name, io.BytesIO(HEIC)):
        with pytest.raises(
            GanInvError, match=r"is a HEIC picture, which needs pillow-heif: pip install 'ganinv\[heic\]'"
        ):
            read_image(source)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_with_its_extra_heic_is_read(tmp_path, name):
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.fromarray(np.full((32, 48, 3), (200, 60, 20), dtype=np.uint8))
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heif", quality=100)
    (tmp_path / "a.heif").rename(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.size == (48, 32)
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - (200, 60, 20)).max() < 4


def test_names_that_are_not_utf8_are_shown(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    with pytest.raises(GanInvError, match=r"there is no file .*caf\\xe9\.png; check the path") as caught:
        read_image(tmp_path / name)
    str(caught.value).encode("utf-8")
    try:
        (tmp_path / name).write_bytes(b"junk")
    except OSError:
        return  # this file system takes no such names
    with pytest.raises(GanInvError, match=r"caf\\xe9\.png is not an image"):
        read_image(tmp_path / name)


def test_centre_target(tmp_path):
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (10, 0, 30, 20))
    image.save(tmp_path / "wide.png")
    target = load_target(tmp_path / "wide.png", 16, align="center")
    assert target.shape == (1, 3, 16, 16)
    assert target.dtype == torch.float32
    assert (target == 1).all()
    assert load_target(image.rotate(90, expand=True), 16, align="center").mean() == 1


def test_one_pixel_is_enlarged_and_said_so(tmp_path):
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "dot.png")
    with pytest.warns(ImageWarning, match="enlarged"):
        target = load_target(tmp_path / "dot.png", 8, align="center")
    assert torch.equal(target, torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8))
    with pytest.raises(GanInvError, match=r"no face found in .*dot"):
        load_target(tmp_path / "dot.png", 8)


def test_unaligned_target_needs_the_size(tmp_path):
    scene(32, 32).save(tmp_path / "square.png")
    assert to_pil(load_target(tmp_path / "square.png", 32, align="none"))[0].tobytes() == scene(32, 32).tobytes()
    with pytest.raises(GanInvError, match=r'32 x 32, but align="none" needs 64 x 64; use align='):
        load_target(tmp_path / "square.png", 64, align="none")


def test_target_arguments(tmp_path):
    with pytest.raises(GanInvError, match="face, center, none"):
        load_target(scene(), 64, align="centre")
    with pytest.raises(GanInvError, match="resolution=0"):
        load_target(scene(), 0, align="center")


def test_checked_images_are_float32_and_apart_from_any_graph():
    images = smooth(1).requires_grad_()
    for given in (images.double(), images.half(), images * 1.0):
        checked = check_images(given, 32)
        assert checked.dtype == torch.float32
        assert not checked.requires_grad
        torch.testing.assert_close(checked, given.detach().float())
    plain = smooth(1)
    assert check_images(plain, 32).data_ptr() == plain.data_ptr()
    with torch.inference_mode():
        inferred = smooth(1) * 1.0
    assert inferred.is_inference()
    assert not check_images(inferred, 32).is_inference()


def test_images_from_0_to_1_are_noticed():
    with pytest.warns(ImageWarning, match=r"from 0\.\d+ to .*give 2 \* images - 1"):
        check_images((smooth(2) + 1) / 2, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_images(smooth(2), 32)
        check_images(torch.zeros(1, 3, 32, 32), 32)  # plain grey


def smooth(n):
    """Images ``[n, 3, 32, 32]`` in about [-1, 1] with dark and bright parts."""
    return torch.linspace(-0.98, 0.99, n * 3 * 32 * 32).reshape(n, 3, 32, 32)


def test_check_images():
    good = torch.rand(2, 3, 16, 16) * 2 - 1
    assert check_images(good, 16) is good
    assert check_images(good * 1.4, 16) is not None  # a generator goes a little beyond
    nan = good.clone()
    nan[1, 2, 3, 4] = torch.nan
    for bad, message in [
        (nan, "NaN"),
        (good / 0, "NaN or infinite"),
        (good[0], r"\[N, 3, 16, 16\], not \[3, 16, 16\]"),
        (good[:, :1], r"not \[2, 1, 16, 16\]"),
        (good[:0], r"not \[0, 3, 16, 16\]"),
        (good[..., :8], "8 x 16, but the generator makes 16 x 16"),
        (to_uint8(good), "not uint8; use from_uint8"),
        ((good + 1) * 127.5, r"\[-1, 1\] is expected"),
        (good.numpy(), "not ndarray"),
    ]:
        with pytest.raises(GanInvError, match=message):
            check_images(bad, 16)


# --- tensors and files ----------------------------------------------------------------------------------------------------------------------


def test_bytes_and_floats_are_exact_inverses():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(every)), every)
    assert (from_uint8(every).min(), from_uint8(every).max()) == (-1, 1)
    assert to_uint8(torch.tensor([-9.0, 9.0, torch.inf, 1 / 255])).tolist() == [0, 255, 255, 128]
    assert to_uint8(from_uint8(every).to(torch.float64).requires_grad_()).tolist() == every.tolist()
    with pytest.raises(GanInvError, match="NaN"):
        to_uint8(torch.tensor([0.0, torch.nan]))


def test_to_pil_and_back():
    images = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8)
    pictures = to_pil(images)
    assert [picture.size for picture in pictures] == [(7, 5)] * 3
    assert pictures[1].getpixel((6, 4)) == tuple(images[1, :, 4, 6].tolist())
    assert torch.equal(torch.cat([from_pil(picture) for picture in to_pil(from_uint8(images))]), from_uint8(images))
    assert to_pil(images[0])[0].tobytes() == pictures[0].tobytes()
    with pytest.raises(GanInvError, match=r"\[N, 3, H, W\]"):
        to_pil(images[:, :1])


def test_save_png_is_whole_or_nothing(tmp_path, monkeypatch):
    images = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    for image in (images[0], images[:1], from_uint8(images[0]), to_pil(images)[0]):
        save_png(tmp_path / "new" / "saved.png", image)
        assert read_image(tmp_path / "new" / "saved.png").tobytes() == to_pil(images)[0].tobytes()
    with pytest.raises(GanInvError, match="one picture, but 2"):
        save_png(tmp_path / "two.png", images)
    with pytest.raises(GanInvError, match=r"end in \.png"):
        save_png(tmp_path / "lossy.jpg", images[0])

    before = (tmp_path / "new" / "saved.png").read_bytes()

    def full_disk(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(GanInvError, match="No space left"):
        save_png(tmp_path / "new" / "saved.png", images[1])
    assert (tmp_path / "new" / "saved.png").read_bytes() == before
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["saved.png"]


def test_magnify_keeps_squares():
    big = np.asarray(magnify(scene(4, 3), 5))
    assert big.shape == (15, 20, 3)
    assert (big == np.asarray(scene(4, 3)).repeat(5, 0).repeat(5, 1)).all()


def test_tile():
    colours = [(i, 0, 0) for i in range(1, 6)]
    sheet = np.asarray(tile([Image.new("RGB", (2, 3), colour) for colour in colours]))
    assert sheet.shape == (6, 6, 3)
    assert sheet[::3, ::2, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert tile(torch.zeros(5, 3, 3, 2), columns=5).size == (10, 3)
    with pytest.raises(GanInvError, match="no pictures"):
        tile([])


@pytest.mark.parametrize("suffix", [".webp", ".png"])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (5, 3, 8, 8), (7, 3, 6, 10), (9, 3, 16, 4)])
def test_packing_is_lossless(tmp_path, suffix, shape):
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    pack_images(images, tmp_path / f"sheet{suffix}")
    assert torch.equal(unpack_images(tmp_path / f"sheet{suffix}"), images)


def test_faces_pack_well(request, tmp_path):
    faces = unpack_images(request.path.parents[1] / "data" / "training_faces.webp")
    assert faces.shape == (8, 3, 64, 64)
    size = {}
    for suffix in (".webp", ".png"):
        pack_images(faces, tmp_path / f"sheet{suffix}")
        assert torch.equal(unpack_images(tmp_path / f"sheet{suffix}"), faces)
        size[suffix] = (tmp_path / f"sheet{suffix}").stat().st_size
    assert size[".webp"] < 0.9 * size[".png"] < 0.65 * faces.numel()


def test_packing_errors(tmp_path):
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    for bad in (images.float(), images[0], images[:, :1], images[:0]):
        with pytest.raises(GanInvError, match="only uint8"):
            pack_images(bad, tmp_path / "sheet.webp")
    with pytest.raises(GanInvError, match=r"\.webp or \.png"):
        pack_images(images, tmp_path / "sheet.jpg")
    with pytest.raises(GanInvError, match="more than WebP holds"):
        pack_images(torch.zeros(1, 3, 1, 16384, dtype=torch.uint8), tmp_path / "sheet.webp")
    assert list(tmp_path.iterdir()) == []
    scene().save(tmp_path / "scene.png")
    exif = Image.Exif()
    exif[0x010E] = "9 8 8"  # claims more pictures than there are
    scene(16, 16).save(tmp_path / "claims.png", exif=exif)
    for name in ("scene.png", "claims.png"):
        with pytest.raises(GanInvError, match="no sheet"):
            unpack_images(tmp_path / name)
    with pytest.raises(GanInvError, match="no file"):
        unpack_images(tmp_path / "gone.webp")
