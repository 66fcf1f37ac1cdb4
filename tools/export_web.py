"""Export a model for the live figures: its networks as ONNX files that a page can load, and stills for where they do not run.

``build/live/<model>/`` gets one packed file a network (see ``pack.py``), ``manifest.js`` with the facts of the model, the stills, and the licences;
``build/live/face_detector/`` the detector that finds a face in the reader's photo. ``build_book.py`` puts them beside the pages.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import json
import shutil
from collections import abc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import toc
import torch
import winograd
from onnx_files import to_onnx
from pack import packed
from PIL import Image
from shipped_clones import Shipped, drawn, kept, read
from torch import Tensor, nn
from tuning_graph import Shifted, drawing, noise_names, style_sizes, tuned_names, tuning_step

import ganinv
from ganinv.editing import Direction, directions
from ganinv.encoders.style import StyleEncoder
from ganinv.encoders.weights import trained_for
from ganinv.errors import GanInvError
from ganinv.files import write_text
from ganinv.inversion.near_perfect import NearPerfect, near_perfect
from ganinv.inversion.result import FORMAT, Inversion, config_dict
from ganinv.photos import detector, load_target, magnify, tile, to_uint8
from ganinv.study.profiles import FAST, FULL
from ganinv.zoo import ASSETS, Bundle

DETECTOR = "face_detector"


@dataclass
class Network:
    """A network to export: ``inputs`` and ``outputs`` by name, ``examples`` of the inputs, and the dimensions that may differ from theirs."""

    name: str
    module: nn.Module
    examples: list[Tensor]
    inputs: list[str]
    outputs: list[str]
    dynamic: dict[str, dict[int, str]] = field(default_factory=dict)
    often: bool = False  # it runs while a slider is dragged, and its weights are its own

    def onnx(self) -> bytes:
        network = to_onnx(self.module, self.examples, self.inputs, self.outputs, self.dynamic)
        return winograd.faster(network) if self.often else network


STILL_STEPS = 60
TUNING = NearPerfect(steps=600, lambda_adv=0.0, lambda_global=0.0, global_interval=4, batch=2)
"""What the page tunes by: reconstruction, and one random image held to what it was. The game with the discriminator is left to the package."""


class Mapping(nn.Module):
    """``z`` ``[1, z_dim]`` to ``w`` ``[1, w_dim]``, not truncated."""

    def __init__(self, gan: Bundle):
        super().__init__()
        self.mapping = gan.G.mapping

    def forward(self, z: Tensor) -> Tensor:
        return self.mapping(z)[:, 0]


def style_encoders(gan: Bundle) -> dict[str, StyleEncoder]:
    """The model's encoders that read an image (or an image and its reconstruction) into a code, by name."""
    networks = {name: gan.encoder(name) for name in gan.encoders}
    return {name: network for name, network in networks.items() if isinstance(network, StyleEncoder)}


def networks_of(gan: Bundle) -> Iterator[Network]:
    """All networks of a model that the live figures use."""
    G, size = gan.G, gan.resolution
    yield Network("mapping", Mapping(gan), [torch.zeros(1, G.z_dim)], ["z"], ["w"])
    codes = [torch.zeros(1, G.num_ws, G.w_dim), torch.zeros(1, sum(style_sizes(G).values()))]
    yield Network("synthesis", Shifted(G), codes, ["ws", "shift"], ["image"], often=True)
    for name, encoder in style_encoders(gan).items():
        example = torch.zeros(1, encoder.config["in_channels"], size, size)
        yield Network(f"encoder-{name}", encoder, [example], ["images"], ["offsets"])
    plain = copy.deepcopy(G).to(memory_format=torch.contiguous_format)
    yield Network("drawing", *drawing(plain))
    yield Network("tuning", *tuning_step(plain, TUNING))


def detector_networks() -> Iterator[Network]:
    """The face detector's three networks, for pictures of any size and any number of patches."""
    p_net, r_net, o_net = detector.networks()
    picture, many = {"picture": {2: "height", 3: "width"}}, {"patches": {0: "count"}}
    yield Network("p_net", p_net, [torch.zeros(1, 3, 61, 73)], ["picture"], ["score", "move"], picture)
    yield Network("r_net", r_net, [torch.zeros(3, 3, 24, 24)], ["patches"], ["score", "move"], many)
    yield Network("o_net", o_net, [torch.zeros(3, 3, 48, 48)], ["patches"], ["score", "move", "points"], many)


