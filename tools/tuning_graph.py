r"""One step of tuning as a graph without autograd: the loss of near-perfect inversion, and its gradient in every weight and in the code.

A page cannot differentiate: onnxruntime-web only runs networks forward. So the backward pass is written out as a network of its own. PyTorch
traces the forward and the backward pass together (``make_fx``), with every gradient in the operators of forward passes. PyTorch has such a form for
all that the generator is made of but convolutions, whose gradients are, with :math:`y = W * x`,

.. math::

    \frac{\partial L}{\partial x} = W^\top * \frac{\partial L}{\partial y}, \qquad
    \frac{\partial L}{\partial W_k} = \frac{\partial L}{\partial y} \, x_k^\top

where :math:`x_k` is the input shifted to the k-th place of the kernel, ``[C, H W]``: a convolution and one matrix product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from ganinv.inversion.clone import trainable_copy
from ganinv.inversion.near_perfect import Comparison, NearPerfect
from ganinv.stylegan2 import Generator

aten = torch.ops.aten


def tuned_names(G: Generator) -> list[str]:
    """The parameters that tuning moves, in the order of the graph's inputs."""
    clone, parameters = trainable_copy(G)
    moved = {id(p) for p in parameters}
    return [name for name, p in clone.named_parameters() if id(p) in moved]


def noise_names(G: Generator) -> list[str]:
    """The noise maps, as they are called in the generator."""
    return [f"synthesis.{name}.noise_const" for name in G.synthesis.conv_names]


def style_sizes(G: Generator) -> dict[str, int]:
    """How long the style vector of every layer is."""
    return {name: G.synthesis.layer(name).weight.shape[1] for name in G.synthesis.layer_ws}


class Shifted(nn.Module):
    """The synthesis network whose style vectors are moved by ``shift`` ``[1, S]``, all layers one after the other: what an edit in S does."""

    def __init__(self, G: Generator):
        super().__init__()
        self.synthesis = G.synthesis
        self.sizes = list(style_sizes(G).values())

    def forward(self, ws: Tensor, shift: Tensor) -> Tensor:
        parts = shift.split(self.sizes, dim=1)
        styles = self.synthesis.styles(ws)
        return self.synthesis(
            None, styles={name: styles[name] + part for name, part in zip(styles, parts, strict=True)}
        )


