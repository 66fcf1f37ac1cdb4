r"""Linear measurements :math:`y = Ax + \eta` of images: what an inverse problem starts from.

An operator knows how to apply :math:`A` and its adjoint :math:`A^\top`, and no more: a mask, a mean over blocks, a convolution and a Fourier
transform are functions, so none of them is a matrix in memory. Only Gaussian measurements are one: independent numbers have no structure to use.

``deepinv.physics`` has operators like these. It is not used because it brings 39 MB (h5py, torchmetrics and others with it), keeps a Gaussian
matrix inside the object (491 MB travel to each worker for m = 10,000), and each class below is a few lines.

Operators are small values: they can be compared, printed, and sent to another machine, which draws the same numbers from the same seed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import rand, randn
from ..errors import GanInvError

GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601
POWER_STEPS = 30
STREAM = (
    2**31
)  # added to the seeds of operators, so that what they draw is not what images, codes or noise of the same seed were drawn from


@dataclass(frozen=True)
class Operator(ABC):
    """A linear map from images ``[N, 3, R, R]`` to measurements ``[N, *shape]``.

    Attributes:
        resolution: R.
    """

    resolution: int

    @property
    @abstractmethod
    def name(self) -> str:
        """As :func:`operator` reads it, such as ``"gaussian:500"``."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the measurements of one image."""

    @property
    def gain(self) -> float:
        r"""What :math:`A^\top A` multiplies the images that :math:`A` sees with: :math:`\lVert A \rVert^2`, or 1 for Gaussian measurements, whose
        :math:`A^\top A` is the identity on average (and nearly on the range of a generator: the set-restricted eigenvalue condition)."""
        return 1.0

    @abstractmethod
    def A(self, x: Tensor) -> Tensor:
        """The measurements ``[N, *shape]`` of images ``[N, 3, R, R]``."""

    @abstractmethod
    def A_T(self, y: Tensor) -> Tensor:
        """The adjoint: images ``[N, 3, R, R]`` from measurements ``[N, *shape]``."""

    def picture(self, y: Tensor) -> Tensor:
        """Measurements as images ``[N, 3, R, R]`` to look at: what the adjoint makes of them."""
        return self.A_T(y) / self.gain

    @property
    def m(self) -> int:
        """How many numbers are measured of an image."""
        return math.prod(self.shape)

    @property
    def n(self) -> int:
        """How many numbers an image is: 3 R²."""
        return 3 * self.resolution**2

    def misfit(self, x: Tensor, y: Tensor) -> Tensor:
        r"""How far images are from explaining measurements, :math:`\lVert y - Ax \rVert^2 / (n \cdot \mathrm{gain})`, ``[N]``: in units of the MSE of
        images, which it never exceeds without noise, and equals on average for Gaussian measurements."""
        return (y - self.A(x)).square().flatten(1).sum(dim=1) / (self.n * self.gain)

    def norm(self) -> float:
        r"""The largest eigenvalue :math:`\lVert A \rVert^2` of :math:`A^\top A`, by power iteration."""
        x = randn([1, 3, self.resolution, self.resolution], stream(0))
        length = x.norm()
        for _ in range(POWER_STEPS):
            x = self.A_T(self.A(x / length))
            length = x.norm()
        return length.item()


