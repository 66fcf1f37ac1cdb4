"""Why ``ganinv.stylegan2.ops`` is written as it is: the forms of its two costly operations, side by side on this machine.

    python benchmarks/stylegan2.py [--threads 2] [--rounds 8] [--clock cpu] [--networks 256x16384x1 ...]

Every form is first checked to compute the same. Each round then times all of them in turn, so that whatever else the machine does hits all
alike; the best of the rounds counts. Times are forward and backward, batch 4 unless something else is said. On a busy machine take the process's
own time (``--clock cpu``) and one thread.

``--networks`` compares whole synthesis networks, ``resolution x channel_base x batch``, with the order of operations of NVIDIA's reference code on a
CPU, and nothing else.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.stylegan2 import Generator, generator
from ganinv.stylegan2.generator import FullyConnectedLayer, SynthesisLayer, SynthesisNetwork
from ganinv.stylegan2.ops import binomial_filter, blur, conv2d_up, modulated_conv2d

BATCH = 4
# channels and pixels: three layers of a small generator, one of a large one
LAYERS = [
    (128, 16),
    (64, 32),
    (32, 64),
    (128, 64),
]
NETWORKS = ["64x1024x1", "64x1024x8", "256x16384x1", "1024x32768x1"]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Form = Callable[..., Tensor]


# -- the modulated convolution: (x, weight, styles) -> y -------------------------------------------------------------------


def fused(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    f: Tensor | None = None,
    demodulate: bool = True,
    up: int = 1,
    noise: Tensor | None = None,
    gain: float = 1.0,
    bias: Tensor | None = None,
) -> Tensor:
    """Modulate the weights themselves, and convolve each image with its own (one grouped convolution)."""
    n = len(x)
    w = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        w = w * (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 2:
        assert f is not None
        x = F.conv_transpose2d(x, w.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
        x = blur(x.reshape(n, -1, *x.shape[2:]), f, padding=(1, 1, 1, 1), gain=4.0)
    else:
        x = F.conv2d(x, w.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
        x = x.reshape(n, -1, *x.shape[2:])
    x = x if noise is None else x + noise
    return (x if bias is None else x + bias[:, None, None]) * gain


# -- toRGB: (x, weight, styles) -> y ---------------------------------------------------------------------------------------


def to_rgb(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
    """Ours: the styles scale the weights, and each image is a product of matrices."""
    return modulated_conv2d(x, weight, styles, demodulate=False)


def scaled_maps(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
    """The styles scale the maps, then a convolution with shared weights."""
    return F.conv2d(x * styles[:, :, None, None], weight)


def grouped(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
    """A grouped convolution."""
    return fused(x, weight, styles, demodulate=False)


# -- the convolution that doubles the size: (x, weight) -> y ---------------------------------------------------------------


def transposed_then_blur(x: Tensor, weight: Tensor) -> Tensor:
    """Ours: a stride-2 transposed convolution, then the low-pass filter."""
    return conv2d_up(x, weight, binomial_filter())


def upsample_then_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Zeros between the pixels and the low-pass filter first, then a convolution at full size."""
    kernel = (binomial_filter() * 4).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.conv_transpose2d(x, kernel, stride=2, groups=x.shape[1]), weight.flip(2, 3))


def polyphase(x: Tensor, weight: Tensor) -> Tensor:
    """Filter and weights as one 6x6 kernel, split into the four 3x3 kernels that make even and odd rows and columns."""
    out, channels = weight.shape[:2]
    # what each of the nine weights becomes
    shifted = F.conv_transpose2d(torch.eye(9).reshape(9, 1, 3, 3), binomial_filter()[None, None] * 4)
    both = (weight.flatten(2) @ shifted.flatten(1)).reshape(out, channels, 6, 6)
    phases = torch.stack([both[:, :, i::2, j::2].flip(2, 3) for i in (0, 1) for j in (0, 1)], dim=1)  # [O, 4, I, 3, 3]
    return F.pixel_shuffle(F.conv2d(x, phases.flatten(0, 1), padding=1), 2)


