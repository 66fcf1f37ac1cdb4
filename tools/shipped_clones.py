"""Clones of the model's portraits for the edit explorer: near-perfect by weights, and beside it with tuned noise maps.

A clone is what tuning added to the weights. It comes in whole numbers from -127 to 127 and a unit for each row of a tensor, a byte a weight: the
page draws by exactly these weights, and what it says of their error is measured with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pack import packed, unpacked
from torch import Tensor
from tuning_graph import noise_names, tuned_names

import ganinv
from ganinv.checkpoints.differences import in_bytes
from ganinv.files import write_text
from ganinv.inversion.near_perfect import TUNED_NOISE, NearPerfect, near_perfect
from ganinv.inversion.result import Inversion, config_dict
from ganinv.study.profiles import default_config
from ganinv.stylegan2.controls import NOISE, WEIGHTS, Controls
from ganinv.zoo import Bundle

METHODS = {"weights": NearPerfect(), "noise": TUNED_NOISE}
"""How the clones are made: with the photo in weights and code alone, and with noise maps tuned besides."""
MADE_BY = (
    "checkpoints",
    "encoders",
    "inversion",
    "losses",
    "run",
    "stylegan2",
)  # the parts of the package whose change makes them anew


@dataclass
class Shipped:
    """A clone as it is shipped: its code, and what is added to ``names``, weights and noise maps, as bytes and units."""

    ws: Tensor
    bytes: dict[str, Tensor]
    units: dict[str, Tensor]
    mse: float = float("nan")

    def deltas(self) -> dict[str, Tensor]:
        """What is added, as numbers."""
        return {name: rows(self.units[name], self.bytes[name]) * self.bytes[name] for name in self.bytes}

    def data(self) -> bytes:
        """All units (float32), then all bytes, in the order of the names."""
        units = b"".join(unit.float().numpy().tobytes() for unit in self.units.values())
        return units + b"".join(steps.to(torch.int8).numpy().tobytes() for steps in self.bytes.values())


def rows(units: Tensor, like: Tensor) -> Tensor:
    """A unit for each row, shaped to be multiplied with the tensor."""
    return units.reshape(-1, *[1] * (like.ndim - 1)) if like.ndim else units.reshape(())


def rounded(delta: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers in [-127, 127], and the unit of each row, ``[rows]``."""
    steps, units = in_bytes(delta.reshape(len(delta) if delta.ndim else 1, -1).float())
    return steps.float().reshape(delta.shape), units


def shipped(gan: Bundle, found: Inversion) -> Shipped:
    """The clone of one photo, rounded, and the error that is left then."""
    weights, maps, own = found.controls.kind(WEIGHTS), found.controls.kind(NOISE), gan.G.synthesis.noise()
    parameters = dict(gan.G.named_parameters())
    steps, units = {}, {}
    for name in tuned_names(gan.G):
        delta = weights[name][0] if name in weights else torch.zeros_like(parameters[name])
        steps[name], units[name] = rounded(delta.detach())
    for name, key in zip(noise_names(gan.G), own, strict=True):
        delta = maps[key][0, 0] - own[key][0, 0] if key in maps else torch.zeros_like(own[key][0, 0])
        steps[name], units[name] = rounded(delta)
    clone = Shipped(found.ws, steps, units)
    clone.mse = (drawn(gan, clone).image.clamp(-1, 1) - found.target).square().mean().item()
    return clone


def drawn(gan: Bundle, clone: Shipped) -> Inversion:
    """The clone as an inversion, which draws and edits as the page does."""
    deltas, own = clone.deltas(), gan.G.synthesis.noise()
    maps = {key: own[key] + deltas.pop(name) for name, key in zip(noise_names(gan.G), own, strict=True)}
    controls = Controls.of(noise=maps, weights={name: delta[None] for name, delta in deltas.items()})
    size = gan.resolution
    return Inversion("near-perfect", gan, torch.zeros(1, 3, size, size), clone.ws, controls)


def methods(gan: Bundle, profile: str) -> dict[str, NearPerfect]:
    """How the clones of a model are made: in a fast build with few steps, and without the game, where it came without its discriminator."""
    quiet = {} if gan.D is not None else {"lambda_adv": 0.0, "lambda_global": 0.0}
    return {kind: replace(default_config(config, gan, profile), **quiet) for kind, config in METHODS.items()}


def clones(gan: Bundle, photo: Tensor, profile: str) -> dict[str, Shipped]:
    """The clones of a photo ``[1, 3, R, R]``, by kind."""
    return {kind: shipped(gan, near_perfect(gan, photo, config)) for kind, config in methods(gan, profile).items()}


def files(kinds: dict[str, Shipped]) -> dict[str, bytes]:
    """What a page loads of one portrait's clones: ``clones.json``, the facts, and a file of numbers a clone."""
    facts = {kind: {"mse": clone.mse, "ws": clone.ws.flatten().tolist()} for kind, clone in kinds.items()}
    return {
        "clones.json": json.dumps(facts).encode(),
        **{f"{kind}.bin": clone.data() for kind, clone in kinds.items()},
    }


def read(gan: Bundle, contents: Mapping[str, bytes]) -> dict[str, Shipped]:
    """The clones in :func:`files`."""
    state, found = gan.G.state_dict(), {}
    names = [*tuned_names(gan.G), *noise_names(gan.G)]
    sizes = [state[name].numel() for name in names]
    lengths = [len(state[name]) if state[name].ndim else 1 for name in names]
    for kind, facts in json.loads(contents["clones.json"]).items():
        data = contents[f"{kind}.bin"]
        units = torch.from_numpy(np.frombuffer(data, np.float32, sum(lengths)).copy()).split(lengths)
        steps = torch.from_numpy(np.frombuffer(data, np.int8, sum(sizes), 4 * sum(lengths)).astype(np.float32)).split(
            sizes
        )
        shaped = {name: part.reshape(state[name].shape) for name, part in zip(names, steps, strict=True)}
        ws = torch.tensor(facts["ws"]).reshape(1, gan.G.num_ws, gan.G.w_dim)
        found[kind] = Shipped(ws, shaped, dict(zip(names, units, strict=True)), facts["mse"])
    return found


def kept(gan: Bundle, photo: Tensor, folder: Path, profile: str) -> dict[str, bytes]:
    """The :func:`files` of a photo's clones, which take minutes to make: from ``folder``, where nothing that they come from has changed since."""
    package = Path(ganinv.__file__).parent
    code = [Path(__file__), *(file for part in MADE_BY for file in (package / part).glob("*.py"))]
    settings = json.dumps({kind: config_dict(config) for kind, config in methods(gan, profile).items()}, sort_keys=True)
    digest = hashlib.sha256(f"{gan.sha256} {settings} {torch.__version__}".encode() + photo.numpy().tobytes())
    for file in sorted(code):
        digest.update(file.read_bytes())
    path = folder / f"{digest.hexdigest()[:32]}.js"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, packed("clones", files(clones(gan, photo, profile))))
    return unpacked(path.read_text(encoding="utf-8"))
