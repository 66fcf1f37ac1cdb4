"""Power by spatial frequency."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ..perception.spectra import radial_spectrum
from .axes import label_ends, raise_floor
from .style import WIDTH, counted, dash_patterns, describe, start_of


def spectra(
    images: Mapping[str, Tensor],
    ylabel: str = "power",
    window: bool = True,
    relative_to: str | None = None,
    floor: float = 1e-7,
    title: str | None = None,
) -> Figure:
    """Power over spatial frequency, both logarithmic, one line a name; dotted where the octaves meet, about where pyramid bands do.

    Args:
        images: name -> ``[N, C, H, W]`` images, errors or gradients, whose mean spectrum is drawn
            (:func:`ganinv.perception.spectra.radial_spectrum`).
        window: fade out the borders; leave it off for gradients and white errors.
        relative_to: divide all by the spectrum of this one, which becomes a grey line at 1.
        floor: what lies further below the largest power is cut off.
    """
    lines: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, pictures in images.items():
        frequencies, power = radial_spectrum(pictures.detach(), window)
        lines[name] = frequencies.cpu().numpy(), power.mean(dim=0).cpu().numpy()
    if relative_to is not None:
        base = lines[relative_to][1]
        lines = {name: (xs, ys / base) for name, (xs, ys) in lines.items() if name != relative_to}
        ylabel = f"{ylabel}, {relative_to} = 1"
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for (name, (xs, ys)), dashes in zip(lines.items(), dash_patterns(len(lines)), strict=True):
        ax.plot(xs, ys, linestyle=dashes, label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.margins(x=0.01)
    raise_floor(ax, [ys for _, ys in lines.values()], floor)
    label_ends(ax)
    for edge in (1 / 4, 1 / 8, 1 / 16, 1 / 32):
        ax.axvline(edge, color="#8a8a8a", linestyle=":", linewidth=0.8, zorder=0)
    if relative_to is not None:
        ax.axhline(1, color="#8a8a8a", linewidth=1, zorder=0)
    ax.xaxis.set_major_formatter(lambda f, _: f"1/{1 / f:.0f}")
    ax.set(xlabel="cycles per pixel", ylabel=ylabel, title=title or "")
    told = "; ".join(
        f"{name} from {ys[0]:.2g} at the lowest to {ys[-1]:.2g} at the highest frequency"
        for name, (_, ys) in lines.items()
    )
    return describe(
        figure,
        f"{start_of(title)}{counted(len(lines), 'curve')} of {ylabel} over spatial frequency, on logarithmic scales: {told}.",
    )
