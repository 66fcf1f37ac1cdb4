"""Why ``ganinv.stylegan2.ops`` is written as it is: the forms of its two costly operations, side by side on this machine.

    python benchmarks/stylegan2.py [--threads 2] [--rounds 8]

Every form is first checked to compute the same. Each round then times all of them in turn, so that whatever else the machine does hits all
alike; the best of the rounds counts. Times are forward and backward, batch 4 unless something else is said.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.stylegan2 import Generator, generator
from ganinv.stylegan2.ops import binomial_filter, blur, conv2d_up, modulated_conv2d

BATCH = 4
# channels and pixels: three layers of a small generator, one of a large one
LAYERS = [
    (128, 16),
    (64, 32),
    (32, 64),
    (128, 64),
]
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
    return (x if noise is None else x + noise) * gain


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


MODULATION: dict[str, Form] = {"non-fused (ours)": modulated_conv2d, "fused": fused}
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


def best_times(forms: Mapping[str, Form], inputs: list[Tensor], rounds: int) -> dict[str, float]:
    """Seconds of each form, best of ``rounds``."""
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(rounds):
        for name, form in forms.items():
            start = time.perf_counter()
            run(form, inputs)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def compare(title: str, forms: Mapping[str, Form], inputs: list[Tensor], rounds: int) -> dict[str, float]:
    """Check, time and print; returns the times relative to ours, the first form."""
    check(forms, inputs)
    times = best_times(forms, inputs, rounds)
    ours = next(iter(times.values()))
    print(title)
    for name, seconds in times.items():
        print(f"  {name:42s} {1000 * seconds:8.1f} ms  {seconds / ours:5.2f} times ours")
    return {name: seconds / ours for name, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {arguments.threads} threads, best of {arguments.rounds}\n"
    )
    for channels, size in LAYERS:
        x, weight, styles = (
            torch.randn(BATCH, channels, size, size),
            torch.randn(channels, channels, 3, 3),
            torch.rand(BATCH, channels) + 0.5,
        )
        inputs = [t.requires_grad_() for t in (x, weight, styles)]
        compare(
            f"modulated 3x3 convolution, {channels} channels, {size} x {size}", MODULATION, inputs, arguments.rounds
        )
    print()
    for batch in (1, BATCH):
        compare(f"synthesis network of faces64's size, batch {batch}", *whole_generator(batch), arguments.rounds)
    print()
    for channels, size in LAYERS:
        x, weight = torch.randn(BATCH, channels, size // 2, size // 2), torch.randn(channels, channels, 3, 3)
        inputs = [t.requires_grad_() for t in (x, weight)]
        compare(
            f"3x3 convolution to twice the size, {channels} channels, {size // 2} -> {size}",
            UPSAMPLING,
            inputs,
            arguments.rounds,
        )


if __name__ == "__main__":
    main()
