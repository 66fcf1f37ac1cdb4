"""A double of NVIDIA's persistence and networks, written from what they do, to write and open pickles as their tools would.

The attribute names, the nesting and the pickled call are theirs; the arithmetic is ganinv's. Pickled modules carry source code that leaves a
trace when executed.
"""

import contextlib
import math
import os
import pickle
import sys
import types

import numpy as np
import torch
from torch import nn

from ganinv.stylegan2.discriminator import minibatch_std
from ganinv.stylegan2.ops import binomial_filter, conv2d_down, modulated_conv2d, normalize_2nd_moment, upsample2d

TRACE = "GANINV_TEST_TRACE"  # environment variable naming the file that executed source would create


class EasyDict(dict):
    __module__ = "dnnlib.util"

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def reconstruct(meta):
    """What unpickling calls: execute the source, make an object of the class it defines, set its state."""
    assert meta["version"] == 6
    assert meta["type"] == "class"
    module = types.ModuleType("imported")
    exec(meta["module_src"], module.__dict__)
    cls = module.__dict__[meta["class_name"]]
    obj = cls.__new__(cls)
    obj.__setstate__(EasyDict(meta["state"]))
    return obj


reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
SOURCE = f"import os\nopen(os.environ[{TRACE!r}], 'w').close()\nclass Generator: pass\n"


class Persistent(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self._init_args, self._init_kwargs = args, kwargs

    def __reduce__(self):
        return reconstruct, (
            dict(type="class", version=6, module_src=SOURCE, class_name=type(self).__name__, state=self.__dict__),
        )


class FullyConnectedLayer(Persistent):
    def __init__(self, in_features, out_features, activation="linear", lr_multiplier=1, bias_init=0):
        super().__init__(in_features, out_features)
        self.activation = activation
        self.weight = nn.Parameter(torch.randn([out_features, in_features]) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.weight_gain = lr_multiplier / np.sqrt(in_features)  # a numpy scalar, as in their files
        self.bias_gain = lr_multiplier

    def forward(self, x):
        x = x @ (self.weight * float(self.weight_gain)).t() + self.bias * self.bias_gain
        return activate(x, self.activation)


def activate(x, activation, gain=None, clamp=None):
    if activation == "lrelu":
        x = nn.functional.leaky_relu(x, 0.2)
    x = x * float(gain if gain is not None else math.sqrt(2) if activation == "lrelu" else 1)
    return x if clamp is None else x.clamp(-clamp, clamp)


class MappingNetwork(Persistent):
    def __init__(self, z_dim, c_dim, w_dim, num_ws, num_layers=8, lr_multiplier=0.01):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.num_layers, self.w_avg_beta = (
            z_dim,
            c_dim,
            w_dim,
            num_ws,
            num_layers,
            0.995,
        )
        if c_dim:
            self.embed = FullyConnectedLayer(c_dim, w_dim)
        for i in range(num_layers):
            inputs = z_dim + (w_dim if c_dim else 0) if i == 0 else w_dim
            setattr(self, f"fc{i}", FullyConnectedLayer(inputs, w_dim, activation="lrelu", lr_multiplier=lr_multiplier))
        self.register_buffer("w_avg", torch.zeros([w_dim]))

    def forward(self, z):
        assert z.shape[1] == self.z_dim
        x = normalize_2nd_moment(z)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x.unsqueeze(1).repeat(1, self.num_ws, 1)


class SynthesisLayer(Persistent):
    def __init__(self, in_channels, out_channels, w_dim, resolution, up=1, conv_clamp=None):
        super().__init__(in_channels, out_channels, w_dim=w_dim, resolution=resolution, up=up, conv_clamp=conv_clamp)
        self.resolution, self.up, self.use_noise, self.activation, self.conv_clamp = (
            resolution,
            up,
            True,
            "lrelu",
            conv_clamp,
        )
        self.register_buffer("resample_filter", binomial_filter())
        self.padding, self.act_gain = 1, np.sqrt(2)
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn([out_channels, in_channels, 3, 3]))
        self.register_buffer("noise_const", torch.randn([resolution, resolution]))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros([out_channels]))

    def forward(self, x, w):
        assert self.use_noise
        assert self.padding == 1
        assert x.shape[2] == self.resolution // self.up
        x = modulated_conv2d(x, self.weight, self.affine(w), f=self.resample_filter, up=self.up)
        x = x + self.noise_const * self.noise_strength + self.bias[:, None, None]
        return activate(x, self.activation, self.act_gain, self.conv_clamp)


