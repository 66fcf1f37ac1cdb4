import math
import warnings
from importlib.resources import files

import numpy as np
import pytest
import skimage.data
from matplotlib import cbook
from PIL import Image, ImageOps

from ganinv.errors import GanInvError
from ganinv.photos import ImageWarning, load_target, read_image, to_pil, unpack_images
from ganinv.photos.faces import (
    FRAME_LANDMARKS,
    LEVEL_SIZE,
    WIDER,
    align_face,
    average_landmarks,
    crop_frame,
    find_faces,
    level_frame,
)

HOPPER = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
REAL = files("ganinv") / "assets/faces64/real"


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def hopper():
    return read_image(HOPPER)


@pytest.fixture(scope="module")
def collins():
    return Image.fromarray(skimage.data.astronaut())


@pytest.fixture(scope="module")
def training_faces(request):
    return to_pil(unpack_images(request.path.parents[1] / "data" / "training_faces.webp"))


def frame_of(image):
    return np.array(level_frame(image, find_faces(image)[0]))


def landmarks_in(crop):
    """As fractions of a 64-pixel crop."""
    level = crop_frame(crop, 32, 32, 64 * WIDER, 0, LEVEL_SIZE)
    return (average_landmarks(level) / LEVEL_SIZE - 0.5) * WIDER + 0.5


def assert_same_frame(found, expected, size=0.03, roll=1.0):
    """The centre agrees within 1.5 % of the frame's side, the side within ``size``, the roll within ``roll`` degrees."""
    assert np.hypot(*(found[:2] - expected[:2])) < 0.015 * expected[2]
    assert abs(math.log(found[2] / expected[2])) < size
    assert abs(found[3] - expected[3]) < roll


def mean_difference(one, other):
    return np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean()


@pytest.mark.parametrize("name", ["grace_hopper", "eileen_collins"])
def test_the_shipped_crops_are_derived_from_the_library_photos(name, collins):
    source = {"grace_hopper": HOPPER, "eileen_collins": collins}[name]
    shipped = read_image(REAL / f"{name}.png")
    derived = to_pil(load_target(source, 64))[0]
    assert shipped.size == (64, 64)
    assert mean_difference(derived, shipped) < 1  # other CPUs round otherwise: landmarks move by thousandths of a pixel


def test_training_faces_are_framed_as_they_are(training_faces):
    """In a larger scene, turned, the aligner finds the frame that the training image itself was."""
    errors = []
    for i, face in enumerate(training_faces):
        side, turn = 200 + 20 * i, (-20, 0, 12)[i % 3]
        around = np.pad(
            np.array(face.resize((side, side), Image.Resampling.BICUBIC)), ((180, 150), (120, 240), (0, 0)), mode="edge"
        )
        centre = (120 + side / 2, 180 + side / 2)
        x, y, size, roll = frame_of(Image.fromarray(around).rotate(-turn, Image.Resampling.BICUBIC, center=centre))
        errors.append([(x - centre[0]) / side, (y - centre[1]) / side, math.log(size / side), roll - turn])
    typical = np.sqrt(np.mean(np.square(errors), axis=0))
    assert (typical < [0.025, 0.025, 0.1, 3]).all(), typical
    assert (np.abs(np.mean(errors, axis=0)) < [0.015, 0.015, 0.05, 1.5]).all()


@pytest.mark.parametrize("name", ["grace_hopper", "eileen_collins"])
def test_landmarks_lie_in_the_crop_where_training_faces_have_them(name, training_faces):
    shipped = read_image(REAL / f"{name}.png")
    landmarks = landmarks_in(shipped)
    assert np.abs(landmarks - FRAME_LANDMARKS).max() < 0.05
    typical = np.mean([landmarks_in(face) for face in training_faces], axis=0)  # eight of them
    assert np.abs(landmarks - typical).max() < 0.07


