"""Sliders over a generator: walk along main directions, between two codes, swap layers, or edit an inverted photo.

A slider needs Python behind it, which a published page has not, so every widget also draws ``static_figure()``: the same for a few fixed values.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from . import plots
from .devices import randn
from .editing import Direction, Edit
from .editing import directions as named_directions
from .errors import GanInvError, sentence
from .inversion import Inversion
from .photos import magnify, save_png, to_pil
from .stylegan2 import truncate
from .stylegan2.generator import NOISE_MODES
from .zoo import Bundle

SIZE = 256  # pixels: how large the picture is shown, at least


class Viewer(ipywidgets.VBox):
    """A picture that follows its controls. A subclass makes the controls and says in :meth:`codes` which code they stand for.

    Attributes:
        controls: the sliders and menus by name.
        image: what is shown, ``[1, 3, R, R]``.
    """

    def __init__(self, gan: Bundle, controls: Mapping[str, Any], columns: Sequence[Sequence[str]]):
        self.gan, self.controls = gan, dict(controls)
        self.controls["noise_mode"] = ipywidgets.Dropdown(
            options=list(NOISE_MODES), value="const", description="noise_mode"
        )
        # of its own: a widget must not move the notebook's random numbers
        self._noise = torch.Generator().manual_seed(0)
        self.picture = _picture()
        boxes = [
            ipywidgets.VBox([self.controls[name] for name in column])
            for column in [*columns[:-1], [*columns[-1], "noise_mode"]]
        ]
        super().__init__([ipywidgets.HBox([self.picture, *boxes])])
        for control in self.controls.values():
            control.observe(self.refresh, "value")
        self.refresh()

    def codes(self) -> Tensor:
        """The code of the controls' present values, ``ws`` ``[1, num_ws, w_dim]``."""
        raise NotImplementedError

    def static_figure(self) -> Figure:
        """The same for a few fixed values, for pages without Python."""
        raise NotImplementedError

    def refresh(self, change: Any = None) -> None:
        """Draw again."""
        self.image = self.draw(self.codes(), self.controls["noise_mode"].value)
        self.picture.value = _png(self.image)

    @torch.no_grad()
    def draw(self, ws: Tensor, noise_mode: str = "const") -> Tensor:
        """Images ``[N, 3, R, R]`` of ``ws`` ``[N, num_ws, w_dim]``."""
        maps = self.gan.G.synthesis.noise() if noise_mode == "random" else {}
        noise = {name: randn([len(ws), *m.shape[1:]], self._noise, m.device) for name, m in maps.items()}
        return self.gan.G.synthesis(self.gan.place(ws), noise_mode=noise_mode, noise=noise).cpu()


