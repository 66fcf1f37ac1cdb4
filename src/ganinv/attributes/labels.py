"""Labels: what the labellers of :mod:`ganinv.training.labellers` measured of the generator's samples, joined to the samples' codes by a seed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import GanInvError
from ..files import atomic_path

if TYPE_CHECKING:
    from ..zoo import Bundle

FOLDER = Path(str(resources.files("ganinv"))) / "assets" / "faces64_attributes"
MIRRORED = -1.0


@dataclass(frozen=True)
class Attribute:
    """Something that can be seen in a face.

    Attributes:
        name: ``"smile"``.
        unit: of its values.
        high: what a high value means.
        low: what a low value means.
        mirrored: 1, or -1 where the value of the mirror image has the opposite sign.
        binary: whether it is there or not (the value is a log-odds), and not more or less of it.
        colour: whether it is a colour, which a change of the image's colours changes.
        of: attributes that it is computed from: where these change, it changes by definition.
    """

    name: str
    unit: str
    high: str
    low: str
    mirrored: float = 1.0
    binary: bool = False
    colour: bool = False
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", tuple(self.of))  # a list, where it comes from a file


ATTRIBUTES = (
    Attribute("smile", "blendshape, 0 to 1", "smiling", "not smiling"),
    Attribute("mouth_open", "blendshape, 0 to 1", "mouth open", "mouth closed"),
    Attribute("anger", "σ", "angry", "calm", of=("smile",)),
    Attribute("age", "years", "older", "younger"),
    Attribute("gender", "σ", "presenting as a man", "presenting as a woman"),
    Attribute("yaw", "degrees", "nose to the image's right", "nose to the image's left", MIRRORED),
    Attribute("pitch", "degrees", "head down", "head up"),
    Attribute("gaze", "blendshapes, -2 to 2", "looking to the image's left", "looking to the image's right", MIRRORED),
    Attribute("eyeglasses", "log-odds", "eyeglasses", "none", binary=True),
    Attribute("beard", "log-odds", "beard", "none", binary=True),
    Attribute("hat", "log-odds", "hat", "none", binary=True),
    Attribute("hair_lightness", "L*", "light hair", "dark hair", colour=True),
    Attribute("lip_redness", "a* over the cheeks'", "red lips", "pale lips", colour=True),
)


@dataclass
class Labels:
    """Values of attributes of the images that a generator draws of a seed's codes (or of other images, where ``generator`` is empty).

    Attributes:
        values: float32 ``[N, K]``, each in its attribute's unit; NaN where a labeller found nothing.
        attributes: what the columns are.
        generator: ``sha256`` of the bundle.
        seed: of the codes, see :meth:`z`.
        provenance: how the labels were made: which package, which file, which licence, when.
    """

    values: np.ndarray
    attributes: tuple[Attribute, ...]
    generator: str
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> np.ndarray:
        """The values ``[N]`` of one attribute.

        Raises:
            GanInvError: there is no such attribute.
        """
        return self.values[:, index_of(name, self.names)]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(attribute.unit for attribute in self.attributes)

    def z(self, gan: Bundle) -> Tensor:
        """The codes ``[N, z_dim]`` of the labelled samples, on the bundle's device.

        Raises:
            GanInvError: the labels are of another generator.
        """
        if gan.sha256 != self.generator:
            raise GanInvError(
                f"these labels are not of {gan.name}'s samples: make its own with `ganinv train labels --model {gan.name}`."
            )
        return sample_codes(gan, len(self), self.seed)

    def ws(self, gan: Bundle) -> Tensor:
        """The codes ``[N, num_ws, w_dim]`` of the labelled samples, without truncation. They were drawn with ``noise_mode="const"``.

        Raises:
            GanInvError: the labels are of another generator.
        """
        with torch.no_grad():
            return torch.cat([gan.G.mapping(z) for z in self.z(gan).split(1000)])

    def save(self, path: str | Path) -> Path:
        """Write the labels as one ``.npz`` (the values in float16)."""
        card = {
            "attributes": [vars(attribute) for attribute in self.attributes],
            "generator": self.generator,
            "seed": self.seed,
            "provenance": self.provenance,
        }
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, values=self.values.astype(np.float16), card=np.array(json.dumps(card)))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Labels:
        """
        Raises:
            GanInvError: the file is missing, or holds no labels.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                values, card = file["values"], json.loads(str(file["card"][()]))
            attributes = tuple(Attribute(**entry) for entry in card["attributes"])
            if values.ndim != 2 or values.shape[1] != len(attributes) or values.dtype != np.float16:
                raise ValueError("columns without a name")
            if not all(type(text) is str for entry in attributes for text in (entry.name, entry.unit)):
                raise ValueError("names that are no text")
            return cls(
                values.astype(np.float32),
                attributes,
                str(card["generator"]),
                int(card["seed"]),
                dict(card["provenance"]),
            )
        except FileNotFoundError:
            raise GanInvError(f"{path} does not exist: make labels with `ganinv train labels`.") from None
        except Exception as error:  # the file decides what goes wrong
            raise GanInvError(
                f"{path} does not hold labels ({type(error).__name__}): make them with `ganinv train labels`."
            ) from error


def sample_codes(gan: Bundle, n: int, seed: int) -> Tensor:
    """The codes z ``[n, z_dim]`` of plain samples. Those of fewer are the first of more."""
    return gan.randn([n, gan.G.z_dim], torch.Generator().manual_seed(seed))


def index_of(name: str, names: tuple[str, ...]) -> int:
    """Where ``name`` is among ``names``.

    Raises:
        GanInvError: nowhere.
    """
    if name not in names:
        raise GanInvError(f"there is no attribute {name!r}; choose from {', '.join(names)}.")
    return names.index(name)


def load_labels(path: str | Path | None = None) -> Labels:
    """The labels of ``faces64``'s samples that ship, or those in a file from ``ganinv train labels``.

    Raises:
        GanInvError: the file is missing, or holds no labels.
    """
    return Labels.load(FOLDER / "labels.npz" if path is None else path)
