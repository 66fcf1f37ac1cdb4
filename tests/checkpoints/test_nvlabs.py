import pickle
import re
import warnings

import numpy as np
import nvidia_double as nvidia
import pytest
import torch

import ganinv
from ganinv import checkpoints
from ganinv.errors import GanInvError


def nvidia_networks(official, **kwargs):
    c = {**official.G_config, **official.D_config}
    synthesis = dict(
        channel_base=c["channel_base"], channel_max=c["channel_max"], conv_clamp=c["conv_clamp"], num_fp16_res=0
    )
    G = nvidia.Generator(c["z_dim"], 0, c["w_dim"], c["img_resolution"], 3, dict(num_layers=c["num_layers"]), synthesis)
    D = nvidia.Discriminator(
        0, c["img_resolution"], 3, **synthesis, epilogue_kwargs=dict(mbstd_group_size=c["mbstd_group_size"]), **kwargs
    )
    G.load_state_dict(official.G)
    D.load_state_dict(official.D)
    return G.requires_grad_(False).eval(), D.requires_grad_(False).eval()


def small_generator(c_dim=0, mapping=None, channels=3, **synthesis):
    return nvidia.Generator(
        4,
        c_dim,
        4,
        8,
        channels,
        {"num_layers": 1, **(mapping or {})},
        {"channel_base": 32, "channel_max": 4, **synthesis},
    )


def snapshot(**networks):
    training_set = dict(
        class_name="training.dataset.ImageFolderDataset",
        path="faces.zip",
        use_labels=False,
        max_size=70000,
        xflip=True,
        resolution=64,
    )
    return dict(augment_pipe=None, training_set_kwargs=training_set, **networks)


@pytest.mark.parametrize("protocol", [3, 4])  # their own files are of protocol 3, where sets are pickled as calls
def test_official_networks(tmp_path, official, protocol, matches, trace):
    G, D = nvidia_networks(official)
    nvidia.dump(snapshot(G=G, D=D, G_ema=G), tmp_path / "a.pkl", protocol)
    loaded = checkpoints.load(tmp_path / "a.pkl")
    matches(loaded, official)
    assert list(loaded.networks) == ["G_ema", "G", "D"]
    assert loaded.G.config == official.G_config
    assert loaded.D.config == official.D_config
    assert loaded.metadata["training"] == {
        "dataset": {"resolution": 64, "max_size": 70000, "xflip": True, "use_labels": False}
    }
    for key, tensor in official.G.items():
        assert torch.equal(loaded.G.state_dict()[key], tensor), key
    assert not trace.exists(), "source code in the pickle was executed"


def test_the_double_would_execute_the_source(tmp_path, official64, trace):
    """The trace that other tests look for does appear when the pickle is opened the usual way."""
    G, D = nvidia_networks(official64)
    nvidia.dump(snapshot(G=G, D=D, G_ema=G), tmp_path / "a.pkl")
    with pytest.raises(KeyError):  # the source defines one of the classes only
        nvidia.open_with_their_loader(tmp_path / "a.pkl")
    assert trace.exists()


def test_generator_alone(tmp_path, official64, matches):
    nvidia.dump(snapshot(G_ema=nvidia_networks(official64)[0]), tmp_path / "a.pkl")
    loaded = checkpoints.load(tmp_path / "a.pkl")
    matches(loaded, official64)
    assert loaded.D is None


def test_frozen_layers_are_buffers(tmp_path, official64, matches):
    G, D = nvidia_networks(official64, block_kwargs=dict(freeze_layers=1))
    assert "weight" in D.b64.fromrgb._buffers
    nvidia.dump(snapshot(G=G, D=D), tmp_path / "a.pkl")
    matches(checkpoints.load(tmp_path / "a.pkl"), official64)


@pytest.mark.parametrize("group", [None, 2, 8])
def test_settings_that_no_tensor_shows(tmp_path, group):
    D = nvidia.Discriminator(
        0, 8, 3, channel_base=32, channel_max=4, conv_clamp=128, epilogue_kwargs=dict(mbstd_group_size=group)
    )
    nvidia.dump(snapshot(G=small_generator(conv_clamp=64), D=D), tmp_path / "a.pkl")
    loaded = checkpoints.load(tmp_path / "a.pkl")
    assert loaded.G.config["conv_clamp"] == 64
    assert (loaded.D.config["conv_clamp"], loaded.D.config["mbstd_group_size"]) == (128, group)


def test_half_precision_weights(tmp_path):
    nvidia.dump(snapshot(G=small_generator().half()), tmp_path / "a.pkl")
    loaded = checkpoints.load(tmp_path / "a.pkl")
    assert loaded.G.mapping.fc0.weight.dtype == torch.float32


def stylegan3():
    G = nvidia.MappingNetwork(4, 0, 4, 16)
    outer = small_generator()
    outer.synthesis = nvidia.Persistent()
    outer.synthesis.L0_36_512 = nvidia.FullyConnectedLayer(4, 4)
    outer.mapping = G
    return outer


