"""A double of rosinality's networks: their parameter names, shapes and formulas, written independently of ganinv's network code."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def fir(kernel, x, up=1, down=1, pad=(0, 0)):
    """Zero insertion, padding, filter, subsampling: the general form of their upfirdn2d."""
    n, c, h, w = x.shape
    x = torch.stack([x, *[torch.zeros_like(x)] * (up - 1)], dim=3).reshape(n, c, h * up, w)
    x = torch.stack([x, *[torch.zeros_like(x)] * (up - 1)], dim=4).reshape(n, c, h * up, w * up)
    x = F.pad(x, (*pad, *pad))
    return F.conv2d(x, kernel.flip(0, 1).expand(c, 1, -1, -1), groups=c)[:, :, ::down, ::down]


class Filter(nn.Module):
    def __init__(self, gain, **how):
        super().__init__()
        self.how = how
        k = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("kernel", torch.outer(k, k) / 64 * gain)

    def forward(self, x):
        return fir(self.kernel, x, **self.how)


class Linear(nn.Module):
    def __init__(self, inputs, outputs, lr_mul=1.0, activation=False):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs) / lr_mul), nn.Parameter(torch.zeros(outputs))
        self.lr_mul, self.activation = lr_mul, activation

    def forward(self, x):
        x = F.linear(x, self.weight * (self.lr_mul / math.sqrt(self.weight.shape[1])), self.bias * self.lr_mul)
        return F.leaky_relu(x, 0.2) * math.sqrt(2) if self.activation else x


class Activate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return F.leaky_relu(x + self.bias[:, None, None], 0.2) * math.sqrt(2)


class ModulatedConv(nn.Module):
    def __init__(self, inputs, outputs, size, style_dim, demodulate=True, upsample=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, size, size))
        self.modulation = Linear(style_dim, inputs)
        self.demodulate = demodulate
        if upsample:
            self.blur = Filter(4, pad=(1, 1))

    def forward(self, x, style):
        inputs, size = self.weight.shape[2:4]
        weight = self.weight / math.sqrt(inputs * size**2) * self.modulation(style)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        samples = []
        for image, kernel in zip(x, weight, strict=True):
            if hasattr(self, "blur"):
                samples.append(self.blur(F.conv_transpose2d(image[None], kernel.transpose(0, 1), stride=2)))
            else:
                samples.append(F.conv2d(image[None], kernel, padding=size // 2))
        return torch.cat(samples)


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class StyledConv(nn.Module):
    def __init__(self, inputs, outputs, style_dim, upsample=False):
        super().__init__()
        self.conv, self.noise, self.activate = (
            ModulatedConv(inputs, outputs, 3, style_dim, upsample=upsample),
            Noise(),
            Activate(outputs),
        )

    def forward(self, x, style, noise):
        return self.activate(self.conv(x, style) + self.noise.weight * noise)


class ToRGB(nn.Module):
    def __init__(self, inputs, style_dim, upsample=True):
        super().__init__()
        if upsample:
            self.upsample = Filter(4, up=2, pad=(2, 1))
        self.conv, self.bias = (
            ModulatedConv(inputs, 3, 1, style_dim, demodulate=False),
            nn.Parameter(torch.zeros(1, 3, 1, 1)),
        )

    def forward(self, x, style, skip=None):
        out = self.conv(x, style) + self.bias
        return out if skip is None else out + self.upsample(skip)


class Constant(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class PixelNorm(nn.Module):
    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class Generator(nn.Module):
    """``channels`` maps every resolution to a width; theirs is a fixed table."""

    def __init__(self, size, style_dim, n_mlp, channels):
        super().__init__()
        self.style = nn.Sequential(
            PixelNorm(), *[Linear(style_dim, style_dim, lr_mul=0.01, activation=True) for _ in range(n_mlp)]
        )
        self.input = Constant(channels[4])
        self.conv1, self.to_rgb1 = (
            StyledConv(channels[4], channels[4], style_dim),
            ToRGB(channels[4], style_dim, upsample=False),
        )
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for res in (2**i for i in range(3, size.bit_length())):
            self.noises.register_buffer(f"noise_{len(self.convs) + 1}", torch.randn(1, 1, res, res))
            self.convs.append(StyledConv(channels[res // 2], channels[res], style_dim, upsample=True))
            self.noises.register_buffer(f"noise_{len(self.convs) + 1}", torch.randn(1, 1, res, res))
            self.convs.append(StyledConv(channels[res], channels[res], style_dim))
            self.to_rgbs.append(ToRGB(channels[res], style_dim))

    def forward(self, z, truncation=1.0, truncation_latent=None):
        w = self.style(z)
        if truncation < 1:
            w = truncation_latent + truncation * (w - truncation_latent)
        x = self.conv1(self.input.input.repeat(len(w), 1, 1, 1), w, self.noises.noise_0)
        img = self.to_rgb1(x, w)
        for i, rgb in enumerate(self.to_rgbs):
            for k in (2 * i, 2 * i + 1):
                x = self.convs[k](x, w, getattr(self.noises, f"noise_{k + 1}"))
            img = rgb(x, w, img)
        return img


class Conv(nn.Module):
    def __init__(self, inputs, outputs, size, stride=1):
        super().__init__()
        self.weight, self.stride = nn.Parameter(torch.randn(outputs, inputs, size, size)), stride

    def forward(self, x):
        size = self.weight.shape[-1]
        padding = 0 if self.stride == 2 else size // 2
        return F.conv2d(x, self.weight / math.sqrt(self.weight.shape[1] * size**2), stride=self.stride, padding=padding)


def conv_layer(inputs, outputs, size, down=False, activate=True):
    pad = (2, 2) if size == 3 else (1, 1)
    layers = [Filter(1, pad=pad)] if down else []
    return nn.Sequential(
        *layers, Conv(inputs, outputs, size, stride=2 if down else 1), *([Activate(outputs)] if activate else [])
    )


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1, self.conv2 = conv_layer(inputs, inputs, 3), conv_layer(inputs, outputs, 3, down=True)
        self.skip = conv_layer(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x):
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    def __init__(self, size, channels):
        super().__init__()
        resolutions = [2**i for i in range(size.bit_length() - 1, 2, -1)]
        self.convs = nn.Sequential(
            conv_layer(3, channels[size], 1), *[ResBlock(channels[r], channels[r // 2]) for r in resolutions]
        )
        self.final_conv = conv_layer(channels[4] + 1, channels[4], 3)
        self.final_linear = nn.Sequential(
            Linear(channels[4] * 16, channels[4], activation=True), Linear(channels[4], 1)
        )

    def forward(self, x):
        x = self.convs(x)
        n, c, h, w = x.shape
        group = min(n, 4)
        std = (
            (x.view(group, -1, 1, c, h, w).var(dim=0, unbiased=False) + 1e-8)
            .sqrt()
            .mean(dim=(2, 3, 4), keepdim=True)
            .squeeze(2)
        )
        x = self.final_conv(torch.cat([x, std.repeat(group, 1, h, w)], dim=1))
        return self.final_linear(x.flatten(1))


class PSP(nn.Module):
    """A model of the pSp family: an encoder, rosinality's generator as decoder, the mean of W as a plain attribute."""

    def __init__(self, decoder, latent_avg):
        super().__init__()
        self.encoder, self.decoder, self.latent_avg = nn.Linear(2, 2), decoder, latent_avg