MODULATION: dict[str, Form] = {"ours": modulated_conv2d, "fused": fused}
TO_RGB: dict[str, Form] = {
    "product of matrices (ours)": to_rgb,
    "maps scaled, then 1x1 convolution": scaled_maps,
    "grouped 1x1 convolution": grouped,
}
UPSAMPLING: dict[str, Form] = {
    "transposed convolution, then blur (ours)": transposed_then_blur,
    "polyphase": polyphase,
    "upsample, then convolution": upsample_then_conv,
}


# -- a whole generator: weights -> images ----------------------------------------------------------------------------------


def whole_generator(batch: int) -> tuple[dict[str, Form], list[Tensor]]:
    """The synthesis network of faces64's size with either convolution, as a function of its weights: what tuning it to a photo costs."""
    G = Generator(z_dim=128, w_dim=128, img_resolution=64, num_layers=4, channel_base=1024, channel_max=128)
    ws = G.mapping(torch.randn(batch, 128)).detach()

    def with_form(form: Form) -> Form:
        def draw(*weights: Tensor) -> Tensor:
            with patch.object(generator, "modulated_conv2d", form):
                return G.synthesis(ws)

        return draw

    weights = [p for name, p in G.synthesis.named_parameters() if "noise_strength" not in name]
    return {name: with_form(form) for name, form in MODULATION.items()}, weights


# -- NVIDIA's order of operations: stylegan2-ada-pytorch without its compiled kernels --------------------------------------


def filtered(x: Tensor, f: Tensor, up: int = 1, padding: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Tensor:
    """Zeros between the pixels, padding, then a convolution with the filter."""
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up - 1, 0, 0, 0, up - 1]).reshape(n, c, h * up, w * up)
    return F.conv2d(F.pad(x, padding), (f * 4).flip([0, 1])[None, None].repeat(c, 1, 1, 1), groups=c)


def affine(layer: FullyConnectedLayer, w: Tensor) -> Tensor:
    return torch.addmm((layer.bias * layer.bias_gain)[None], w, (layer.weight * layer.weight_gain).t())