def manifest(gan: Bundle, name: str) -> dict[str, object]:
    """What a page has to know of a model besides its networks."""
    G = gan.G
    return {
        "name": name,
        "sha256": gan.sha256,
        "licence": gan.card.get("licence", "not stated"),
        "resolution": gan.resolution,
        "z_dim": G.z_dim,
        "w_dim": G.w_dim,
        "num_ws": G.num_ws,
        "w_avg": G.mapping.w_avg.tolist(),
        "sigma_w": gan.sigma_w,
        "z": shown_z(gan).tolist(),
        "styles": style_sizes(G),
        "layers": [[layer for layer, k in G.synthesis.layer_ws.items() if k == i] for i in range(G.num_ws)],
        "encoders": {
            key: {"method": trained_for(encoder), "in_channels": encoder.config["in_channels"]}
            for key, encoder in style_encoders(gan).items()
        },
        "tuning": manifest_of_tuning(),
        "clone_format": FORMAT,
        "portraits": {key: pixels(gan, photo) for key, photo in gan.photos.items()},
        "clones": {key: f"clones-{i + 1}" for i, key in enumerate(gan.photos)},
    }


def pixels(gan: Bundle, photo: Path) -> str:
    """A photo that comes with the model, framed already: bytes ``[3, R, R]`` as base64."""
    image = to_uint8(load_target(photo, gan.resolution, align="none"))
    return base64.b64encode(image.numpy().tobytes()).decode()


def label(direction: Direction) -> str:
    """What a slider is called."""
    return direction.name.replace("_", " ").replace("-", " ").capitalize()


def page_directions(gan: Bundle) -> list[dict[str, object]]:
    """The model's named directions, each a step of one standard deviation: ``ws`` ``[num_ws * w_dim]`` for W and W+, ``shift`` for S."""
    G, listed = gan.G, []
    for name, direction in directions(gan).items():
        if isinstance(direction.step, abc.Mapping):
            parts = [direction.step.get(layer, torch.zeros(n)) for layer, n in style_sizes(G).items()]
            key, step = "shift", torch.cat(parts)
        else:
            key, step = "ws", torch.zeros(G.num_ws, G.w_dim)
            rows = slice(None) if direction.layers is None else list(direction.layers)
            step[rows] = direction.step if direction.step.ndim == 1 else direction.step[rows]
        listed.append(
            {"name": name, "label": label(direction), key: [float(f"{x:.6g}") for x in step.flatten().tolist()]}
        )
    return listed


def shown_z(gan: Bundle) -> Tensor:
    """The two codes ``[2, z_dim]`` that the stills show, and that the latent explorer begins with."""
    return torch.randn(2, gan.G.z_dim, generator=torch.Generator().manual_seed(14))


