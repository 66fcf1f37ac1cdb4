"""Files of directions: ours, and those that others publish, read without executing anything in them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoints.checkpoint import json_values, reading, writing
from ..checkpoints.torchfiles import read_torch_file
from ..errors import GanInvError
from .direction import Direction

if TYPE_CHECKING:
    from ..zoo import Bundle

FORMAT = 1
MOST_PARTS = 1000  # tensors in a file
SCORES = "scores.json"  # beside the files: what all of them were measured to do, also those that are left out
CODE = "w"  # name of the tensor of a direction in W or W+; those of S are "s/<layer>"


def save_direction(path: str | os.PathLike[str], direction: Direction) -> Path:
    """Write a ``.safetensors`` file: the step, and in the header's ``direction`` everything else, as JSON.

    Raises:
        GanInvError: the file cannot be written, or its name does not end so.
    """
    if Path(path).suffix != ".safetensors":
        raise GanInvError(f"{path}: a direction is kept in a .safetensors file; call it {Path(path).stem}.safetensors.")
    step = direction.step
    tensors = {f"s/{name}": part for name, part in step.items()} if isinstance(step, Mapping) else {CODE: step}
    card = {key: getattr(direction, key) for key in ("name", "layers", "offset", "method", "generator", "facts")}
    with writing(path) as temporary:
        save_file(
            {name: part.detach().cpu().float().contiguous().clone() for name, part in tensors.items()},
            temporary,
            metadata={"direction": json.dumps({"format": FORMAT, **card})},
        )
    return Path(path)


def load_direction(path: str | os.PathLike[str], gan: Bundle | None = None) -> Direction:
    """Read a direction.

    Args:
        path: what :func:`save_direction` wrote; a ``.pt`` of the encoders' repositories, or InterFaceGAN's ``.npy``: a vector of W ``[1, w_dim]``, or
            one of W+ ``[num_ws, w_dim]``. Their steps are as long as the file has them, which is the unit of their authors' factors.
        gan: the bundle that it is to be used with. Steps of those other files become standard deviations of its codes.

    Raises:
        GanInvError: no such file, or none of these; with ``gan``, a direction of another width or found for another generator.
    """
    with reading(path) as file:
        suffix = Path(path).suffix.lower()
        ours = suffix == ".safetensors"
        direction = _read(file) if ours else Direction(file.stem, _vector(file, suffix), method="file")
        if gan is not None:
            direction.check(gan.G)
            if direction.generator not in ("", gan.sha256):
                raise GanInvError(
                    f"it was found for another generator than {gan.name}; find one for this with ganinv train directions"
                )
            direction = direction if ours else direction.measured(gan)
    return direction


def _read(path: Path) -> Direction:
    with safe_open(path, framework="pt") as content:
        header = content.metadata() or {}
        if "direction" not in header:
            raise GanInvError(
                "it is a safetensors file, but holds no direction; give one that ganinv train directions wrote"
            )
        card = json_values(json.loads(header["direction"]))
        names = content.keys()
        if card.get("format") != FORMAT or len(names) > MOST_PARTS:
            raise GanInvError("it is of another format than this ganinv reads; find the direction again")
        tensors = {name: content.get_tensor(name).float() for name in names}
    step: Any = tensors[CODE] if CODE in tensors else {name.removeprefix("s/"): part for name, part in tensors.items()}
    layers = card["layers"]
    texts = {key: card[key] for key in ("name", "method", "generator")}
    if not all(type(text) is str and text.isprintable() for text in texts.values()) or type(card["facts"]) is not dict:
        raise TypeError("a name that is no text")
    rows = None if layers is None else tuple(int(i) for i in layers)
    return Direction(step=step, layers=rows, offset=float(card["offset"]), facts=card["facts"], **texts)


def _vector(path: Path, suffix: str) -> Tensor:
    """The only tensor in somebody else's file, ``[w_dim]`` or ``[num_ws, w_dim]``."""
    if suffix == ".npy":
        content: Any = torch.from_numpy(np.array(np.load(path, mmap_mode="r", allow_pickle=False), dtype=np.float32))
    else:
        content = read_torch_file(path)
    if not isinstance(content, Tensor) or not content.is_floating_point():
        raise GanInvError(
            "it is not one tensor; name a direction, or open principal components with ganinv.editing.PCA.load"
        )
    vector = content.float().clone()
    while vector.ndim > 1 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim not in (1, 2):
        raise GanInvError(
            f"it is a tensor of shape {list(content.shape)}, not one direction [1, w_dim] or [num_ws, w_dim]"
        )
    return vector


def directions(gan: Bundle) -> dict[str, Direction]:
    """The named directions that ship with a bundle (``directions/NAME.safetensors`` in its folder), by name; none, where it comes without."""
    folder = None if gan.folder is None else gan.folder / "directions"
    found = [] if folder is None else [load_direction(path, gan) for path in sorted(folder.glob("*.safetensors"))]
    return {direction.name: direction for direction in found}


def direction_scores(gan: Bundle) -> dict[str, dict[str, Any]]:
    """What was measured of a bundle's directions, by name, JSON values: ``ships``, ``space``, ``method``, ``scores`` (see
    :class:`ganinv.editing.measure.Score`), ...; those that did not pass have ``ships: false``."""
    path = None if gan.folder is None else gan.folder / "directions" / SCORES
    if path is None or not path.is_file():
        return {name: summary(direction) for name, direction in directions(gan).items()}
    with reading(path) as file:
        table: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return table


def summary(direction: Direction) -> dict[str, Any]:
    """A direction's entry in ``scores.json``."""
    sigma = round(direction.length, 4)
    return {
        "space": direction.space,
        "method": direction.method,
        "layers": direction.layers,
        "sigma": sigma,
        **direction.facts,
    }