def modulated(
    x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor | None, up: int, f: Tensor | None, demodulate: bool
) -> Tensor:
    """Weights of its own for every image, one grouped convolution, and the noise."""
    n, (out, channels, k, _) = len(x), weight.shape
    w = weight[None] * styles.reshape(n, 1, -1, 1, 1)
    if demodulate:
        w = w * (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt().reshape(n, -1, 1, 1, 1)
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 1:
        x = F.conv2d(x, w.reshape(-1, channels, k, k), padding=k // 2, groups=n)
    else:
        assert f is not None
        w = w.transpose(1, 2).reshape(n * channels, out, k, k)
        x = filtered(F.conv_transpose2d(x, w, stride=2, groups=n), f, padding=(1, 1, 1, 1))
    x = x.reshape(n, -1, *x.shape[2:])
    return x if noise is None else x.add_(noise)


def synthesis_layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    noise = layer.noise_const * layer.noise_strength
    x = modulated(x, layer.weight, affine(layer.affine, w), noise, layer.up, layer.resample_filter, True)
    return F.leaky_relu(x + layer.bias.reshape(1, -1, 1, 1), 0.2) * math.sqrt(2)


def reference(synthesis: SynthesisNetwork, ws: Tensor) -> Tensor:
    """The images that ``synthesis(ws)`` draws."""
    x = img = None
    index = 0
    for resolution in synthesis.block_resolutions:
        block = getattr(synthesis, f"b{resolution}")
        if x is None:
            x = block.const[None].repeat(len(ws), 1, 1, 1)
        else:
            x = synthesis_layer(block.conv0, x, ws[:, index])
            index += 1
        x = synthesis_layer(block.conv1, x, ws[:, index])
        index += 1
        styles = affine(block.torgb.affine, ws[:, index]) * block.torgb.weight_gain
        rgb = modulated(x, block.torgb.weight, styles, None, 1, None, False) + block.torgb.bias.reshape(1, -1, 1, 1)
        img = rgb if img is None else filtered(img, block.resample_filter, 2, (2, 1, 2, 1)) + rgb
    assert img is not None
    return img


def whole_network(name: str) -> tuple[dict[str, Form], list[Tensor]]:
    """The synthesis network ``resolution x channel_base x batch`` in either order, as a function of its code and its weights."""
    resolution, base, batch = map(int, name.split("x"))
    size = 128 if resolution <= 64 else 512  # as in faces64, and in NVIDIA's networks
    G = Generator(size, size, resolution, num_layers=2, channel_base=base, channel_max=size)
    ws = torch.randn(batch, G.num_ws, size).requires_grad_()
    weights = [p for name, p in G.synthesis.named_parameters() if "noise_strength" not in name]

    def ours(ws: Tensor, *weights: Tensor) -> Tensor:
        return G.synthesis(ws)

    def theirs(ws: Tensor, *weights: Tensor) -> Tensor:
        return reference(G.synthesis, ws)

    return {"ours": ours, "NVIDIA's order of operations": theirs}, [ws, *weights]


def run(form: Form, inputs: list[Tensor]) -> list[Tensor]:
    """Output and gradients."""
    y = form(*inputs)
    return [y, *torch.autograd.grad(y, inputs, torch.ones_like(y))]


def check(forms: Mapping[str, Form], inputs: list[Tensor]) -> None:
    """Raise unless all forms agree, gradients included."""
    first, *others = [run(form, inputs) for form in forms.values()]
    for other in others:
        for a, b in zip(first, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * a.abs().max().item())


def best_times(forms: Mapping[str, Form], inputs: list[Tensor], rounds: int, clock: str = "wall") -> dict[str, float]:
    """Seconds of each form, best of ``rounds``."""
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(rounds):
        for name, form in forms.items():
            start = CLOCKS[clock]()
            run(form, inputs)
            best[name] = min(best[name], CLOCKS[clock]() - start)
    return best


def compare(
    title: str, forms: Mapping[str, Form], inputs: list[Tensor], rounds: int, clock: str = "wall"
) -> dict[str, float]:
    """Check, time and print; returns the times relative to ours, the first form."""
    check(forms, inputs)
    times = best_times(forms, inputs, rounds, clock)
    ours = next(iter(times.values()))
    print(title)
    for name, seconds in times.items():
        print(f"  {name:42s} {1000 * seconds:8.1f} ms  {seconds / ours:5.2f} times ours")
    return {name: seconds / ours for name, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--networks", nargs="*", metavar="RxCxN", help=f"by default {' '.join(NETWORKS)}")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {arguments.threads} threads, "
        f"best of {arguments.rounds}, {arguments.clock} time\n"
    )
    timing = arguments.rounds, arguments.clock
    if arguments.networks is not None:
        for name in arguments.networks or NETWORKS:
            compare(f"synthesis network, {name}", *whole_network(name), *timing)
        return
    for batch in (1, BATCH):
        for channels, size in LAYERS:
            x, weight, styles = (
                torch.randn(batch, channels, size, size),
                torch.randn(channels, channels, 3, 3),
                torch.rand(batch, channels) + 0.5,
            )
            inputs = [t.requires_grad_() for t in (x, weight, styles)]
            title = f"modulated 3x3 convolution, {channels} channels, {size} x {size}, batch {batch}"
            compare(title, MODULATION, inputs, *timing)
            inputs = [x, torch.randn(3, channels, 1, 1).requires_grad_(), styles]
            compare(f"toRGB of {channels} channels, {size} x {size}, batch {batch}", TO_RGB, inputs, *timing)
    print()
    for batch in (1, BATCH):
        compare(f"synthesis network of faces64's size, batch {batch}", *whole_generator(batch), *timing)
    print()
    for channels, size in LAYERS:
        x, weight = torch.randn(BATCH, channels, size // 2, size // 2), torch.randn(channels, channels, 3, 3)
        inputs = [t.requires_grad_() for t in (x, weight)]
        title = f"3x3 convolution to twice the size, {channels} channels, {size // 2} -> {size}"
        compare(title, UPSAMPLING, inputs, *timing)


if __name__ == "__main__":
    main()