class ToRGBLayer(Persistent):
    def __init__(self, in_channels, out_channels, w_dim, conv_clamp=None):
        super().__init__(in_channels, out_channels, w_dim=w_dim, conv_clamp=conv_clamp)
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn([out_channels, in_channels, 1, 1]))
        self.bias = nn.Parameter(torch.zeros([out_channels]))
        self.weight_gain = 1 / np.sqrt(in_channels)

    def forward(self, x, w):
        x = modulated_conv2d(x, self.weight, self.affine(w) * float(self.weight_gain), demodulate=False)
        return activate(x + self.bias[:, None, None], "linear", clamp=self.conv_clamp)


class SynthesisBlock(Persistent):
    def __init__(
        self, in_channels, out_channels, w_dim, resolution, img_channels, is_last, architecture="skip", conv_clamp=None
    ):
        super().__init__(in_channels, out_channels, w_dim=w_dim, resolution=resolution)
        self.in_channels, self.w_dim, self.resolution, self.img_channels, self.is_last = (
            in_channels,
            w_dim,
            resolution,
            img_channels,
            is_last,
        )
        self.architecture, self.use_fp16, self.channels_last = architecture, False, False
        self.register_buffer("resample_filter", binomial_filter())
        self.num_conv = self.num_torgb = 0
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn([out_channels, resolution, resolution]))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, up=2, conv_clamp=conv_clamp)
            self.num_conv += 1
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, conv_clamp=conv_clamp)
        self.num_conv += 1
        if is_last or architecture == "skip":
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp=conv_clamp)
            self.num_torgb += 1

    def forward(self, x, img, ws):
        assert ws.shape[1:] == (self.num_conv + self.num_torgb, self.w_dim)
        assert not self.use_fp16
        assert not self.channels_last
        w = iter(ws.unbind(dim=1))
        if self.in_channels == 0:
            x = self.const.unsqueeze(0).repeat(ws.shape[0], 1, 1, 1)
        else:
            assert x.shape[1:] == (self.in_channels, self.resolution // 2, self.resolution // 2)
            x = self.conv0(x, next(w))
        x = self.conv1(x, next(w))
        if img is not None:
            assert img.shape[1] == self.img_channels
            img = upsample2d(img, self.resample_filter)
        if self.is_last or self.architecture == "skip":
            rgb = self.torgb(x, next(w))
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(Persistent):
    def __init__(
        self, w_dim, img_resolution, img_channels, channel_base=32768, channel_max=512, num_fp16_res=0, **block_kwargs
    ):
        super().__init__()
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.img_resolution_log2 = int(np.log2(img_resolution))
        self.block_resolutions = [2**i for i in range(2, self.img_resolution_log2 + 1)]
        self.num_ws, before = 0, 0
        for res in self.block_resolutions:
            channels, is_last = min(channel_base // res, channel_max), res == img_resolution
            block = SynthesisBlock(before, channels, w_dim, res, img_channels, is_last, **block_kwargs)
            self.num_ws += block.num_conv + (block.num_torgb if is_last else 0)
            setattr(self, f"b{res}", block)
            before = channels

    def forward(self, ws):
        x, img, index = None, None, 0
        assert ws.shape[1:] == (self.num_ws, self.w_dim)
        for res in self.block_resolutions:
            block = getattr(self, f"b{res}")
            x, img = block(x, img, ws[:, index : index + block.num_conv + block.num_torgb])
            index += block.num_conv
        return img


class Generator(Persistent):
    def __init__(self, z_dim, c_dim, w_dim, img_resolution, img_channels, mapping_kwargs, synthesis_kwargs):
        super().__init__(
            z_dim=z_dim,
            c_dim=c_dim,
            w_dim=w_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            mapping_kwargs=EasyDict(mapping_kwargs),
            synthesis_kwargs=EasyDict(synthesis_kwargs),
        )
        self.z_dim, self.c_dim, self.w_dim, self.img_resolution, self.img_channels = (
            z_dim,
            c_dim,
            w_dim,
            img_resolution,
            img_channels,
        )
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **synthesis_kwargs)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **mapping_kwargs)

    def forward(self, z, c=None):
        assert self.c_dim == 0
        return self.synthesis(self.mapping(z))