def drawing(G: Generator) -> tuple[nn.Module, list[Tensor], list[str], list[str]]:
    """:class:`Shifted` with its tuned parameters and its noise maps as inputs, after ``ws`` and ``shift``; the rest as of :func:`tuning_step`."""
    names = [*tuned_names(G), *noise_names(G)]
    shifted = Shifted(G)

    def draw(ws: Tensor, shift: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(shifted, dict(zip(names, values, strict=True)), (ws, shift))

    ws, *values = _examples(G, names)
    examples = [ws, torch.zeros(1, sum(shifted.sizes)), *values]
    with torch.no_grad():
        return make_fx(draw)(*examples), examples, ["ws", "shift", *names], ["image"]


def _examples(G: Generator, names: list[str]) -> list[Tensor]:
    """The mean code and the parameters, each a tensor of its own: the tracer tells inputs apart by their identity."""
    parameters = {**dict(G.named_parameters()), **dict(G.named_buffers())}
    ws = G.mapping.w_avg.repeat(1, G.num_ws, 1)
    return [ws, *(parameters[name].detach().clone(memory_format=torch.contiguous_format) for name in names)]


def tuning_step(G: Generator, config: NearPerfect) -> tuple[nn.Module, list[Tensor], list[str], list[str]]:
    """The graph, example inputs, and the names of its inputs and outputs.

    Inputs are the tuned parameters, the code ``ws`` ``[1, num_ws, w_dim]``, the ``target`` ``[1, 3, R, R]`` that the image is compared with, and
    the weights ``lambda_recon`` and ``lambda_l2`` of the two terms, each ``[1]``. Outputs are ``image``, the ``mse``, the pyramid's loss ``recon``
    (both ``[1]``), and ``grad:`` of every tuned parameter and of ``ws``.
    """
    names = tuned_names(G)
    synthesis = [name.removeprefix("synthesis.") for name in names]

    def step(
        ws: Tensor, target: Tensor, lambda_recon: Tensor, lambda_l2: Tensor, *values: Tensor
    ) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            moved = [value.detach().requires_grad_() for value in (ws, *values)]
            state = dict(zip(synthesis, moved[1:], strict=True))
            image = torch.func.functional_call(G.synthesis, state, (moved[0],))
            recon = Comparison(target, config).photos(image, {})["recon"]
            mse = (image - target).square().mean(dim=(1, 2, 3))
            loss = (lambda_recon * recon + lambda_l2 * mse).sum()
            gradients = torch.autograd.grad(loss, moved)
        return (image.detach(), mse.detach(), recon.detach(), *gradients)

    size = G.img_resolution
    ws, *values = _examples(G, names)
    examples = [ws, torch.zeros(1, 3, size, size), torch.ones(1), torch.ones(1), *values]
    graph = make_fx(step, decomposition_table=_decompositions())(*examples)
    outputs = ["image", "mse", "recon", "grad:ws", *(f"grad:{name}" for name in names)]
    return graph, examples, ["ws", "target", "lambda_recon", "lambda_l2", *names], outputs


def _decompositions() -> dict:
    table = get_decompositions([aten.leaky_relu_backward, aten.addcmul])
    return dict(table) | {aten.convolution_backward.default: convolution_backward}


def convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes,
    stride,
    padding,
    dilation,
    transposed,
    output_padding,
    groups,
    mask,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """``aten.convolution_backward`` for a batch of one, by convolutions and a matrix product; its signature is PyTorch's."""
    assert len(x) == 1
    assert not any(output_padding)
    assert set(dilation) == {1}
    grad_x = grad_weight = None
    if mask[0]:
        grad_x = _grad_input(gradient, x, weight, stride, padding, transposed, groups)
    if mask[1]:
        assert groups == 1
        rows, columns = (x, gradient) if transposed else (gradient, x)  # a transposed convolution swaps the two
        height, width = rows.shape[2:]
        columns = F.pad(columns, [padding[1], padding[1], padding[0], padding[0]]) if any(padding) else columns
        kernel = [(k, m) for k in range(weight.shape[2]) for m in range(weight.shape[3])]
        shifted = [
            columns[
                0, :, k : k + stride[0] * (height - 1) + 1 : stride[0], m : m + stride[1] * (width - 1) + 1 : stride[1]
            ]
            for k, m in kernel
        ]
        shifted = torch.stack([part.reshape(part.shape[0], -1) for part in shifted])  # [k, C, H W]
        product = rows[0].flatten(1) @ shifted.flatten(0, 1).t()
        grad_weight = product.reshape(-1, len(kernel), columns.shape[1]).transpose(1, 2).reshape(weight.shape)
    return grad_x, grad_weight, gradient.sum(dim=(0, 2, 3)) if mask[2] else None


def _grad_input(gradient: Tensor, x: Tensor, weight: Tensor, stride, padding, transposed, groups: int) -> Tensor:
    if transposed:
        return F.conv2d(gradient, weight, stride=stride, padding=padding, groups=groups)
    if any(s != 1 for s in stride):
        return F.conv_transpose2d(gradient, weight, stride=stride, padding=padding, groups=groups)
    turned = weight.flip(2, 3)
    turned = turned if groups > 1 else turned.transpose(0, 1)  # a group has one channel in and one out
    sides = [size - 1 - pad for size, pad in zip(weight.shape[2:], padding, strict=True)]
    return F.conv2d(gradient, turned, padding=sides, groups=groups)
