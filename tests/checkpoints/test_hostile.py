"""Files made to do harm: none runs anything, none crashes, none takes much memory, none leaves a file."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nvidia_double as nvidia
import pytest
import torch
from safetensors.torch import save as save_safetensors

from ganinv import checkpoints
from ganinv.checkpoints.networks import Layout
from ganinv.checkpoints.rosinality import generator_names
from ganinv.encoders.weights import load_encoder
from ganinv.errors import GanInvError
from ganinv.stylegan2 import Generator

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
    pytest.mark.filterwarnings("ignore:invalid escape sequence"),  # in pickletools, on damaged pickles
]
SUFFIXES = {"native": ".safetensors", "nvlabs": ".pkl", "rosinality": ".pt", "legacy": ".pt", "psp": ".pt"}


class Evil:
    """Runs a command when unpickled the usual way."""

    def __init__(self, path):
        self.command = f"echo > {path}"

    def __reduce__(self):
        return os.system, (self.command,)


def torch_bytes(value, zipped=True):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


class BytesStorage:
    """Pickled as tensors are inside NVIDIA's pickles: a call that hands bytes to an unprotected torch.load."""

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return torch.storage._load_from_bytes, (self.data,)


@pytest.fixture(scope="module")
def good(tmp_path_factory, tiny):
    """A small, sound file of each format, as bytes."""
    folder = tmp_path_factory.mktemp("good")
    checkpoints.save_native(folder / "native.safetensors", tiny)
    nvidia.dump(
        {"G_ema": nvidia.Generator(4, 0, 4, 8, 3, {"num_layers": 1}, {"channel_base": 32, "channel_max": 4})},
        folder / "nvlabs.pkl",
        3,
    )
    checkpoints.save_rosinality(folder / "rosinality.pt", tiny, strict=False)
    content = torch.load(folder / "rosinality.pt", weights_only=True)
    torch.save(content, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    state_dict = {f"decoder.{key}": value for key, value in content["g_ema"].items()}
    torch.save({"state_dict": state_dict, "latent_avg": content["latent_avg"]}, folder / "psp.pt")
    for file in folder.iterdir():
        checkpoints.load(file)
    return {file.stem: file.read_bytes() for file in folder.iterdir()}


def refused(path):
    """Every way of opening ``path`` ends in one GanInvError that names it, and no other file appears."""
    before = sorted(path.parent.iterdir())
    for call in (
        checkpoints.load,
        checkpoints.inspect,
        lambda p: checkpoints.convert(p, p.parent / "converted.safetensors"),
    ):
        with pytest.raises(GanInvError) as caught:
            call(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        assert sorted(path.parent.iterdir()) == before
    return message


def evil_files(path):
    evil = Evil(path)
    command = evil.command.encode()
    yield "reduce", ".pkl", pickle.dumps(evil)
    yield "reduce in their dict", ".pkl", pickle.dumps({"G_ema": evil, "D": None})
    for protocol in range(6):
        yield f"protocol {protocol}", ".pkl", pickle.dumps(evil, protocol)
    yield "GLOBAL", ".pkl", b"\x80\x02cos\nsystem\n(X" + struct.pack("<I", len(command)) + command + b"tR."
    yield "INST", ".pkl", b"\x80\x02(X" + struct.pack("<I", len(command)) + command + b"ios\nsystem\n."
    yield "OBJ", ".pkl", b"\x80\x02(cos\nsystem\nX" + struct.pack("<I", len(command)) + command + b"o."
    yield "no suffix", "", pickle.dumps(evil)
    yield "eval", ".pkl", b"\x80\x04cbuiltins\neval\n(X" + struct.pack("<I", 4) + b"1+1 tR."
    yield "getattr", ".pkl", b"\x80\x04cbuiltins\ngetattr\n(NX\x01\x00\x00\x00xtR."
    for zipped in (True, False):
        for suffix in (".pt", ".pkl"):
            yield f"torch.save zipped={zipped}", suffix, torch_bytes({"g_ema": evil}, zipped)
        yield (
            f"inside a storage, zipped={zipped}",
            ".pkl",
            pickle.dumps({"G_ema": BytesStorage(torch_bytes(evil, zipped))}),
        )
    yield "a pickle inside a storage", ".pkl", pickle.dumps({"G_ema": BytesStorage(pickle.dumps(evil))})
    nested = torch_bytes({"x": BytesStorage(torch_bytes(evil, False))}, False)
    yield "a storage inside a storage", ".pkl", pickle.dumps({"G_ema": BytesStorage(nested)})
    yield "namespace with a method", ".pt", torch_bytes({"g_ema": {}, "args": evil})
    replaced = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_bytes({"g_ema": torch.zeros(2)}))) as old,
        zipfile.ZipFile(replaced, "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, pickle.dumps(evil, 2) if name.endswith("data.pkl") else old.read(name))
    yield "data.pkl replaced", ".pt", replaced.getvalue()
    meta = dict(
        type="class",
        version=6,
        module_src=f"import os; os.system({evil.command!r})",
        class_name="Generator",
        state={"x": evil},
    )
    with nvidia.checkout():
        yield "beside their source", ".pkl", pickle.dumps({"G": _Call(nvidia.reconstruct, meta)})


class _Call:
    def __init__(self, function, argument):
        self.function, self.argument = function, argument

    def __reduce__(self):
        return self.function, (self.argument,)


def test_nothing_runs(tmp_path, trace):
    names = set()
    for name, suffix, content in evil_files(trace):
        path = tmp_path / f"file{suffix}"
        path.write_bytes(content)
        message = refused(path)
        assert not trace.exists(), name
        path.unlink()
        names.add(name)
        assert any(
            word in message
            for word in ("os.system", "posix.system", "nt.system", "builtins.", "_load_from_bytes", "INST", "OBJ")
        ), (
            name,
            message,
        )
    assert len(names) >= 18


def test_the_files_above_would_run_otherwise(trace):
    pickle.loads(pickle.dumps(Evil(trace)))
    assert trace.exists()
    trace.unlink()
    torch.load(io.BytesIO(torch_bytes(Evil(trace))), weights_only=False)
    assert trace.exists()


def survives(path, content, name):
    """Load either a checkpoint or nothing: any other outcome than GanInvError fails the test."""
    path.write_bytes(content)
    try:
        checkpoint = checkpoints.load(path, w_avg=False)
    except BaseException as error:
        if isinstance(error, GanInvError) and str(error).startswith(str(path)) and "\n" not in str(error):
            return False
        raise AssertionError(f"{name}: {error!r} instead of a GanInvError that names the file") from error
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint.G.state_dict().values())
    return True


