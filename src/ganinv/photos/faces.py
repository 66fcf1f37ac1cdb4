"""Crop a face the way the training faces of ``faces64`` are framed.

A generator only knows faces where it has seen them: the eyes at one height, level, and the head filling the frame. A photo that is framed
differently inverts badly however long one optimises, so alignment comes first.

The framing was measured, not chosen. On 1,000 training images the detector finds 936 faces; their five landmarks, averaged over several looks, lie
at the medians below (as fractions of the frame, made symmetric, because training mirrors half of the images). A similarity transform (shift, scale,
rotation) fitted from these five points to the landmarks of one training face finds that image's own frame again: centre within 1.7 % of its width
(one standard deviation), size within 5 %, rotation within 3 degrees. Fitting to the eyes alone more than doubles the spread of the size, because
turned heads foreshorten.
"""

from __future__ import annotations

import cmath
import math
import warnings

import numpy as np
from PIL import Image, ImageOps

from ..errors import GanInvError
from .detector import Face, detect_faces, locate_landmarks
from .images import ImageWarning

# eyes, nose, mouth corners
FRAME_LANDMARKS = np.array([[0.342, 0.468], [0.658, 0.468], [0.5, 0.664], [0.363, 0.835], [0.637, 0.835]])
# the longer side of the reduced copy; the second, slower one finds small faces in large photos
SEARCH_SIZES = (
    640,
    1600,
)
SMALLEST_FACE = 40  # pixels of that copy
WIDER = 1.5  # the second look sees this much more than the frame
LEVEL_SIZE = 192  # in so many pixels
SECOND_LOOKS = np.array(
    [[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x in (0.47, 0.53) for y in (0.54, 0.6) for s in (0.9, 1.0)]
)
LARGEST_CORRECTION = (0.1, 0.12, 15.0)  # shift over side, logarithm of the side's ratio, degrees
MARGIN = 0.25  # edge pixels repeated around the copy, for faces that touch the border


def align_face(image: Image.Image, resolution: int, *, name: str = "the image") -> Image.Image:
    """Find the largest face in an RGB picture and return it level and framed like the training faces, ``resolution`` pixels square.

    Parts of the frame outside the picture are its mirror image. ``name`` is what messages call the picture.

    :raises GanInvError: when no face is found.
    :warns ImageWarning: when there are several faces, or when the face has fewer pixels than it is given.
    """
    image = image.convert("RGB")
    faces = find_faces(image)
    if not faces:
        raise GanInvError(
            f'no face found in {name}; use align="center" (on the command line --align center) to take the centre square instead'
        )
    if len(faces) > 1:
        warnings.warn(
            f"{name} has {len(faces)} faces; the largest is used, crop the photo first to choose another",
            ImageWarning,
            stacklevel=2,
        )
    x, y, size, roll = level_frame(image, faces[0])
    if size < resolution / 2:
        warnings.warn(
            f"the face in {name} is only {size:.0f} pixels wide and is enlarged to {resolution}",
            ImageWarning,
            stacklevel=2,
        )
    return crop_frame(image, x, y, size, roll, resolution)


def find_faces(image: Image.Image) -> list[Face]:
    """Every face in an RGB picture, the largest first, in its own pixels; the search runs on a copy of a fixed size."""
    longer = max(image.size)
    for search_size in SEARCH_SIZES:
        scale = search_size / longer
        width, height = (max(1, round(side * scale)) for side in image.size)
        copy = np.array(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0))
        margin = round(MARGIN * search_size)
        padded = np.pad(copy, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        faces = detect_faces(Image.fromarray(padded), min_face=SMALLEST_FACE)
        if faces or longer <= search_size:
            break
    back = np.array([image.width / width, image.height / height])
    return [
        Face(
            tuple(((np.array(face.box).reshape(2, 2) - margin) * back).ravel().tolist()),
            (face.landmarks - margin) * back,
            face.score,
        )
        for face in faces
    ]


def face_frame(face: Face) -> tuple[float, float, float, float]:
    """The training frame around a face: centre x and y, side (pixels), and roll (degrees, clockwise as seen).

    The least-squares similarity transform from ``FRAME_LANDMARKS`` to the face's landmarks. With points as complex numbers it is
    z -> a z + b, where the angle of a is the roll and |a| the side of the frame.
    """
    return fit_frame(face.landmarks)


def fit_frame(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    frame = FRAME_LANDMARKS @ [1, 1j]
    found = landmarks @ [1, 1j]
    a = np.vdot(frame - frame.mean(), found - found.mean()) / np.vdot(frame - frame.mean(), frame - frame.mean())
    centre = found.mean() + a * (0.5 + 0.5j - frame.mean())
    return centre.real, centre.imag, abs(a), math.degrees(np.angle(a))


def level_frame(image: Image.Image, face: Face) -> tuple[float, float, float, float]:
    """:func:`face_frame`, looked at again: level, at one scale, and averaged over ``SECOND_LOOKS`` and their mirror images.

    The detector knows mostly upright faces and underrates how far one is tilted (by 5 degrees at 45), and a single look is unsure by 3 % of the size.
    Where the looks disagree by more than ``LARGEST_CORRECTION`` (hidden eyes, masks), the first one stands.
    So found, a photo and its turned or scaled copies give frames that agree within 0.3 % of the side and 0.1 degrees.
    """
    x, y, size, roll = first = face_frame(face)
    for _ in range(2):
        level = crop_frame(image, x, y, WIDER * size, roll, LEVEL_SIZE)
        landmarks = average_landmarks(level)
        u, v, level_size, level_roll = fit_frame(landmarks)
        scale = WIDER * size / LEVEL_SIZE
        shift = complex(u - LEVEL_SIZE / 2, v - LEVEL_SIZE / 2) * scale * cmath.rect(1, math.radians(roll))
        x, y, size, roll = x + shift.real, y + shift.imag, level_size * scale, roll + level_roll
    corrected = math.hypot(x - first[0], y - first[1]) / first[2], abs(math.log(size / first[2])), abs(roll - first[3])
    unsure = any(amount > limit for amount, limit in zip(corrected, LARGEST_CORRECTION, strict=True))
    return first if unsure else (x, y, size, roll)


def average_landmarks(level: Image.Image) -> np.ndarray:
    """The landmarks [5, 2] in a picture ``LEVEL_SIZE`` pixels square whose middle is a face's frame, the frame ``WIDER`` times smaller."""
    boxes = ((SECOND_LOOKS - 0.5) / WIDER + 0.5) * LEVEL_SIZE
    seen = locate_landmarks(level, boxes).mean(axis=0)
    # left and right change places
    mirrored = locate_landmarks(ImageOps.mirror(level), boxes).mean(axis=0)[[1, 0, 2, 4, 3]]
    mirrored[:, 0] = LEVEL_SIZE - 1 - mirrored[:, 0]
    return (seen + mirrored) / 2 + 0.5  # the detector counts from a pixel's centre, crops count from its corner


def crop_frame(image: Image.Image, x: float, y: float, size: float, roll: float, resolution: int) -> Image.Image:
    """Cut the square of side ``size`` around (x, y), turned clockwise by ``roll`` degrees, and scale it to ``resolution`` pixels (LANCZOS)."""
    # a huge photo is averaged down first; LANCZOS still sees four times the resolution
    shrink = max(1, int(size / (4 * resolution)))
    lobes = 3 * max(1, size / resolution)  # as far as LANCZOS looks beyond the frame
    # all of that stays inside this square however it is turned
    reach = math.ceil((size / 2 + lobes) * math.sqrt(2) / shrink + 2) * shrink
    left, top = round(x) - reach, round(y) - reach
    right, bottom = left + 2 * reach, top + 2 * reach

    inside = image.crop((max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height)))
    outside = ((max(-top, 0), max(bottom - image.height, 0)), (max(-left, 0), max(right - image.width, 0)), (0, 0))
    region = Image.fromarray(np.pad(np.array(inside), outside, mode="reflect")).reduce(shrink)

    x, y, half = (x - left) / shrink, (y - top) / shrink, size / shrink / 2
    region = region.rotate(roll, Image.Resampling.BICUBIC, center=(x, y))
    return region.resize(
        (resolution, resolution), Image.Resampling.LANCZOS, box=(x - half, y - half, x + half, y + half)
    )