def integer_weights():
    G = small_generator()
    G.mapping.fc0.weight = torch.nn.Parameter(torch.zeros(4, 4, dtype=torch.int32), requires_grad=False)
    return G


def other_filter():
    G = small_generator()
    G.synthesis.b8.resample_filter.fill_(1 / 16)
    return G


def nan_weights():
    G = small_generator()
    G.synthesis.b4.const.data[0] = float("nan")
    return G


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small_generator(c_dim=3), "conditional"),
        (lambda: small_generator(architecture="orig"), "architecture"),
        (lambda: small_generator(channels=1), "RGB"),
        (lambda: small_generator(mapping=dict(lr_multiplier=1.0)), "multiplier 1.0"),
        (stylegan3, "StyleGAN3"),
        (integer_weights, "torch.int32"),
        (other_filter, "filter"),
        (nan_weights, r"NaN or infinite values in synthesis\.b4\.const"),
        (lambda: nvidia.MappingNetwork(4, 0, 4, 4), "not a StyleGAN2 network"),
    ],
)
def test_networks_that_ganinv_does_not_have(tmp_path, make, message):
    nvidia.dump(snapshot(G=make()), tmp_path / "a.pkl")
    with pytest.raises(GanInvError, match=message) as caught:
        checkpoints.load(tmp_path / "a.pkl")
    assert "a.pkl: G" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nvidia.Discriminator(3, 8, 3, channel_base=32, channel_max=4), "b4.out|conditional"),
        (lambda: nvidia.Discriminator(0, 8, 3, channel_base=32, channel_max=4, architecture="skip"), "architecture"),
        (
            lambda: nvidia.Discriminator(0, 8, 3, channel_base=32, channel_max=4, architecture="orig"),
            "architecture",
        ),  # NVIDIA's for CIFAR-10
        (lambda: nvidia.MappingNetwork(4, 0, 4, 4), "not a StyleGAN2 network"),
    ],
)
def test_other_discriminators_are_left_out_and_said_to_be(tmp_path, make, message):
    nvidia.dump(snapshot(G=small_generator(), D=make()), tmp_path / "a.pkl")
    loaded = checkpoints.load(tmp_path / "a.pkl")
    assert list(loaded.networks) == ["G"]
    assert loaded.D is None
    (note,) = loaded.notes
    assert note.startswith("read without its discriminator: D ")
    assert re.search(message, note)
    assert checkpoints.inspect(tmp_path / "a.pkl")["notes"] == [note]
    zoo = ganinv.load(str(tmp_path / "a.pkl"))
    assert (zoo.D, zoo.notes) == (None, [note])


def test_a_damaged_discriminator_is_refused(tmp_path):
    D = nvidia.Discriminator(0, 8, 3, channel_base=32, channel_max=4)
    D.b4.out.bias.data[:] = float("nan")
    nvidia.dump(snapshot(G=small_generator(), D=D), tmp_path / "a.pkl")
    with pytest.raises(GanInvError, match=r"D has NaN or infinite values in b4\.out\.bias"):
        checkpoints.load(tmp_path / "a.pkl")


def test_a_good_file_has_no_notes(tmp_path, tiny):
    checkpoints.save_nvlabs(tmp_path / "a.pkl", tiny)
    assert checkpoints.load(tmp_path / "a.pkl").notes == []


# --- whole modules ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain_classes(monkeypatch):
    """The double's classes as pickle stores any class: its name, and the attributes."""
    monkeypatch.delattr(nvidia.Persistent, "__reduce__")
    for kind in nvidia.CLASSES:
        monkeypatch.setattr(kind, "__module__", "training.networks")


