"""A small face detector: MTCNN (Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks").

Three tiny networks, each looking harder at what the one before let through: P-net slides over a pyramid of the picture and proposes boxes,
R-net throws most of them out, O-net decides and places five landmarks. The weights are facenet-pytorch's (MIT licence, see
``assets/face_detector/SOURCES.md``), half a million parameters; nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import nms

from ..run import alone

PYRAMID_STEP = 0.709  # 1/sqrt(2): each level has half the pixels of the one before


@dataclass(frozen=True)
class Face:
    """A detected face, in pixels of the picture that was searched."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    # [5, 2] (x, y): the eye on the left of the picture, the one on the right, nose tip, left and right mouth corner
    landmarks: np.ndarray
    score: float  # 0..1


def _conv(n_in: int, n_out: int, size: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, size), nn.PReLU(n_out)]


def _pool(size: int) -> nn.Module:
    return nn.MaxPool2d(size, stride=2, ceil_mode=True)


class _Net(nn.Module):
    def __init__(self, trunk: list[nn.Module], heads: list[nn.Module]):
        super().__init__()
        self.trunk, self.heads = nn.Sequential(*trunk), nn.ModuleList(heads)

    def forward(self, patches: Tensor) -> tuple[Tensor, ...]:
        """RGB patches in 0..255 -> the probability of a face, corrections of the box's four sides and, from O-net, 5 x then 5 y."""
        x = self.trunk((patches - 127.5) / 128)
        score, *rest = (head(x) for head in self.heads)
        return score.softmax(dim=1)[:, 1], *rest


@cache
@alone()  # weights are drawn before they are read
def networks() -> tuple[_Net, _Net, _Net]:
    """P-, R- and O-net, frozen: RGB patches ``[N, 3, h, w]`` in 0..255 (any size, 24 and 48 pixels square) to scores, boxes and landmarks."""
    p = _Net(
        [*_conv(3, 10, 3), _pool(2), *_conv(10, 16, 3), *_conv(16, 32, 3)], [nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)]
    )
    r = _Net(
        [
            *_conv(3, 28, 3),
            _pool(3),
            *_conv(28, 48, 3),
            _pool(3),
            *_conv(48, 64, 2),
            nn.Flatten(),
            nn.Linear(576, 128),
            nn.PReLU(128),
        ],
        [nn.Linear(128, 2), nn.Linear(128, 4)],
    )
    o_trunk = [*_conv(3, 32, 3), _pool(3), *_conv(32, 64, 3), _pool(3), *_conv(64, 64, 3), _pool(2), *_conv(64, 128, 2)]
    o = _Net(
        [*o_trunk, nn.Flatten(), nn.Linear(1152, 256), nn.PReLU(256)],
        [nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)],
    )
    weights = load((files("ganinv") / "assets/face_detector/mtcnn.safetensors").read_bytes())
    nn.ModuleDict({"p": p, "r": r, "o": o}).float().load_state_dict(weights)
    return p.eval(), r.eval(), o.eval()


def onet() -> _Net:
    """O-net alone, for pictures that are known to hold one face: patches ``[N, 3, 48, 48]`` in 0..255 to score, box and landmarks."""
    return networks()[2]


def _moved(boxes: Tensor, by: Tensor) -> Tensor:
    width_height = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + by * width_height.repeat(1, 2)


def _squared(boxes: Tensor) -> Tensor:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _patches(picture: Tensor, boxes: Tensor, size: int) -> Tensor:
    height, width = picture.shape[2:]
    cut = []
    for left, top, right, bottom in boxes.trunc().int().tolist():
        left, top = min(max(left, 1), width) - 1, min(max(top, 1), height) - 1  # boxes count pixels from 1
        cut.append(
            interpolate(
                picture[:, :, top : max(bottom, top + 1), left : max(right, left + 1)], (size, size), mode="area"
            )
        )
    return torch.cat(cut) if cut else picture.new_zeros(0, 3, size, size)


def _points(boxes: Tensor, points: Tensor) -> Tensor:
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes[:, None, :2] + points.view(-1, 2, 5).transpose(1, 2) * size[:, None] - 1


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float()


def _propose(net: _Net, picture: Tensor, min_face: float, threshold: float) -> Tensor:
    height, width = picture.shape[2:]
    scale = 12 / min_face  # P-net sees 12 x 12 pixels
    found = [picture.new_zeros(0, 9)]
    while min(height, width) * scale >= 12:
        score, move = net(interpolate(picture, (int(height * scale + 1), int(width * scale + 1)), mode="area"))
        row, column = torch.nonzero(score[0] >= threshold, as_tuple=True)
        corner = 2 * torch.stack([column, row], dim=1)
        boxes = torch.cat([(corner + 1) / scale, (corner + 12) / scale], dim=1).floor()
        boxes = torch.cat([boxes, score[0, row, column, None], move[0, :, row, column].T], dim=1)
        found.append(boxes[nms(boxes[:, :4], boxes[:, 4], 0.5)])
        scale *= PYRAMID_STEP
    boxes = torch.cat(found)
    boxes = boxes[nms(boxes[:, :4], boxes[:, 4], 0.7)]
    size = boxes[:, 2:4] - boxes[:, :2]
    return _squared(boxes[:, :4] + boxes[:, 5:] * size.repeat(1, 2))


@torch.inference_mode()
def detect_faces(
    image: Image.Image, *, min_face: float = 20, thresholds: tuple[float, float, float] = (0.6, 0.7, 0.9)
) -> list[Face]:
    """All faces of an RGB picture that are at least ``min_face`` pixels wide, the largest first.

    ``thresholds`` are the probabilities that P-, R- and O-net ask for. The time goes with the pixels of the picture over ``min_face`` squared:
    search a reduced copy.
    """
    p_net, r_net, o_net = networks()
    picture = _tensor(image)

    boxes = _propose(p_net, picture, min_face, thresholds[0])

    score, move = r_net(_patches(picture, boxes, 24))
    kept = torch.nonzero(score > thresholds[1])[:, 0]
    kept = kept[nms(boxes[kept], score[kept], 0.7)]
    boxes = _squared(_moved(boxes[kept], move[kept]))

    score, move, points = o_net(_patches(picture, boxes, 48))
    kept = torch.nonzero(score > thresholds[2])[:, 0]
    boxes, score, move, points = boxes[kept], score[kept], move[kept], points[kept]
    landmarks = _points(boxes, points)
    boxes = _moved(boxes, move)
    kept = nms(boxes, score, 0.4)

    faces = [Face(tuple(boxes[i].tolist()), landmarks[i].numpy().astype(float), float(score[i])) for i in kept.tolist()]  # type: ignore[arg-type]
    return sorted(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]), reverse=True)


@torch.inference_mode()
def locate_landmarks(image: Image.Image, boxes: np.ndarray) -> np.ndarray:
    """Where O-net sees the five landmarks [K, 5, 2] when told that each of K boxes (left, top, right, bottom) holds a face."""
    where = torch.from_numpy(boxes).float()
    return _points(where, networks()[2](_patches(_tensor(image), where, 48))[2]).double().numpy()