@pytest.mark.parametrize("person", ["hopper", "collins"])
def test_alignment_follows_the_face(person, request):
    """Mirrored, turned, scaled, darkened, noisy, blurred and grey versions of a photo give the same frame."""
    photo = request.getfixturevalue(person)
    x, y, size, roll = expected = frame_of(photo)

    assert_same_frame(frame_of(ImageOps.mirror(photo)), np.array([photo.width - x, y, size, -roll]))
    for angle in (-40, 15):
        turned = photo.rotate(-angle, Image.Resampling.BICUBIC, center=(x, y))
        assert_same_frame(frame_of(turned), np.array([x, y, size, roll + angle]))
    for scale in (0.3, 3):
        resized = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
        assert_same_frame(frame_of(resized), np.array([x * scale, y * scale, size * scale, roll]))
    noise = np.random.default_rng(0).normal(0, 15, (photo.height, photo.width, 3))
    for changed in (
        photo.point(lambda value: value // 3),
        ImageOps.grayscale(photo).convert("RGB"),
        Image.fromarray((np.array(photo) + noise).clip(0, 255).astype(np.uint8)),
        photo.resize((photo.width // 4, photo.height // 4)).resize(photo.size),
    ):
        assert_same_frame(frame_of(changed), expected, size=0.08)


def test_faces_at_the_border(hopper):
    """A photo that ends inside the frame keeps its framing; what is missing is mirrored."""
    x, y, size, _ = frame_of(hopper)
    whole = align_face(hopper, 64)
    left, top = round(x - 0.4 * size), round(y - 0.4 * size)
    cut = hopper.crop((left, top, left + round(0.8 * size), top + round(0.8 * size)))
    assert_same_frame(frame_of(cut) + np.array([left, top, 0, 0]), frame_of(hopper), size=0.1)
    crop = np.asarray(align_face(cut, 64))
    inner = slice(12, 52)
    assert mean_difference(crop[inner, inner], np.asarray(whole)[inner, inner]) < 20
    assert crop[:, :6].std() > 15  # no black or constant bars
    assert crop[-6:].std() > 15


def test_crop_frame_outside_the_picture_is_mirrored():
    picture = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(3).reshape(16, 16, 3))
    same = crop_frame(picture, 8, 8, 16, 0, 16)
    assert mean_difference(same, picture) == 0
    beyond = np.asarray(crop_frame(picture, 0, 8, 16, 0, 16))
    assert mean_difference(beyond[:, 8:], np.asarray(picture)[:, :8]) == 0
    assert mean_difference(beyond[:, 1:8], np.asarray(picture)[:, 7:0:-1]) == 0
    quarter = crop_frame(picture, 8, 8, 16, 90, 16)  # a frame turned clockwise sees the picture turned anticlockwise
    assert mean_difference(quarter, picture.transpose(Image.Transpose.ROTATE_90)) < 1
    assert crop_frame(Image.new("RGB", (1, 1), "red"), 0.5, 0.5, 40, 30, 8).getcolors() == [(64, (255, 0, 0))]


def test_large_photos_are_reduced_first(hopper):
    large = hopper.resize((hopper.width * 6, hopper.height * 6), Image.Resampling.BICUBIC)
    assert mean_difference(align_face(large, 64), align_face(hopper, 64)) < 4


def test_a_small_face_in_a_large_photo_is_found(hopper):
    # a face 2 % as wide as the photo, too small for the first search
    small = hopper.resize((120, 141), Image.Resampling.LANCZOS)
    large = Image.new("RGB", (2400, 1600), (90, 110, 90))
    large.paste(small, (1900, 1200))
    assert find_faces(large.resize((640, 427))) == []
    x, y, size, roll = frame_of(small)
    assert_same_frame(frame_of(large), np.array([1900 + x, 1200 + y, size, roll]))


def test_the_largest_of_several_faces_is_used_and_said_so(hopper, collins):
    both = Image.new("RGB", (1024, 600))
    both.paste(collins, (0, 0))
    both.paste(hopper, (512, 0))
    assert len(find_faces(both)) == 2
    with pytest.warns(ImageWarning, match=r"both\.png has 2 faces; the largest"):
        crop = align_face(both, 64, name="both.png")
    assert mean_difference(crop, align_face(hopper, 64)) < 12
    assert mean_difference(crop, align_face(collins, 64)) > 30


def test_a_tiny_face_is_enlarged_and_said_so(hopper):
    with pytest.warns(ImageWarning, match="enlarged to 256"):
        align_face(hopper.resize((128, 150)), 256)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "brick", "page", "moon"])
def test_no_face_is_an_error_that_names_the_way_out(name, tmp_path):
    Image.fromarray(getattr(skimage.data, name)()).save(tmp_path / f"{name}.png")
    with pytest.raises(GanInvError, match=rf'no face found in .*{name}\.png; use align="center"'):
        load_target(tmp_path / f"{name}.png", 64)
    assert load_target(tmp_path / f"{name}.png", 64, align="center").shape == (1, 3, 64, 64)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (2, 3000)])
def test_odd_sizes_have_no_face(size):
    with pytest.raises(GanInvError, match="no face"):
        align_face(Image.new("RGB", size, "grey"), 64)