@pytest.mark.parametrize("kind", SUFFIXES)
def test_cut_short(tmp_path, good, kind):
    content = good[kind]
    offsets = {
        *range(0, 64, 7),
        *range(0, len(content), max(1, len(content) // 60)),
        len(content) - 1,
        len(content) - 8,
    }
    for offset in sorted(offsets):
        assert not survives(tmp_path / f"file{SUFFIXES[kind]}", content[:offset], offset), (
            f"cut at {offset} of {len(content)}"
        )
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", SUFFIXES)
def test_flipped_bits(tmp_path, good, kind):
    """Files with one flipped bit, half of them in the first quarter, where the structure is. Formats with a checksum notice every one in
    the data; a flip in a plain pickle's numbers can only go unnoticed as what it is, another number."""
    rng = random.Random(kind)
    content = good[kind]
    read = 0
    for i in range(100 if kind in ("legacy", "psp") else 200):
        position = rng.randrange(len(content) // 4 if i % 2 else len(content))
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.randrange(8)
        read += survives(tmp_path / f"file{SUFFIXES[kind]}", bytes(damaged), f"bit at {position}")
    if kind == "native":
        assert read == 0, "a flipped bit went unnoticed"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["rosinality", "psp"])
def test_flipped_bits_in_zipped_tensors_are_noticed(tmp_path, good, kind):
    content = good[kind]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [entry for entry in archive.infolist() if "/data/" in entry.filename]
    for entry in entries[::5]:
        # of the name and the padding before the data
        lengths = struct.unpack("<HH", content[entry.header_offset + 26 : entry.header_offset + 30])
        damaged = bytearray(content)
        damaged[entry.header_offset + 30 + sum(lengths)] ^= 1
        assert not survives(tmp_path / "file.pt", bytes(damaged), entry.filename)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_shuffled_pieces(tmp_path, good, kind):
    """Blocks removed, doubled, zeroed or swapped."""
    rng = random.Random(kind)
    content = good[kind]
    for _ in range(40):
        a, b = sorted(rng.sample(range(len(content)), 2))
        b = min(b, a + rng.choice([1, 4, 64, 1024]))
        changed = rng.choice(
            [
                content[:a] + content[b:],
                content[:b] + content[a:],
                content[:a] + bytes(b - a) + content[b:],
                content[:a] + content[a:b][::-1] + content[b:],
            ]
        )
        survives(tmp_path / f"file{SUFFIXES[kind]}", changed, (a, b))


# --- memory -------------------------------------------------------------------------------------------------------------------------------


def push(value):
    """The instructions that put ``value`` on a pickle's stack."""
    return pickle.dumps(value, 2)[2:-1].replace(b"q\x00", b"")


def tensor_call(storage, size, stride):
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + push(size) + push(stride) + b"\x89NtR"


def storage_call(data):
    return b"ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(data)) + data + b"tR"


def torch_zip(pickled, data=b"", compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", data)
    return buffer.getvalue()


def reference(numel, legacy=False):
    return (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + push(numel)
        + (b"N" if legacy else b"")
        + b"tQ"
    )


def legacy_file(root, keys=("0",), data=b""):
    head = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + b"\x80\x02" + root + b"." + pickle.dumps(list(keys), 2) + data


def shared_weights():
    """Every parameter of a 1024-pixel generator is a view of the same 9 MB."""
    memory = torch.zeros(512 * 512 * 9)
    with Layout():
        state = Generator(512, 512, 1024, 8).state_dict()
    shapes = {
        theirs: (1,) * leading + state[ours].shape + (1,) * trailing
        for ours, theirs, leading, trailing in generator_names(8, 8)
    }
    return {
        key: memory[: shape.numel()].view(shape)
        for key, shape in ((key, torch.Size(shape)) for key, shape in shapes.items())
    }


def bombs():
    small = torch_bytes(torch.zeros(4).storage(), False)
    yield (
        "shape beyond the storage",
        ".pkl",
        b"\x80\x02}X\x01\x00\x00\x00G" + tensor_call(storage_call(small), (2**40,), (1,)) + b"s.",
    )
    yield (
        "stride 0",
        ".pkl",
        b"\x80\x02}X\x01\x00\x00\x00G" + tensor_call(storage_call(small), (2**20, 2**20), (0, 0)) + b"s.",
    )
    yield "storage that claims much", ".pkl", b"\x80\x02" + storage_call(legacy_file(reference(2**36, True))) + b"."
    large = torch_bytes(torch.zeros(1 << 20).storage(), False)
    often = b"ctorch.storage\n_load_from_bytes\n(h\x00tR" * 500
    yield (
        "the same storage often",
        ".pkl",
        b"\x80\x02B" + struct.pack("<I", len(large)) + large + b"q\x00" + often + b".",
    )
    yield "long bytes", ".pkl", b"\x80\x04\x8e" + struct.pack("<Q", 2**44) + b"x."
    yield "long frame", ".pkl", b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N."
    yield "long text", ".pkl", b"\x80\x04\x8d" + struct.pack("<Q", 2**44) + b"x."
    yield "long number", ".pkl", b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"x."
    yield "long digits", ".pkl", b"\x80\x02L" + b"9" * 2_000_000 + b"L\n."
    yield "far memo", ".pkl", b"\x80\x04Nr\xff\xff\xff\x7f."
    yield "far memo in text", ".pkl", b"\x80\x02Np99999999999\n."
    yield "many instructions", ".pkl", b"\x80\x04" + b"}" * 3_000_000 + b"."
    yield "deep lists", ".pkl", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    yield "deep tuples as key", ".pkl", b"\x80\x02}N" + b"2\x86" * 60 + b"Ns."
    yield (
        "zip tensor that claims much",
        ".pt",
        torch_zip(
            b"\x80\x02}X\x05\x00\x00\x00g_ema" + tensor_call(reference(2**38), (2**38,), (1,)) + b"s.", bytes(16)
        ),
    )
    yield (
        "zip shape beyond the storage",
        ".pt",
        torch_zip(b"\x80\x02}X\x05\x00\x00\x00g_ema" + tensor_call(reference(4), (2**33,), (1,)) + b"s.", bytes(16)),
    )
    yield "zip bomb", ".pt", torch_zip(b"\x80\x02}.", bytes(100_000_000), zipfile.ZIP_DEFLATED)
    yield "shared weights", ".pt", torch_bytes({"g_ema": shared_weights()})
    yield (
        "legacy tensor that claims much",
        ".pt",
        legacy_file(b"}" + push("g_ema") + tensor_call(reference(2**38, True), (4,), (1,)) + b"s"),
    )
    yield "safetensors header that claims much", ".safetensors", struct.pack("<Q", 2**40) + b"{}" + bytes(100)
    header = b'{"G/mapping.fc0.weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
    yield "safetensors tensor that claims much", ".safetensors", struct.pack("<Q", len(header)) + header + bytes(100)
    deep = b'{"__metadata__":{"ganinv":"' + b"[" * 200_000 + b'"}}'
    yield "safetensors with deep JSON", ".safetensors", struct.pack("<Q", len(deep)) + deep

    yield "channels of zero-size weights", ".pt", torch_bytes({"g_ema": weights_without_numbers()})
    yield "modules that contain themselves", ".pkl", recursive_module([f"m{i}" for i in range(200)])
    yield "modules with long names", ".pkl", recursive_module(["A" * 100_000, "B" * 100_000])
    yield "plain modules that contain themselves", ".pt", torch_bytes(recursive_object())
    yield "modules that share their tensors", ".pkl", recursive_module(["m"], tensors=20_000)
    yield "arguments within arguments", ".pkl", repeated_arguments(20_000)
    yield (  # by hand, since a dict of them takes as long to make as a reader would take that is fooled
        "numbers of the same hash",
        ".pkl",
        b"\x80\x04}(" + b"".join(push(k * (2**61 - 1)) + b"N" for k in range(1, 60_000)) + b"u.",
    )
    yield (
        "a number of the same hash in sets",
        ".pkl",
        b"\x80\x04\x8f(" + b"".join(push(k * (2**61 - 1)) for k in range(1, 60_000)) + b"\x90.",
    )
    yield (
        "one long number as every key",
        ".pkl",
        b"\x80\x02}(" + push(1 << 800_000) + b"q\x01N" + b"h\x01N" * 100_000 + b"u.",
    )
    yield "a list of lists in a message", ".pkl", activation_of_lists()
    yield (
        "many tensors of one number",
        ".pt",
        torch_zip(b"\x80\x02](" + tensor_call(reference(1), (), ()) + many_tensors(100_000) + b"e.", bytes(4)),
    )
    yield "many objects", ".pkl", b"\x80\x02](cnowhere\nThing\nq\x00" + b"h\x00)\x81" * 120_000 + b"e."
    yield (
        "long globals",
        ".pkl",
        b"\x80\x04](\x8c\x01m" + push("x" * 100_000) + b"q\x01\x93" + b"\x8c\x01mh\x01\x93" * 50_000 + b"e.",
    )
    yield "many kernels", ".pt", torch_bytes({"g_ema": {f"{i}.kernel": torch.zeros(4, 4) for i in range(25_000)}})
    for name, config in encoder_bombs():
        yield name, ".encoder.safetensors", encoder_file(config)


def weights_without_numbers():
    """Convolutions of 100 million channels, which take no bytes, for they have no inputs."""
    state = {}
    with Layout():
        shapes = {key: list(tensor.shape) for key, tensor in Generator(4, 4, 8, 1, 32, 4).state_dict().items()}
    for ours, theirs, leading, trailing in generator_names(1, 1):
        shape = shapes[ours]
        if ours.endswith(("conv0.weight", "conv1.weight")):
            shape = [10**8, 0, 3, 3]
        state[theirs] = torch.zeros([1] * leading + shape + [1] * trailing)
    return state


def recursive_module(names, tensors=0):
    """``G_ema`` of NVIDIA's form, whose parts of these ``names`` are itself."""
    call = (
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(}("
        + push("class_name")
        + push("Generator")
        + push("state")
    )
    small = torch_bytes(torch.zeros(4).storage(), False)
    tensor = tensor_call(storage_call(small), (1,), (1,)) + b"q\x05"
    shared = b"".join(push(f"t{i}") + b"h\x05" for i in range(tensors))
    parameters = b"}q\x04(" + push("t") + tensor + shared + b"u"
    state = b"}(" + push("_parameters") + parameters + push("_modules") + b"h\x02u"
    parts = b"".join(push(name) + b"h\x03" for name in names)
    return b"\x80\x02}q\x02" + b"0}" + push("G_ema") + call + state + b"utRq\x03s" + b"h\x02(" + parts + b"u0."


class Own:
    """A class of the file's author."""


def recursive_object():
    own = Own()
    own._modules = {f"m{i}": own for i in range(200)}
    own._modules["synthesis"] = own
    return own


def repeated_arguments(n):
    """Keyword arguments of n dictionaries, all the same one of n items."""
    one = {f"k{i}": None for i in range(n)}
    state = {"_modules": {}, "_init_kwargs": {f"a{i}": one for i in range(n)}}
    with nvidia.checkout():
        return pickle.dumps({"G_ema": _Call(nvidia.reconstruct, {"class_name": "Generator", "state": state})}, 4)


def activation_of_lists():
    """Where an activation's name belongs, 2^60 lists."""
    activation = []
    for _ in range(60):
        activation = [activation, activation]
    G = nvidia.Generator(4, 0, 4, 8, 3, {"num_layers": 1}, {"channel_base": 32, "channel_max": 4})
    G.synthesis.b4.conv1.activation = activation
    with nvidia.checkout():
        return pickle.dumps({"G_ema": G}, 4)


def many_tensors(n):
    """n times the last call again."""
    arguments = b"(" + reference(1) + b"K\x00))\x89NtQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\nq\x10" + arguments[:-1] + b"q\x11R" + b"h\x10h\x11R" * n


def encoder_bombs():
    sizes = dict(resolution=32, num_ws=8, w_dim=16)
    yield "an encoder of wide heads", ("StyleEncoder", sizes | {"channels": 1200})
    yield "an encoder of many heads", ("StyleEncoder", sizes | {"num_ws": 10**9})
    yield "an encoder of many heads without channels", ("StyleEncoder", sizes | {"num_ws": 10**9, "channels": 0})
    yield "an encoder of many layers", ("BaseCodeEncoder", dict(size=8, channels=1, widths=[1] * 5000))
    yield "an encoder of wide layers", ("BaseCodeEncoder", dict(size=8, channels=20_000))
    yield "an encoder of a long product", ("MaskedEncoder", sizes | {"num_ws": "a", "w_dim": 10**10})
    yield "an encoder of a long list", ("MaskedEncoder", sizes | {"num_ws": [0], "w_dim": 10**9})
    yield "an encoder of wide fusion", ("Consultation", dict(resolution=64, channels=10**5))


def encoder_file(description):
    network, config = description
    card = {"method": "psp", "network": network, "config": config, "generator": "", "training": {}}
    return save_safetensors(
        {"x": torch.zeros(2 if network != "MaskedEncoder" else 500_000)}, metadata={"card": json.dumps(card)}
    )


def measure(folder):
    """Run in a process of its own: load every file of ``folder``, print by how many MB memory grew at its highest and the seconds taken."""

    def memory(what):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition(what + ":")[2].split()[0]) / 1024

    for path in sorted(folder.glob("bomb*")):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew
        before, started = memory("VmRSS"), time.process_time()
        try:
            load_encoder(path) if ".encoder" in path.suffixes else checkpoints.load(path, w_avg=False)
            outcome = "loaded"
        except GanInvError as error:
            outcome = str(error).removeprefix(str(path))
        except BaseException as error:
            outcome = f"ESCAPED {error!r}"
        seconds = time.process_time() - started
        sys.stdout.write(f"{path.name}\t{memory('VmHWM') - before:.0f}\t{seconds:.2f}\t{outcome}\n")


def test_memory_and_time_stay_bounded(tmp_path):
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("peak memory is measured on Linux")
    names = {}
    for i, (name, suffix, content) in enumerate(bombs()):
        path = tmp_path / f"bomb{i:02d}{suffix}"
        path.write_bytes(content)
        names[path.name] = name
    code = f"import sys; sys.path[:0] = {sys.path!r}; import pathlib, test_hostile; test_hostile.measure(pathlib.Path({str(tmp_path)!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr[-2000:]
    seen = {}
    for line in run.stdout.splitlines():
        stem, growth, seconds, outcome = line.split("\t")
        if stem in names:
            seen[names[stem]] = (float(growth), float(seconds), outcome)
    assert seen.keys() == set(names.values()), run.stderr[-2000:]
    for name, (growth, seconds, outcome) in seen.items():
        assert outcome.startswith((": ", " is not the file of an encoder")), (name, outcome)
        assert growth < 80, (name, growth, outcome)
        assert seconds < 10, (name, seconds, outcome)
    reasons = {
        "shared weights": "more weights than the file has bytes",
        "the same storage often": "the same bytes for many tensors",
    }
    for name, reason in {
        **reasons,
        "zip bomb": "not one that PyTorch wrote",
        "many instructions": "instructions",
    }.items():
        assert reason in seen[name][2]


def test_unreadable_file(tmp_path, good):
    path = tmp_path / "a.safetensors"
    path.write_bytes(good["native"])
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(GanInvError, match="cannot be read"):
        checkpoints.load(path)


def test_special_file():
    if not Path("/dev/null").exists():
        pytest.skip("no /dev/null here")
    with pytest.raises(GanInvError, match="empty"):
        checkpoints.load("/dev/null")