class Conv2dLayer(Persistent):
    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        bias=True,
        activation="linear",
        down=1,
        conv_clamp=None,
        trainable=True,
    ):
        super().__init__(in_channels, out_channels, kernel_size)
        self.activation, self.up, self.down, self.conv_clamp, self.padding = (
            activation,
            1,
            down,
            conv_clamp,
            kernel_size // 2,
        )
        self.register_buffer("resample_filter", binomial_filter())
        self.weight_gain = 1 / np.sqrt(in_channels * kernel_size**2)
        self.act_gain = np.sqrt(2) if activation == "lrelu" else 1
        weight = torch.randn([out_channels, in_channels, kernel_size, kernel_size])
        if trainable:
            self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.zeros([out_channels])) if bias else None
        else:  # Freeze-D keeps weights as buffers
            self.register_buffer("weight", weight)
            self.register_buffer("bias", torch.zeros([out_channels]))

    def forward(self, x, gain=1):
        weight = self.weight * float(self.weight_gain)
        assert self.up == 1
        x = (
            conv2d_down(x, weight, self.resample_filter)
            if self.down == 2
            else nn.functional.conv2d(x, weight, padding=self.padding)
        )
        x = x if self.bias is None else x + self.bias[:, None, None]
        return activate(
            x, self.activation, float(self.act_gain) * gain, None if self.conv_clamp is None else self.conv_clamp * gain
        )


class DiscriminatorBlock(Persistent):
    def __init__(
        self,
        in_channels,
        tmp_channels,
        out_channels,
        resolution,
        img_channels,
        first_layer_idx,
        architecture,
        conv_clamp,
        freeze_layers=0,
    ):
        super().__init__(in_channels, tmp_channels, out_channels)
        self.in_channels, self.resolution, self.img_channels, self.first_layer_idx = (
            in_channels,
            resolution,
            img_channels,
            first_layer_idx,
        )
        self.architecture, self.use_fp16, self.channels_last, self.num_layers = (
            architecture,
            False,
            False,
            3 + (in_channels == 0),
        )
        self.register_buffer("resample_filter", binomial_filter())
        if in_channels == 0 or architecture == "skip":
            self.fromrgb = Conv2dLayer(
                img_channels, tmp_channels, 1, activation="lrelu", conv_clamp=conv_clamp, trainable=freeze_layers < 1
            )
        self.conv0 = Conv2dLayer(tmp_channels, tmp_channels, 3, activation="lrelu", conv_clamp=conv_clamp)
        self.conv1 = Conv2dLayer(tmp_channels, out_channels, 3, activation="lrelu", down=2, conv_clamp=conv_clamp)
        if architecture == "resnet":
            self.skip = Conv2dLayer(tmp_channels, out_channels, 1, bias=False, down=2)

    def forward(self, x, img):
        assert self.architecture == "resnet"
        assert not self.use_fp16
        assert not self.channels_last
        if self.in_channels == 0:
            assert img.shape[1:] == (self.img_channels, self.resolution, self.resolution)
            x, img = self.fromrgb(img), None
        half = math.sqrt(0.5)
        return self.skip(x, gain=half) + self.conv1(self.conv0(x), gain=half), img


class MinibatchStdLayer(Persistent):
    def __init__(self, group_size, num_channels=1):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x):
        assert self.num_channels == 1
        return minibatch_std(x, self.group_size)


