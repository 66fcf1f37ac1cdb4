"""A generator for which everything can be worked out, and configurations that take milliseconds."""

import torch
from torch import nn

from ganinv.inverse import CSGM, PGDGAN, DeepImagePrior, Lasso, TotalVariation, Tuning


class LinearMapping(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.register_buffer("w_avg", torch.zeros(dim))

    def forward(self, z):
        return z[:, None]


class LinearSynthesis(nn.Module):
    precision = "fp32"

    def __init__(self, basis, resolution):
        super().__init__()
        self.register_buffer("basis", basis)
        self.resolution = resolution

    def forward(self, ws, noise=None):
        return (ws[:, 0] @ self.basis.T).unflatten(1, (3, self.resolution, self.resolution))


class LinearGenerator(nn.Module):
    """``G(z) = U z`` with orthonormal columns U ``[n, k]``: what the theorems can be worked out for in closed form."""

    def __init__(self, dim=6, resolution=8):
        super().__init__()
        random = torch.Generator().manual_seed(5)
        basis = torch.linalg.qr(torch.randn(3 * resolution**2, dim, generator=random)).Q
        self.z_dim = self.w_dim = dim
        self.num_ws, self.img_resolution, self.config = 1, resolution, {"conv_clamp": None}
        self.mapping, self.synthesis = LinearMapping(dim), LinearSynthesis(basis, resolution)
        self.device = torch.device("cpu")


QUICK = {
    "csgm": CSGM(steps=4, restarts=2),
    "csgm-w": CSGM(space="w", steps=4, restarts=2),
    "csgm-wplus": CSGM(space="w_plus", steps=4, restarts=1),
    "pgd-gan": PGDGAN(iterations=2, steps=3, restarts=2),
    "pgd-gan-w": PGDGAN(space="w", iterations=2, steps=3),
    "pgd-gan-wplus": PGDGAN(space="w_plus", iterations=2, steps=3),
    "near-perfect": Tuning(steps=4, global_interval=2, initial=CSGM(space="w_plus", steps=3, restarts=1)),
    "deep-image-prior": DeepImagePrior(steps=3, channels=4, levels=2),
    "lasso-dct": Lasso(steps=5),
    "lasso-wavelet": Lasso(basis="wavelet", steps=5),
    "tv": TotalVariation(steps=3),
}
