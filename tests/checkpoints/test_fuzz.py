"""Files that hypothesis invents, for each reader: whatever is in one, it is read, or refused in one sentence that names it, and nothing runs.

Two sorts: sound files with bytes changed behind the checksums (a checksum keeps no one from computing another), and files with the right
frame around a content of any kind.
"""

import io
import json
import os
import pickle
import struct
import time
import zipfile

import nvidia_double as nvidia
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save as save_safetensors

from ganinv import checkpoints
from ganinv.checkpoints.native import checksum
from ganinv.checkpoints.rosinality import rosinality_state
from ganinv.encoders.base_code import BaseCodeEncoder
from ganinv.encoders.weights import load_encoder, save_encoder
from ganinv.errors import GanInvError

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
    pytest.mark.filterwarnings("ignore:invalid escape sequence"),  # in pickletools, on damaged pickles
]
SECONDS = float(os.environ.get("GANINV_FUZZ_SECONDS", "600"))  # of the long run, for all readers together
SHORT = 40  # examples of each kind in the ordinary run
READERS = ("native", "nvlabs", "zip", "legacy", "encoder")


# --- contents -----------------------------------------------------------------------------------------------------------------------------


def edits(longest=8):
    """Changes of some bytes: ``(where, how many to take away, what to put there)``."""
    return st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=longest)), min_size=1, max_size=4)


def edited(content, changes):
    content = bytearray(content)
    for where, length, new in changes:
        start = int(where * len(content))
        content[start : start + length] = new
    return bytes(content)


numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from([0, -1, 8, 1024, 2**31, 2**63, 10**400, float("nan")]),
)
NAMES = ["G", "g_ema", "d", "D", "mapping.fc0.weight", "style.1.weight", "\x1b[31m", "[bold]x", "\ud800"]
texts = st.one_of(st.text(max_size=8), st.sampled_from(NAMES))
json_values = st.recursive(
    numbers | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 8]), max_size=5)
types = st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.bfloat16])
tensors = st.builds(lambda shape, dtype: torch.zeros(shape).to(dtype), shapes, types)
values = st.recursive(
    numbers | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 8]), max_size=5)
tensors = st.builds(
    lambda shape, dtype: torch.zeros(shape).to(dtype),
    shapes,
    st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.bfloat16]),
)
values = st.recursive(
    numbers | texts | tensors | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=6,
)


def changed(state, changes):
    """``state`` with some entries removed, replaced or added: ``(which, value or None)``."""
    state = dict(state)
    for which, value in changes:
        key = list(state)[which % len(state)] if isinstance(which, int) and state else str(which)
        state.pop(key, None)
        if value is not None:
            state[key] = value
    return state


changes_of_a_state = st.lists(st.tuples(st.integers(0, 200) | texts, st.none() | tensors | values), max_size=3)

# Instructions of a pickle that make sense on their own, to be put together in any order.
fragments = st.one_of(
    st.sampled_from(
        [
            b"}",
            b"]",
            b")",
            b"(",
            b"\x8f",
            b"N",
            b"\x88",
            b"0",
            b"1",
            b"2",
            b"a",
            b"e",
            b"s",
            b"u",
            b"t",
            b"l",
            b"d",
            b"\x85",
            b"\x86",
        ]
    ),
    st.sampled_from(
        [
            b"\x87",
            b"\x90",
            b"\x91",
            b"\x93",
            b"\x94",
            b"R",
            b"\x81",
            b"b",
            b"o",
            b"Q",
            b"q\x00",
            b"q\x01",
            b"h\x00",
            b"h\x01",
            b"\x92",
        ]
    ),
    st.sampled_from(
        [
            *(
                b"ctorch._utils\n_rebuild_tensor_v2\n",
                b"ctorch._utils\n_rebuild_parameter\n",
                b"ctorch\nFloatStorage\n",
                b"cos\nsystem\n",
            ),
            *(
                b"ccollections\nOrderedDict\n",
                b"cbuiltins\nset\n",
                b"cnumpy\ndtype\n",
                b"cnumpy.core.multiarray\nscalar\n",
                b"c_codecs\nencode\n",
            ),
            *(
                b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
                b"cargparse\nNamespace\n",
                b"cbuiltins\ngetattr\n",
                b"cmy\nThing\n",
            ),
            *(
                b"ctorch.storage\n_load_from_bytes\n",
                b"ccopyreg\n_reconstructor\n",
                b"ctorch._tensor\n_rebuild_from_type_v2\n",
            ),
        ]
    ),
    (texts | numbers | st.binary(max_size=6)).map(lambda value: pickle.dumps(value, 2)[2:-1]),
)
programs = st.lists(fragments, max_size=30).map(lambda parts: b"\x80\x02" + b"".join(parts) + b".")