def _png(image: Tensor) -> bytes:
    """One image as a file for the browser, with its pixels as squares."""
    picture, data = to_pil(image)[0], io.BytesIO()
    magnify(picture, max(1, SIZE // picture.width)).save(data, format="PNG")
    return data.getvalue()


def _picture() -> ipywidgets.Image:
    return ipywidgets.Image(format="png", layout=ipywidgets.Layout(width=f"{SIZE}px", height=f"{SIZE}px"))


def _slider(description: str, value: float, low: float, high: float, step: float = 0.1) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=description, style={"description_width": "8em"}
    )


class LatentExplorer(Viewer):
    """See :func:`latent_explorer`."""

    def __init__(self, gan: Bundle, directions: int = 5, space: str = "w", seed: int = 0, extent: float = 3.0):
        if space not in ("w", "z"):
            raise ValueError(f"space must be 'w' or 'z', not {space!r}")
        count = min(directions, gan.G.w_dim if space == "w" else gan.G.z_dim)
        self.space, self.extent = space, extent
        if space == "w":
            values, vectors = torch.linalg.eigh(gan.w_cov)
            # the same sign on every machine
            vectors = vectors * vectors.gather(0, vectors.abs().argmax(dim=0)[None]).sign()
            # rows: one standard deviation along each
            self.directions = (vectors * values.clamp(min=0).sqrt()).T.flip(0)[:count]
        else:
            self.directions = torch.eye(gan.G.z_dim, device="cpu", dtype=torch.float32)[:count]
        self.names = [f"component {i + 1} (σ)" if space == "w" else f"z[{i}]" for i in range(count)]
        sliders = {name: _slider(name, 0.0, -extent, extent) for name in self.names}
        others = {
            "seed": ipywidgets.BoundedIntText(value=seed, min=0, max=2**31 - 1, description="seed"),
            "truncation_psi": _slider("truncation_psi", 1.0, 0.0, 1.5, 0.05),
        }
        super().__init__(gan, {**sliders, **others}, [list(sliders), list(others)])

    def codes(self) -> Tensor:
        steps = self.directions.new_tensor([self.controls[name].value for name in self.names])
        return self._ws(steps, self.controls["seed"].value, self.controls["truncation_psi"].value)

    @torch.no_grad()
    def _ws(self, steps: Tensor, seed: int, psi: float) -> Tensor:
        G = self.gan.G
        z, shift = (
            self.gan.randn([1, G.z_dim], torch.Generator().manual_seed(seed)),
            self.gan.place(steps @ self.directions),
        )
        if self.space == "z":
            return G.mapping(z + shift, psi)
        return truncate(G.mapping(z) + shift, G.mapping.w_avg, psi)

    def static_figure(self) -> Figure:
        """One row a direction, at five positions, for the present seed and truncation."""
        seed, psi = self.controls["seed"].value, self.controls["truncation_psi"].value
        positions = [self.extent * t for t in (-1, -0.5, 0, 0.5, 1)]
        axes = torch.eye(len(self.names), device="cpu", dtype=torch.float32)
        rows = [self.draw(torch.cat([self._ws(t * axis, seed, psi) for t in positions])) for axis in axes]
        unit = "σ" if self.space == "w" else ""
        return plots.image_grid(
            torch.stack(rows),
            [name.removesuffix(" (σ)") for name in self.names],
            [f"{t:+g}{unit}" if t else "0" for t in positions],
            scale=1.1,
        )


class Interpolation(Viewer):
    """See :func:`interpolation`."""

    def __init__(self, gan: Bundle, ws_a: Tensor, ws_b: Tensor):
        self.ends = _code(gan, ws_a), _code(gan, ws_b)
        super().__init__(gan, {"t": _slider("t (from a to b)", 0.5, 0.0, 1.0, 0.02)}, [["t"]])

    def codes(self) -> Tensor:
        return torch.lerp(*self.ends, self.controls["t"].value)

    def static_figure(self) -> Figure:
        """Seven codes at even distances, both ends among them."""
        ts = [i / 6 for i in range(7)]
        images = self.draw(torch.cat([torch.lerp(*self.ends, t) for t in ts]))
        return plots.filmstrip(
            images, [f"{name}t = {t:.2f}" for name, t in zip(["a, ", *[""] * 5, "b, "], ts, strict=True)]
        )


class LayerMixer(Viewer):
    """See :func:`layer_mixer`."""

    def __init__(self, gan: Bundle, ws_a: Tensor, ws_b: Tensor):
        self.ends = _code(gan, ws_a), _code(gan, ws_b)
        self.names = _layer_names(gan)
        sliders = {name: _slider(name, 0.0, 0.0, 1.0, 0.05) for name in self.names}
        half = (len(sliders) + 1) // 2
        super().__init__(gan, sliders, [self.names[:half], self.names[half:]])

    def codes(self) -> Tensor:
        share = self.ends[0].new_tensor([self.controls[name].value for name in self.names])
        return torch.lerp(*self.ends, share[None, :, None])

    def static_figure(self) -> Figure:
        """The crossover of style mixing: the coarsest layers from a and the rest from b, and the other way round, at every second layer."""
        a, b = self.ends
        cuts = list(range(0, len(self.names) + 1, 2))
        mixed = [torch.cat([torch.cat([x[:, :cut], y[:, cut:]], dim=1) for cut in cuts]) for x, y in ((a, b), (b, a))]
        return plots.image_grid(
            torch.stack([self.draw(ws) for ws in mixed]),
            ["coarse a, fine b", "coarse b, fine a"],
            [f"{cut} coarse" for cut in cuts],
            scale=1.2,
        )


class EditExplorer(ipywidgets.VBox):
    """See :func:`edit_explorer`.

    Attributes:
        controls: the sliders by the names of their directions.
        image: what is shown, ``[1, 3, R, R]``.
    """

    def __init__(self, inversion: Inversion, directions: Mapping[str, Direction], extent: float = 3.0):
        if len(inversion) != 1:
            raise ValueError(f"the explorer edits one photo, not {len(inversion)}: give inversion[i]")
        self.inversion, self.directions, self.extent = inversion, dict(directions), extent
        self.controls = {name: _slider(f"{name} (σ)", 0.0, -extent, extent) for name in self.directions}
        self.before, self.after = (_picture() for _ in range(2))
        self.before.value = _png(inversion.image)
        self.file = ipywidgets.Text(value="edited.png", description="file")
        self.said = ipywidgets.Label()
        self.reset_button, self.save_button = (ipywidgets.Button(description=name) for name in ("reset", "save"))
        self.reset_button.on_click(self.reset)
        self.save_button.on_click(self.save)
        buttons = ipywidgets.HBox([self.reset_button, self.save_button, self.file])
        pictures = ipywidgets.HBox([self.before, self.after])
        super().__init__(
            [ipywidgets.HBox([pictures, ipywidgets.VBox(list(self.controls.values()))]), buttons, self.said]
        )
        for control in self.controls.values():
            control.observe(self.refresh, "value")
        self.refresh()

    @property
    def edit(self) -> Edit:
        """What the sliders stand for."""
        parts = (direction.at(self.controls[name].value) for name, direction in self.directions.items())
        return sum(parts, Edit())

    def refresh(self, change: Any = None) -> None:
        """Draw again."""
        self.image = self.inversion.render(self.edit)
        self.after.value = _png(self.image)

    def reset(self, button: Any = None) -> None:
        """All sliders to 0."""
        for control in self.controls.values():
            control.value = 0.0

    def save(self, button: Any = None) -> None:
        """Write the edited picture, in its own size, and say so."""
        try:
            save_png(self.file.value, self.image)
            self.said.value = f"{self.file.value} is written"
        except (OSError, GanInvError) as error:
            self.said.value = f"{self.file.value} cannot be written: {sentence(error)}"

    def static_figure(self) -> Figure:
        """One row a direction, at five strengths, for pages without Python."""
        strengths = [self.extent * t for t in (-1, -0.5, 0, 0.5, 1)]
        rows = [torch.cat([self.inversion.render(each.at(t)) for t in strengths]) for each in self.directions.values()]
        columns = [f"{t:+g}σ" if t else "0" for t in strengths]
        return plots.image_grid(torch.stack(rows), list(self.directions), columns, scale=1.1)


def edit_explorer(
    inversion: Inversion, directions: Mapping[str, Direction] | None = None, extent: float = 3.0
) -> EditExplorer:
    """Edit an inverted photo: a slider for every direction, the reconstruction beside the edit, and buttons that reset and save.

    Args:
        inversion: of one photo, by any method.
        directions: by name; those that ship with the inversion's bundle for ``None``.
        extent: how far the sliders go to either side, in standard deviations.

    Raises:
        ValueError: there are several photos, or no directions.
    """
    directions = named_directions(inversion.gan) if directions is None else directions
    if not directions:
        raise ValueError(f"{inversion.gan.name} comes without directions: give some")
    return EditExplorer(inversion, directions, extent)


def latent_explorer(
    gan: Bundle, directions: int = 5, space: str = "w", seed: int = 0, extent: float = 3.0
) -> LatentExplorer:
    """Start from a random code and move it along a few directions.

    Args:
        directions: how many sliders.
        space: ``"w"``, the principal components of w for random z, in standard deviations (GANSpace, Härkönen et al. 2020), or ``"z"``, single
            coordinates of z.
        extent: how far the sliders go to either side.
    """
    return LatentExplorer(gan, directions, space, seed, extent)


def interpolation(gan: Bundle, ws_a: Tensor, ws_b: Tensor) -> Interpolation:
    """Walk on the straight line from ``ws_a`` to ``ws_b``, each ``[1, num_ws, w_dim]`` or ``[1, w_dim]``."""
    return Interpolation(gan, ws_a, ws_b)


def layer_mixer(gan: Bundle, ws_a: Tensor, ws_b: Tensor) -> LayerMixer:
    """For every layer, a share from 0 (all of ``ws_a``) to 1 (all of ``ws_b``): style mixing by hand."""
    return LayerMixer(gan, ws_a, ws_b)


def _code(gan: Bundle, ws: Tensor) -> Tensor:
    """``ws`` as ``[1, num_ws, w_dim]``."""
    ws = ws.detach()
    if ws.ndim == 2 and ws.shape[0] == 1:
        ws = ws[:, None].expand(-1, gan.G.num_ws, -1)
    if ws.shape != (1, gan.G.num_ws, gan.G.w_dim):
        raise ValueError(
            f"one code is [1, {gan.G.num_ws}, {gan.G.w_dim}] or [1, {gan.G.w_dim}] for {gan.name}, not {list(ws.shape)}"
        )
    return ws


def _layer_names(gan: Bundle) -> list[str]:
    """What each row of ws steers: a 3x3 layer (and the toRGB before it), the last row the last toRGB alone."""
    names: dict[int, str] = {}
    for layer, index in gan.G.synthesis.layer_ws.items():
        if index not in names or not layer.endswith("torgb"):
            names[index] = layer
    return [f"{index}: {names[index]}" for index in sorted(names)]
