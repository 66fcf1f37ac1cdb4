import argparse
import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from ganinv.checkpoints.torchfiles import inspect_torch_file, read_nvlabs_pickle, read_storage
from ganinv.checkpoints.unpickle import MAX_OPCODES, TORCH_NAMES, Namespace, Storage, interpret, rebuild_tensor
from ganinv.errors import GanInvError

PLAIN = [
    *(None, True, False, 0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63, -(2**70), 1.5, float("inf"), -0.0),
    *(
        "",
        "text",
        "é\n☃",
        "x" * 300,
        [],
        {},
        (),
        (1,),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        [1, [2, [3]]],
        {"a": {"b": [1, (2, {})]}, 3: None},
    ),
    [list(range(3000)), {i: str(i) for i in range(3000)}],
]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_as_pickle_reads_them(protocol):
    value = [*PLAIN, PLAIN[-1]]  # the last one twice: a reference
    read = interpret(io.BytesIO(pickle.dumps(value, protocol)), {})
    assert read == value
    assert [type(x) for x in read] == [type(x) for x in value]
    assert read[-1] is read[-2]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_sets_bytes_and_numpy_numbers(protocol):
    value = {
        "set": {1, "a"},
        "empty": set(),
        "f": np.float64(1.25),
        "i": np.int32(-7),
        "b": np.bool_(True),
        "h": np.float16(0.5),
        "u": np.uint8(9),
    }
    value |= {"big": np.array(3.5, ">f4")[()], "dict": OrderedDict(a=1)}
    read = interpret(io.BytesIO(pickle.dumps(value, protocol)), TORCH_NAMES)
    assert read == {key: x.item() if isinstance(x, np.generic) else x for key, x in value.items()}
    assert type(read["f"]) is float


def test_cycles_are_no_trouble():
    value: list = []
    value.append(value)
    read = interpret(io.BytesIO(pickle.dumps(value)), {})
    assert read[0] is read


def test_several_pickles_in_one_stream():
    stream = io.BytesIO(b"".join(pickle.dumps(x) for x in PLAIN))
    assert [interpret(stream, {}) for _ in PLAIN] == PLAIN


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_keep_their_structure(tmp_path, zipped):
    shared = torch.arange(12.0)
    value = {
        "tensors": [
            shared[3:9].view(2, 3).t(),
            shared,
            torch.zeros(()),
            torch.ones(2, 0, 3),
            torch.randn(3).half(),
            torch.tensor([True]),
        ],
        "state": torch.nn.BatchNorm2d(2).state_dict(),  # an ordered dict with attributes, an integer tensor
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "args": argparse.Namespace(lr=0.1, nested=argparse.Namespace(n=1)),
    }
    torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    with open(tmp_path / "a.pt", "rb") as file:
        read = inspect_torch_file(file, (tmp_path / "a.pt").stat().st_size)
    for mine, theirs in zip(read["tensors"], value["tensors"], strict=True):
        assert (mine.shape, mine.stride(), mine.dtype, mine.device.type) == (
            theirs.shape,
            theirs.stride(),
            theirs.dtype,
            "meta",
        )
    assert list(read["state"]) == list(value["state"])
    assert read["args"] == Namespace({"lr": 0.1, "nested": Namespace({"n": 1})})
    assert read["parameter"].shape == (2,)