@dataclass(frozen=True)
class Gaussian(Operator):
    r"""``count`` random projections, :math:`A_{ij} \sim \mathcal N(0, 1/m)`: compressed sensing (Bora et al. 2017, sec. 6)."""

    count: int
    seed: int = 0

    @property
    def name(self) -> str:
        return f"gaussian:{self.count}"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count,)

    def A(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ _gaussian(self.count, self.n, self.seed, x.device).T

    def A_T(self, y: Tensor) -> Tensor:
        x = y @ _gaussian(self.count, self.n, self.seed, y.device)
        return x.unflatten(1, (3, self.resolution, self.resolution))


@lru_cache(maxsize=2)  # they are large, and not part of the operator, which travels
def _gaussian(m: int, n: int, seed: int, device: torch.device) -> Tensor:
    return randn([m, n], stream(seed)).div_(math.sqrt(m)).to(device)


@dataclass(frozen=True)
class Masked(Operator):
    """Some of the numbers of an image, or of what it is turned into: those where a mask is true, in all three colours."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, int(_mask(self).sum()))

    @property
    @abstractmethod
    def mask(self) -> Tensor:
        """True where something is measured, ``[R, R]``."""

    def A(self, x: Tensor) -> Tensor:
        return x[:, :, _mask(self).to(x.device)]

    def A_T(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), 3, self.resolution, self.resolution)
        x[:, :, _mask(self).to(y.device)] = y
        return x


@lru_cache(maxsize=32)  # a search applies an operator hundreds of times
def _mask(operator: Masked) -> Tensor:
    return operator.mask


@dataclass(frozen=True)
class Inpaint(Masked):
    """The pixels that a mask leaves. ``kind`` says which it covers: a central ``"box"`` of 3/8 of the side, the right ``"half"``, or at ``"random"``
    all but a share ``kept`` of them."""

    kind: str = "half"
    kept: float = 0.1
    seed: int = 0

    @property
    def name(self) -> str:
        return f"inpaint:random:{self.kept:g}" if self.kind == "random" else f"inpaint:{self.kind}"

    @property
    def mask(self) -> Tensor:
        """True where a pixel is seen, ``[R, R]``."""
        r = self.resolution
        if self.kind == "random":
            order = rand([r * r], stream(self.seed)).argsort()
            return (order < max(1, round(self.kept * r * r))).reshape(r, r)
        mask = torch.ones(r, r, dtype=torch.bool, device="cpu")
        if self.kind == "half":
            mask[:, r // 2 :] = False
        else:
            a = r * 5 // 16
            mask[a : r - a, a : r - a] = False
        return mask


@dataclass(frozen=True)
class Downsample(Operator):
    """Means over blocks of ``factor`` x ``factor`` pixels: super-resolution."""

    factor: int = 4

    @property
    def name(self) -> str:
        return f"superres:{self.factor}"

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.resolution // self.factor, self.resolution // self.factor)

    @property
    def gain(self) -> float:
        return 1 / self.factor**2

    def A(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.factor)

    def A_T(self, y: Tensor) -> Tensor:
        f = self.factor
        return y.repeat_interleave(f, dim=2).repeat_interleave(f, dim=3) / f**2


@dataclass(frozen=True)
class Blur(Operator):
    """A Gaussian blur of standard deviation ``sigma`` pixels, cut off at three of them, where a pixel's whole neighbourhood is in the picture."""

    sigma: float = 2.0

    @property
    def name(self) -> str:
        return f"blur:{self.sigma:g}"

    @property
    def shape(self) -> tuple[int, ...]:
        side = self.resolution - 2 * self.radius
        return (3, side, side)

    @property
    def radius(self) -> int:
        return math.ceil(3 * self.sigma)

    def _kernel(self, like: Tensor) -> Tensor:
        """``[3, 1, k, k]``, one for each colour, with sum 1."""
        t = torch.arange(-self.radius, self.radius + 1, dtype=like.dtype, device=like.device)
        row = torch.exp(-t.square() / (2 * self.sigma**2))
        row = row / row.sum()
        return torch.outer(row, row).repeat(3, 1, 1, 1)

    def A(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._kernel(x), groups=3)

    def A_T(self, y: Tensor) -> Tensor:
        return F.conv_transpose2d(y, self._kernel(y), groups=3)

    def picture(self, y: Tensor) -> Tensor:
        return F.pad(y, [self.radius] * 4)


@dataclass(frozen=True)
class Grey(Operator):
    """The grey picture: colourisation."""

    @property
    def name(self) -> str:
        return "grey"

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.resolution, self.resolution)

    @property
    def gain(self) -> float:
        return sum(share**2 for share in GREY)

    def _shares(self, like: Tensor) -> Tensor:
        return torch.tensor(GREY, dtype=like.dtype, device=like.device)[:, None, None]

    def A(self, x: Tensor) -> Tensor:
        return (x * self._shares(x)).sum(dim=1, keepdim=True)

    def A_T(self, y: Tensor) -> Tensor:
        return y * self._shares(y)

    def picture(self, y: Tensor) -> Tensor:
        return y.expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Fourier(Masked):
    r"""A share ``kept`` of the Fourier coefficients, the lowest third of them all, the others at random (as scanners of the body take them).

    In Hartley's form, which is real and has no phase: :math:`H = \operatorname{Re} F - \operatorname{Im} F`. It is orthonormal and its own inverse,
    and a frequency is kept together with its negative, so that both say together what the complex coefficient says.
    """

    kept: float = 0.2
    seed: int = 0

    @property
    def name(self) -> str:
        return f"fourier:{self.kept:g}"

    @property
    def mask(self) -> Tensor:
        """True where a frequency is measured, ``[R, R]``, laid out as by ``torch.fft``."""
        r = self.resolution
        kept = max(1, round(self.kept * r * r))
        f = torch.fft.fftfreq(r, 1 / r, dtype=torch.float32, device="cpu")
        radius = (f[:, None].square() + f.square()).sqrt()
        chance = rand([r, r], stream(self.seed))
        chance = torch.minimum(chance, chance.flip(0, 1).roll((1, 1), (0, 1)))  # a frequency and its negative
        low = radius <= radius.flatten().kthvalue(max(1, kept // 3)).values
        order = torch.where(low, chance - 2, chance)
        return order <= order.flatten().kthvalue(kept).values

    def A(self, x: Tensor) -> Tensor:
        return super().A(hartley(x))

    def A_T(self, y: Tensor) -> Tensor:
        return hartley(super().A_T(y))


def hartley(x: Tensor) -> Tensor:
    """The orthonormal Hartley transform over the last two axes, which is its own inverse and its own adjoint."""
    spectrum = torch.fft.fft2(x, norm="ortho")
    return spectrum.real - spectrum.imag


def stream(seed: int) -> torch.Generator:
    """Random numbers that are those of no image, code or noise map of the same seed."""
    return torch.Generator().manual_seed(STREAM + seed)


# -- by name -------------------------------------------------------------------------------------------------------------


PROBLEMS = {
    "gaussian:M": "compressed sensing: M random projections",
    "inpaint:half": "the right half is covered",
    "inpaint:box": "a box in the middle is covered",
    "inpaint:random:SHARE": "a share of the pixels is left, 0.1 of them where none is named",
    "superres:FACTOR": "a picture of a half, quarter or eighth of the side (2, 4, 8)",
    "blur:SIGMA": "a Gaussian blur of so many pixels",
    "grey": "no colours",
    "fourier:SHARE": "a share of the Fourier coefficients, 0.2 of them where none is named",
}


def operator(problem: str, resolution: int, seed: int = 0) -> Operator:
    """The operator of a name such as ``"gaussian:500"`` or ``"inpaint:half"``; :data:`PROBLEMS` lists them.

    Args:
        resolution: of the images.
        seed: of what is random in it.

    Raises:
        GanInvError: there is no such problem, or its number does not fit the resolution.
    """
    kind, _, rest = problem.partition(":")
    try:
        return _makers[kind](resolution, seed, rest)
    except (KeyError, ValueError):
        raise GanInvError(
            f"there is no problem {problem!r} for images of {resolution} x {resolution}: choose from {', '.join(PROBLEMS)}."
        ) from None


def _number(text: str, default: float | None, least: float, most: float) -> float:
    if not text and default is not None:
        return default
    if not least <= (value := float(text)) <= most:
        raise ValueError
    return value


def _inpaint(r: int, seed: int, rest: str) -> Operator:
    kind, _, share = rest.partition(":")
    if kind not in ("half", "box", "random") or (share and kind != "random"):
        raise ValueError
    return Inpaint(r, kind, _number(share, 0.1, 1 / r**2, 1), seed) if kind == "random" else Inpaint(r, kind)


def _downsample(r: int, seed: int, rest: str) -> Operator:
    factor = int(rest or 4)
    if factor not in (2, 4, 8):
        raise ValueError
    return Downsample(r, factor)


def _gaussian_of(r: int, seed: int, rest: str) -> Operator:
    return Gaussian(r, int(_number(str(int(rest)), None, 1, 3 * r * r)), seed)


def _grey(r: int, seed: int, rest: str) -> Operator:
    if rest:
        raise ValueError
    return Grey(r)


_makers: dict[str, Callable[[int, int, str], Operator]] = {
    "gaussian": _gaussian_of,
    "inpaint": _inpaint,
    "superres": _downsample,
    "blur": lambda r, seed, rest: Blur(r, _number(rest, 2.0, 0.1, (r - 1) / 6.5)),
    "grey": _grey,
    "fourier": lambda r, seed, rest: Fourier(r, _number(rest, 0.2, 1 / r**2, 1), seed),
}