def stills(gan: Bundle, portraits: abc.Mapping[str, abc.Mapping[str, Shipped]]) -> dict[str, Image.Image]:
    """A picture for each figure: what a reader sees where it does not run. ``portraits`` are the clones."""
    G, t = gan.G, torch.linspace(0, 1, 7)[:, None, None]
    with torch.no_grad():
        a, b = G.mapping(shown_z(gan), truncation_psi=0.7).split(1)
        layers = torch.arange(G.num_ws)[None, :, None]
        walk = a.lerp(b, t)
        truncated = G.mapping.w_avg + t * 1.2 / 0.7 * (a - G.mapping.w_avg)
        mixed = torch.where(layers < t * G.num_ws, b, a)  # the coarse layers of b, and ever more of them
        explored = G.synthesis(torch.cat([walk, truncated, mixed]))
    photos = shown_photos(gan)
    inverted, tuned = inverted_photos(gan, photos), tuned_photos(gan, photos)
    sheets = {
        "latent-explorer": tile(explored, 7),
        "your-photo": tile(inverted, len(inverted) // len(photos)),
        "near-perfect": tile(tuned, len(tuned) // len(photos)),
    }
    if portraits:
        rows = edited_portraits(gan, portraits)
        sheets["edit-explorer"] = tile(rows, len(rows) // (2 * len(portraits)))
    return {kind: magnify(sheet, max(1, 128 // gan.resolution)) for kind, sheet in sheets.items()}


def shown_photos(gan: Bundle) -> Tensor:
    """The photos of the stills ``[N, 3, R, R]``: the portraits that come with the model, or two images of its own where none do."""
    photos = [load_target(photo, gan.resolution, align="none") for photo in gan.photos.values()]
    with torch.no_grad():
        own = gan.G.synthesis(gan.G.mapping(shown_z(gan), truncation_psi=0.7))
    return torch.cat(photos or [own]).clamp(-1, 1)


def mean_code(gan: Bundle, photos: Tensor) -> Inversion:
    """The mean face, as the inversion that says the least."""
    return Inversion("mean", gan, photos, gan.G.mapping.w_avg.repeat(len(photos), gan.G.num_ws, 1))


def encoded(gan: Bundle, photos: Tensor) -> dict[str, Inversion]:
    """What each of the model's encoders makes of photos."""
    return {name: ganinv.invert(photos, gan, trained_for(encoder)) for name, encoder in style_encoders(gan).items()}


def inverted_photos(gan: Bundle, photos: Tensor) -> Tensor:
    """A row for each photo: itself, the mean face, and what every encoder makes of it."""
    columns = [photos, mean_code(gan, photos).image, *(found.image for found in encoded(gan, photos).values())]
    return torch.stack(columns, dim=1).flatten(0, 1).clamp(-1, 1)


def tuned_photos(gan: Bundle, photos: Tensor) -> Tensor:
    """A row for each photo: itself, where the page starts, and what it has after a few of its steps."""
    start = encoded(gan, photos).get(str(manifest_of_tuning()["encoder"])) or mean_code(gan, photos)
    tuned = near_perfect(gan, photos, replace(TUNING, steps=STILL_STEPS), start=start)
    return torch.stack([photos, start.image, tuned.image], dim=1).flatten(0, 1).clamp(-1, 1)


def edited_portraits(gan: Bundle, portraits: abc.Mapping[str, abc.Mapping[str, Shipped]]) -> Tensor:
    """Two rows for each portrait, near-perfect by weights and with tuned noise: the photo, its clone, and the clone edited along the first
    directions (or, where the model has none, with the middle layers of another face)."""
    edits = [direction.at(2.0) for direction in list(directions(gan).values())[:4]]
    with torch.no_grad():
        other = gan.G.mapping(shown_z(gan)[:1], truncation_psi=0.7)
    images = []
    for key, kinds in portraits.items():
        for clone in kinds.values():
            found = drawn(gan, clone)
            mixed = torch.cat([found.ws[:, :2], other[:, 2:4], found.ws[:, 4:]], dim=1)
            edited = [found.render(edit) for edit in edits] or [found.render(mixed)]
            images += [load_target(gan.photos[key], gan.resolution, align="none"), found.image, *edited]
    return torch.cat(images).clamp(-1, 1)


def manifest_of_tuning() -> dict[str, object]:
    """How the page tunes, and which encoder it starts from (the mean code, where the model has none)."""
    return config_dict(TUNING) | {"encoder": getattr(TUNING.initial, "encoder", None)}


def export(network: Network, folder: Path) -> int:
    """Write a network; how many bytes a page loads for it."""
    return write_packed(folder, network.name, {"network.onnx": network.onnx()})


def write_packed(folder: Path, name: str, contents: abc.Mapping[str, bytes]) -> int:
    """Write files for a page; how many bytes it loads for them."""
    text = packed(f"{folder.name}/{name}", contents)
    write_text(folder / f"{name}.js", text)
    return len(text)


def export_weights(gan: Bundle, folder: Path) -> int:
    """Write the tuned parameters and the noise maps as they come into the graphs: names, shapes, and values in float16, one after the other.

    Raises:
        GanInvError: they do not fit into float16.
    """
    state, maps = gan.G.state_dict(), noise_names(gan.G)
    tensors = {name: state[name].contiguous() for name in [*tuned_names(gan.G), *maps]}
    if not all(torch.equal(tensor.half().float(), tensor) for tensor in tensors.values()):
        raise GanInvError(f"{gan.name} has weights that float16 does not hold: save it with dtype=torch.float16 first.")
    values = b"".join(tensor.half().numpy().tobytes() for tensor in tensors.values())
    listed = json.dumps([[name, list(tensor.shape), name in maps] for name, tensor in tensors.items()]).encode()
    return write_packed(folder, "weights", {"weights.json": listed, "weights.bin": values})


def deliver(folder: Path, name: str, facts: object) -> int:
    """Write facts as a packed file; how many bytes a page loads for them."""
    return write_packed(folder, name, {f"{name}.json": json.dumps(facts, allow_nan=False).encode()})


def key_of(files: list[Path]) -> str:
    """What an export was made from: these files, this tool and the package."""
    code = [*Path(__file__).parent.glob("*.py"), *Path(ganinv.__file__).parent.rglob("*.py")]
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(files) + sorted(code):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def fresh(folder: Path, key: str) -> bool:
    """Whether ``folder`` was exported with ``key``; if not, it is emptied."""
    if (folder / "key").is_file() and (folder / "key").read_text(encoding="utf-8") == key:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return False


def export_model(model: str, target: Path, name: str | None = None, profile: str = FULL) -> Path:
    """Export a model to ``target/<name>``, unless what lies there is of the same files (its card, which is only copied, aside); the folder. In the
    fast profile its clones are tuned a little only."""
    gan = ganinv.load(model)
    folder, source = target / (name or gan.name), gan.folder or Path(model)
    card = source / "MODEL_CARD.md"
    files = [source] if source.is_file() else [file for file in source.rglob("*") if file.is_file() and file != card]
    key = key_of(files) + profile
    known = fresh(folder, key)
    if card.is_file():
        shutil.copyfile(card, folder / card.name)
    if known:
        return folder
    sizes = {network.name: export(network, folder) for network in networks_of(gan)}
    sizes["weights"] = export_weights(gan, folder)
    portraits = {}
    for i, (who, photo) in enumerate(gan.photos.items()):
        made = kept(gan, load_target(photo, gan.resolution, align="none"), target.with_name("clones"), profile)
        sizes[f"clones-{i + 1}"] = write_packed(folder, f"clones-{i + 1}", made)
        portraits[who] = read(gan, made)
    sizes["directions"] = deliver(folder, "directions", page_directions(gan))
    for kind, still in stills(gan, portraits).items():
        still.save(folder / f"{kind}.png")
    facts = manifest(gan, folder.name) | {"bytes": sizes}
    deliver(folder, "manifest", facts)
    write_text(folder / "manifest.json", json.dumps(facts))  # the same, for the build
    write_text(folder / "key", key)
    return folder


def export_detector(target: Path) -> Path:
    """Export the face detector to ``target/face_detector``, unless that was done before; the folder."""
    folder, source = target / DETECTOR, ASSETS / DETECTOR
    key = key_of([*source.iterdir()])
    if fresh(folder, key):
        return folder
    sizes = {network.name: export(network, folder) for network in detector_networks()}
    for text in ("LICENSE", "SOURCES.md"):
        shutil.copyfile(source / text, folder / text)
    facts = {"name": DETECTOR, "licence": "MIT", "bytes": sizes}
    deliver(folder, "manifest", facts)
    write_text(folder / "manifest.json", json.dumps(facts))
    write_text(folder / "key", key)
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="faces64", help="name or folder of the model (default: %(default)s)")
    parser.add_argument("--name", help="what the pages call it (default: its own name)")
    parser.add_argument("--out", type=Path, default=toc.ROOT / "build" / "live", help=argparse.SUPPRESS)
    parser.add_argument("--profile", choices=(FULL, FAST), default=FULL, help="fast: clones of few steps")
    options = parser.parse_args(arguments)
    try:
        folders = [
            export_model(options.model, options.out, options.name, options.profile),
            export_detector(options.out),
        ]
    except GanInvError as error:
        raise SystemExit(str(error)) from None
    for folder in folders:
        sizes = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["bytes"]
        print(f"{folder.name}: " + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