def test_pickled_tensors_bit_for_bit(tmp_path):
    base = torch.randn(4, 5)
    value = {
        "a": base.t()[1:],
        "b": torch.nn.Parameter(base),
        "c": torch.arange(3),
        "d": torch.randn(2).bfloat16(),
        "e": torch.zeros(()),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    read = read_nvlabs_pickle(tmp_path / "a.pkl")
    for key, tensor in value.items():
        assert read[key].dtype == tensor.dtype
        assert torch.equal(read[key], tensor)


@pytest.mark.parametrize(
    "call",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.storage._load_from_bytes",
        "builtins.getattr",
        "collections.Counter",
    ],
)
def test_any_other_global_is_named(call):
    module, _, name = call.rpartition(".")
    for spelt in (
        f"c{module}\n{name}\n.".encode(),
        b"".join(
            [
                b"\x80\x04\x8c",
                bytes([len(module)]),
                module.encode(),
                b"\x8c",
                bytes([len(name)]),
                name.encode(),
                b"\x93.",
            ]
        ),
    ):
        with pytest.raises(GanInvError, match=call.replace(".", r"\.")):
            interpret(io.BytesIO(spelt), TORCH_NAMES)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (b"(ios\nsystem\n.", "INST"),
        (b"(cos\nsystem\no.", "global os.system"),
        (b"(]o.", "OBJ"),
        (b"\x82\x01.", "EXT1"),
        (b"]]}\x92.", "NEWOBJ_EX"),
        (b"Pname\n.", "PERSID"),
        (b"NQ.", "BINPERSID"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "BYTEARRAY8|bytes"),
        (b"S'text'\n.", "STRING"),
    ],
)
def test_instructions_that_are_not_needed(code, name):
    with pytest.raises((GanInvError, ValueError), match=name):
        interpret(io.BytesIO(code), TORCH_NAMES)


@pytest.mark.parametrize(
    "code",
    [
        b"]]R.",  # calling a list
        b"]]\x81.",
        b"ccollections\nOrderedDict\nN}b.",  # state for a class
        b"ctorch\nFloatStorage\n)R.",  # a name that may only be mentioned
        b"cargparse\nNamespace\n]R.",  # arguments that are no tuple
        b"cargparse\nNamespace\n)R]b.",  # state that is no dict
        b"}]Ns.",  # a list as key
        b"}((NttNs.",  # a tuple as key: hashing nested ones can take for ever
        b"\x8f((K\x01t\x90.",
        b"NNa.",  # appending to None
        b"h\x00.",  # a reference to nothing
        b"0.",
        b"t.",
        b"(.",
        b"",
        b"N",
        b"ctorch._utils\n_rebuild_parameter\n(Nt\x52.",
        b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR.",
        b"ccollections\nOrderedDict\n(]tR.",
    ],
)
def test_nonsense_is_an_ordinary_exception(code):
    with pytest.raises((GanInvError, ValueError, TypeError, KeyError, IndexError)):
        interpret(io.BytesIO(code), TORCH_NAMES)


def test_endless_pickles_end():
    with pytest.raises(GanInvError, match="instructions"):
        interpret(io.BytesIO(b"(" * (MAX_OPCODES + 2)), {})


def test_deep_nesting():
    depth = 50_000
    read = interpret(io.BytesIO(b"]" * depth + b"a" * (depth - 1) + b"."), {})
    assert len(read) == 1


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (0, (2, 2), (1, 6)),
        (0, (10**12,), (0,)),
        (0, (2**40, 2**40), (0, 0)),
        (-1, (1,), (1,)),
        (0, (-1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2,), (1, 1)),
        (0, [2], (1,)),
        (0, (2.0,), (1,)),
        (True, (2,), (1,)),
        (0, (1,) * 9, (1,) * 9),
        (0, (2**70,), (1,)),
        (2**70, (1,), (1,)),
    ],
)
@pytest.mark.parametrize("read", [True, False])
def test_tensors_stay_inside_their_storage(offset, size, stride, read):
    storage = Storage(torch.float32, 6, torch.zeros(6).untyped_storage() if read else None)
    with pytest.raises((GanInvError, ValueError, TypeError)):
        rebuild_tensor(storage, offset, size, stride, False, {})
    if read:
        assert storage.data.nbytes() == 24


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_storages_of_other_sizes():
    data = io.BytesIO()
    torch.save(torch.arange(5.0).untyped_storage(), data)
    with pytest.raises((GanInvError, KeyError, ValueError, TypeError)):
        read_storage(data.getvalue())
    good = io.BytesIO()
    torch.save(torch.arange(5.0).storage(), good, _use_new_zipfile_serialization=False)
    assert read_storage(good.getvalue()).numel == 5
    with pytest.raises(GanInvError, match="cut short"):
        read_storage(good.getvalue()[:-1])


def test_the_table_has_no_function_of_python_or_torch_that_acts():
    """Everything a pickle can call is one of ours."""
    for name, function in TORCH_NAMES.items():
        assert function is None or function.__module__ == "ganinv.checkpoints.unpickle", name