def save_whole(kind, value, path):
    with nvidia.checkout(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the source code is not found
        if kind == "pickle":
            path.write_bytes(pickle.dumps(value))
        else:
            torch.save(value, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("classes", ["persistent", "plain"])
def test_a_generator_saved_as_it_is(tmp_path, official64, matches, trace, request, kind, classes):
    """As PTI saves the generators that it tunes: ``torch.save(G, path)``."""
    if classes == "plain":
        request.getfixturevalue("plain_classes")
    G = nvidia_networks(official64)[0]
    path = tmp_path / "model_multi_id.pt"
    save_whole(kind, G, path)
    assert checkpoints.detect(path) == "nvlabs"
    loaded = checkpoints.load(path)
    matches(loaded, official64)
    assert list(loaded.networks) == ["G_ema"]
    assert loaded.G.config == official64.G_config  # conv_clamp too, which no tensor shows
    assert not trace.exists(), "source code in the file was executed"


def test_networks_saved_as_they_are_in_a_dictionary(tmp_path, official64, matches):
    G, D = nvidia_networks(official64)
    save_whole("zip", {"G_ema": G, "D": D}, tmp_path / "a.pt")
    matches(checkpoints.load(tmp_path / "a.pt"), official64)


@pytest.mark.parametrize("suffix", [".pkl", ".pt"])
def test_a_generator_inside_a_wrapper(tmp_path, official64, matches, suffix):
    wrapped = torch.nn.DataParallel(nvidia_networks(official64)[0])
    save_whole("pickle" if suffix == ".pkl" else "zip", {"G_ema": wrapped}, tmp_path / f"a{suffix}")
    matches(checkpoints.load(tmp_path / f"a{suffix}"), official64)


def test_another_module(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(GanInvError, match=r"a module of the class 'torch\.nn\.modules\.linear\.Linear'"):
        checkpoints.load(tmp_path / "a.pt")


def test_stylegan3_as_nvidia_writes_it(tmp_path):
    """With the numpy arrays that its layers keep as attributes."""
    G = stylegan3()
    for layer in (G.synthesis, G.synthesis.L0_36_512):
        layer.in_size, layer.in_sampling_rate = np.broadcast_to(np.asarray(36), [2]), np.float64(16)
        layer.size, layer.labels = np.arange(2.0), np.array(["a", "b"])
    for protocol in (3, 4):
        nvidia.dump(snapshot(G=G, D=None, G_ema=G), tmp_path / "a.pkl", protocol)
        with pytest.raises(GanInvError, match="G_ema is a StyleGAN3 network; ganinv reads StyleGAN2 only"):
            checkpoints.load(tmp_path / "a.pkl")


def test_tensorflow_pickles_say_how_to_convert(tmp_path):
    content = b"\x80\x04\x8c\x16dnnlib.tflib.network\x94".replace(b"\x16", b"\x14") + b"\x8c\x07Network\x94\x93\x94."
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(GanInvError, match=r"TensorFlow.*legacy\.py"):
        checkpoints.load(tmp_path / "a.pkl")


def test_other_pickles(tmp_path):
    for content in ([1, 2], {"G": 3}, {"a": None}):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(GanInvError, match="not one of NVIDIA's networks"):
            checkpoints.load(tmp_path / "a.pkl")


@pytest.mark.parametrize("module", ["training.networks", "training.networks_stylegan2"])
def test_their_loader_opens_ours(tmp_path, networks, official, module):
    """Opened as ``legacy.load_network_pkl`` does, in a checkout of either repository, our file gives their classes with the official outputs."""
    checkpoints.save_nvlabs(tmp_path / "a.pkl", networks, metadata={"licence": "MIT"})
    theirs = nvidia.open_with_their_loader(tmp_path / "a.pkl", module)
    assert type(theirs["G_ema"]) is nvidia.Generator
    assert type(theirs["G_ema"].synthesis.b8.conv0.affine) is nvidia.FullyConnectedLayer
    assert theirs["G"] is theirs["G_ema"]
    for name, state in (("G_ema", official.G), ("D", official.D)):
        mine = theirs[name].state_dict()
        assert mine.keys() == state.keys()
        assert all(torch.equal(mine[key], tensor) for key, tensor in state.items())
    with torch.no_grad():
        torch.testing.assert_close(theirs["G_ema"](official.z, None), official.img_const, atol=1e-4, rtol=0)
        torch.testing.assert_close(theirs["D"](official.d_input, None), official.d_logits, atol=1e-4, rtol=0)


def test_ours_has_every_attribute_of_theirs(tmp_path, networks, official64):
    """Attribute by attribute, of every module: those the double's constructors set, with the same values."""
    if networks["G_ema"].img_resolution != 64:
        pytest.skip("one size is enough")
    checkpoints.save_nvlabs(tmp_path / "a.pkl", networks)
    theirs = nvidia.open_with_their_loader(tmp_path / "a.pkl")
    for ours, built in zip((theirs["G_ema"], theirs["D"]), nvidia_networks(official64), strict=True):
        assert ours.__dict__["_init_kwargs"] == built.__dict__["_init_kwargs"]
        modules = dict(built.named_modules())
        assert modules.keys() == dict(ours.named_modules()).keys()
        for name, module in ours.named_modules():
            for key, value in modules[name].__dict__.items():
                if key not in ("_parameters", "_buffers", "_modules", "_init_args", "_init_kwargs"):
                    assert (
                        module.__dict__[key] == pytest.approx(value)
                        if isinstance(value, float)
                        else module.__dict__[key] == value
                    ), (name, key)


def test_nvidia_source_is_not_copied(tmp_path, tiny):
    checkpoints.save_nvlabs(tmp_path / "a.pkl", tiny)
    content = (tmp_path / "a.pkl").read_bytes()
    assert b"from training.networks import *" in content
    assert b"def forward" not in content
    assert b"NVIDIA CORPORATION" not in content


def test_round_trip(tmp_path, networks, same):
    both = {"G_ema": networks["G_ema"], "G": networks["G_ema"], "D": networks["D"]}
    checkpoints.save_nvlabs(tmp_path / "a.pkl", both, metadata={"licence": "MIT"})
    loaded = checkpoints.load(tmp_path / "a.pkl")
    same(loaded.networks, both)
    assert loaded.metadata["licence"] == "MIT"


def test_without_discriminator_there_is_a_warning(tmp_path, tiny):
    with pytest.warns(UserWarning, match="without a discriminator"):
        checkpoints.save_nvlabs(tmp_path / "a.pkl", {"G": tiny["G_ema"]})
    assert checkpoints.load(tmp_path / "a.pkl").D is None