class DiscriminatorEpilogue(Persistent):
    def __init__(
        self,
        in_channels,
        cmap_dim,
        resolution,
        img_channels,
        architecture="resnet",
        mbstd_group_size=4,
        conv_clamp=None,
    ):
        super().__init__(in_channels)
        self.in_channels, self.cmap_dim, self.resolution, self.img_channels, self.architecture = (
            in_channels,
            cmap_dim,
            resolution,
            img_channels,
            architecture,
        )
        self.mbstd = MinibatchStdLayer(mbstd_group_size)
        self.conv = Conv2dLayer(in_channels + 1, in_channels, 3, activation="lrelu", conv_clamp=conv_clamp)
        self.fc = FullyConnectedLayer(in_channels * resolution**2, in_channels, activation="lrelu")
        self.out = FullyConnectedLayer(in_channels, cmap_dim or 1)

    def forward(self, x):
        assert x.shape[1:] == (self.in_channels, self.resolution, self.resolution)
        assert (self.architecture, self.cmap_dim) == ("resnet", 0)
        return self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))


class Discriminator(Persistent):
    def __init__(
        self,
        c_dim,
        img_resolution,
        img_channels,
        architecture="resnet",
        channel_base=32768,
        channel_max=512,
        num_fp16_res=0,
        conv_clamp=None,
        block_kwargs=None,
        epilogue_kwargs=None,
    ):
        super().__init__(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            num_fp16_res=num_fp16_res,
            conv_clamp=conv_clamp,
            epilogue_kwargs=EasyDict(epilogue_kwargs or {}),
        )
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        self.img_resolution_log2 = int(np.log2(img_resolution))
        self.block_resolutions = [2**i for i in range(self.img_resolution_log2, 2, -1)]
        common, index = dict(architecture=architecture, conv_clamp=conv_clamp), 0
        for res in self.block_resolutions:
            channels, below = min(channel_base // res, channel_max), min(channel_base // (res // 2), channel_max)
            inputs = 0 if res == img_resolution else channels
            setattr(
                self,
                f"b{res}",
                DiscriminatorBlock(inputs, channels, below, res, img_channels, index, **common, **(block_kwargs or {})),
            )
            index += getattr(self, f"b{res}").num_layers
        self.b4 = DiscriminatorEpilogue(
            min(channel_base // 4, channel_max), c_dim, 4, img_channels, **common, **(epilogue_kwargs or {})
        )

    def forward(self, img, c=None):
        assert self.c_dim == 0
        x = None
        for res in self.block_resolutions:
            x, img = getattr(self, f"b{res}")(x, img)
        return self.b4(x)


CLASSES = [
    c for c in list(globals().values()) if isinstance(c, type) and issubclass(c, Persistent) and c is not Persistent
]


@contextlib.contextmanager
def checkout(networks_module="training.networks"):
    """``sys.modules`` as inside a checkout of NVIDIA's repository."""
    names = ("dnnlib", "dnnlib.util", "torch_utils", "torch_utils.persistence", "training", networks_module)
    modules = {name: types.ModuleType(name) for name in names}
    modules["dnnlib.util"].EasyDict = EasyDict
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct
    modules["training"].__path__ = []
    for cls in CLASSES:
        setattr(modules[networks_module], cls.__name__, cls)
    assert not modules.keys() & sys.modules.keys()
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def dump(data, path, protocol=4):
    """Pickle as their training loop does."""
    with checkout(), open(path, "wb") as file:
        pickle.dump(data, file, protocol=protocol)


def open_with_their_loader(path, networks_module="training.networks"):
    """Unpickle as their ``legacy.load_network_pkl`` does, executing what the file says."""
    with checkout(networks_module), open(path, "rb") as file:
        data = pickle.load(file)
    assert all(isinstance(data[key], nn.Module) for key in ("G", "D", "G_ema"))
    assert isinstance(data["training_set_kwargs"], dict | None)
    assert isinstance(data["augment_pipe"], nn.Module | None)
    return data


def traced():
    return os.path.exists(os.environ[TRACE])