# --- files --------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory, tiny):
    """A sound file for each reader, and its parts."""
    folder = tmp_path_factory.mktemp("sound")
    nvidia.dump(
        {"G_ema": nvidia.Generator(4, 0, 4, 8, 3, {"num_layers": 1}, {"channel_base": 32, "channel_max": 4})},
        folder / "nvlabs",
        3,
    )
    content = {
        "g_ema": rosinality_state(tiny["G_ema"]),
        "d": rosinality_state(tiny["D"]),
        "latent_avg": torch.zeros(4),
        "args": {"iter": 1},
    }
    for kind in ("zip", "legacy"):
        torch.save(content, folder / kind, _use_new_zipfile_serialization=kind == "zip")
    checkpoints.save_native(folder / "native", tiny)
    save_encoder(folder / "encoder", BaseCodeEncoder(8, 2, (2, 2)), "bdinvert", "", {})
    parts = {}
    for kind, name in (("native", "ganinv"), ("encoder", "card")):
        with safe_open(folder / kind, "pt") as file:
            parts[kind] = json.loads(file.metadata()[name]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    return {path.name: path.read_bytes() for path in folder.iterdir()}, content, parts


def rezipped(content, change):
    """The zip file with its pickle put through ``change``, and the right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return buffer.getvalue()


def described(description, state, name):
    """A safetensors file whose description is of any kind; the checksum of a native one is right."""
    state = {
        key: value.contiguous() for key, value in state.items() if isinstance(value, torch.Tensor) and key.isascii()
    }
    if name == "ganinv" and isinstance(description, dict):
        description = {
            **description,
            "sha256": checksum(state, {key: value for key, value in description.items() if key != "sha256"}),
        }
    return save_safetensors(
        {key: value.clone() for key, value in state.items()}, metadata={name: json.dumps(description)}
    )


def files(reader, sound):
    """A strategy for the bytes of files that ``reader`` will look into."""
    content, networks, parts = sound
    any_pickle = programs | values.map(lambda value: pickle.dumps(value, 2))
    if reader in ("native", "encoder"):
        description, state = parts[reader]
        name = {"native": "ganinv", "encoder": "card"}[reader]
        key = {"native": "networks", "encoder": "config"}[reader]
        inner = description[key]["G_ema"] if reader == "native" else description[key]
        configs = st.dictionaries(st.sampled_from([*inner]) | texts, json_values, max_size=3).map(
            lambda new: {**inner, **new}
        )
        descriptions = st.one_of(
            json_values,
            st.dictionaries(st.sampled_from([*description]) | texts, json_values, max_size=3).map(
                lambda new: {**description, **new}
            ),
            configs.map(
                lambda config: {
                    **description,
                    key: {**description[key], "G_ema": config} if reader == "native" else config,
                }
            ),
        )
        header = st.tuples(json_values, st.binary(max_size=40)).map(lambda x: framed(json.dumps(x[0]).encode()) + x[1])
        whole = st.tuples(descriptions, changes_of_a_state).map(lambda x: described(x[0], changed(state, x[1]), name))
        return st.one_of(edits().map(lambda e: edited(content[reader], e)), header, whole)
    if reader == "nvlabs":
        modules = st.tuples(st.dictionaries(texts, values, max_size=3), st.sampled_from(["G", "G_ema", "D"])).map(
            persistent
        )
        return st.one_of(edits(40).map(lambda e: edited(content[reader], e)), any_pickle, modules)
    zipped = reader == "zip"

    def rewritten(changes):
        return saved(changed({**networks, "g_ema": changed(networks["g_ema"], changes[0])}, changes[1]), zipped)

    states = st.tuples(changes_of_a_state, changes_of_a_state).map(rewritten)
    if zipped:
        return st.one_of(
            edits().map(lambda e: edited(content["zip"], e)),
            edits(40).map(lambda e: rezipped(content["zip"], lambda data: edited(data, e))),
            any_pickle.map(lambda new: rezipped(content["zip"], lambda _: new)),
            states,
        )
    head = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return st.one_of(
        edits(40).map(lambda e: edited(content["legacy"], e)),
        any_pickle.map(lambda new: head + new + pickle.dumps([], 2)),
        states,
    )


def framed(header):
    return struct.pack("<Q", len(header)) + header


def persistent(drawn):
    """A module of NVIDIA's with some attributes of any kind."""
    attributes, name = drawn
    G = nvidia.Generator(4, 0, 4, 8, 3, {"num_layers": 1}, {"channel_base": 32, "channel_max": 4})
    parts = [G, G.mapping, G.mapping.fc0, G.synthesis.b4.conv1]
    for key, value in attributes.items():
        parts[len(key) % 4].__dict__[
            ["_init_kwargs", "_buffers", "_modules", "conv_clamp", "activation", "bias_gain", key][len(attributes) % 7]
        ] = value
    with nvidia.checkout():
        return pickle.dumps({name: G, "training_set_kwargs": attributes, "ganinv": json.dumps(name)}, 4)


def saved(value, zipped):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


# --- tests --------------------------------------------------------------------------------------------------------------------------------


def hunt(reader, sound, folder, trace, examples, number):
    """Read ``examples`` invented files, the same for the same ``number``. The file at which it fails stays in ``folder``."""
    path = folder / "invented.pt"

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(files(reader, sound))
    def check(content):
        path.write_bytes(content)
        for read in (
            (load_encoder,)
            if reader == "encoder"
            else (checkpoints.detect, lambda p: checkpoints.load(p, w_avg=False), checkpoints.inspect)
        ):
            try:
                found = read(path)
            except GanInvError as error:
                told = str(error)
            else:
                told = ""
                if isinstance(found, checkpoints.Checkpoint):
                    assert all(torch.isfinite(tensor).all() for tensor in found.G.state_dict().values())
                if isinstance(found, dict):
                    json.dumps(found, allow_nan=False)
            assert not told or (told.startswith(str(path)) and told.isprintable() and len(told) < 1500)
        assert not trace.exists()
        assert list(folder.iterdir()) == [path]

    check()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "files"
    path.mkdir()
    return path


@pytest.mark.parametrize("reader", READERS)
def test_invented_files(reader, sound, folder, trace):
    hunt(reader, sound, folder, trace, SHORT, 0)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_invented_files_for_minutes(reader, sound, folder, trace):
    """Ten minutes in all, or as many seconds as ``GANINV_FUZZ_SECONDS`` says."""
    end, number = time.monotonic() + SECONDS / len(READERS), time.time_ns() % 10**9
    while time.monotonic() < end:
        number += 1
        print("seed", number)  # shown where a run fails
        hunt(reader, sound, folder, trace, 100, number)


@pytest.mark.parametrize("reader", READERS)
def test_the_sound_files_are_read(reader, sound, folder):
    (folder / "a.pt").write_bytes(sound[0][reader])
    (load_encoder if reader == "encoder" else checkpoints.load)(folder / "a.pt")
