import hashlib
import json

import pytest
import torch

from ganinv import checkpoints
from ganinv.errors import GanInvError
from ganinv.stylegan2 import Generator

pytestmark = pytest.mark.filterwarnings("ignore:.*has no place for")
FORMATS = {"native": ".safetensors", "nvlabs": ".pkl", "rosinality": ".pt"}


def write_psp(path, networks):
    checkpoints.save_rosinality(path, networks, strict=False)
    content = torch.load(path, weights_only=True)
    state_dict = {f"decoder.{key}": value for key, value in content["g_ema"].items()}
    torch.save({"state_dict": state_dict, "latent_avg": content["latent_avg"].repeat(10, 1), "opts": {}}, path)


def options(path):
    return {"strict": False} if path.suffix == ".pt" else {}


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", [*FORMATS, "psp"])
def test_every_pair_of_formats(tmp_path, networks64, official64, matches, source, target):
    """Official networks through any two formats still give the official images, latents and logits."""
    first = tmp_path / f"first{FORMATS.get(source, '.pt')}"
    if source == "psp":
        write_psp(first, {"G_ema": networks64["G_ema"]})
    else:
        checkpoints.save(first, checkpoints.Checkpoint(dict(networks64), {"licence": "MIT"}), **options(first))
    assert checkpoints.detect(first) == source
    second = tmp_path / f"second{FORMATS[target]}"
    if source == "psp" and target == "nvlabs":
        with pytest.warns(UserWarning, match="without a discriminator"):
            checkpoints.convert(first, second)
    else:
        checkpoints.convert(first, second, **options(second))
    assert checkpoints.detect(second) == target
    loaded = checkpoints.load(second)
    matches(loaded, official64)
    names = ["G_ema"] + ["G"] * ("nvlabs" in (source, target)) + ["D"] * (source != "psp")
    assert list(loaded.networks) == names
    origin = {"file": first.name, "format": source, "sha256": hashlib.sha256(first.read_bytes()).hexdigest()}
    assert loaded.metadata["converted_from"] == origin
    assert loaded.metadata.get("licence") == (None if source == "psp" else "MIT")


def test_inspect(tmp_path, tiny):
    path = tmp_path / "a.pkl"
    metadata = {"licence": "CC0-1.0", "training": {"images": 7}}
    checkpoints.save_nvlabs(path, tiny, metadata=metadata)
    facts = checkpoints.inspect(path)
    json.dumps(facts)
    assert facts["format"] == "nvlabs"
    assert (facts["resolution"], facts["z_dim"], facts["w_dim"], facts["mapping_layers"], facts["num_ws"]) == (
        8,
        4,
        4,
        1,
        4,
    )
    assert list(facts["networks"]) == ["G_ema", "G", "D"]
    assert facts["networks"]["G_ema"]["parameters"] == sum(p.numel() for p in tiny["G_ema"].parameters())
    assert facts["networks"]["G_ema"]["channels"] == {"4": 4, "8": 4}
    assert facts["networks"]["D"]["mbstd_group_size"] == 4
    assert facts["has_discriminator"] is True
    assert facts["w_avg"] == "stored"
    assert facts["file_size"] == path.stat().st_size
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts["training"], facts["licence"]) == (metadata["training"], metadata["licence"])


def test_inspect_says_that_w_avg_is_missing(tmp_path, tiny):
    path = tmp_path / "a.pt"
    checkpoints.save_rosinality(path, {"G": tiny["G_ema"]}, strict=False)
    content = torch.load(path, weights_only=True)
    torch.save({"g_ema": content["g_ema"]}, path)
    facts = checkpoints.inspect(path)
    assert (facts["w_avg"], facts["has_discriminator"], facts["licence"]) == ("missing", False, None)


def test_an_estimated_w_avg_stays_known_as_such(tmp_path, tiny):
    checkpoints.save_rosinality(tmp_path / "a.pt", tiny, strict=False)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save({"g_ema": content["g_ema"]}, tmp_path / "a.pt")
    for source, target in (("a.pt", "b.safetensors"), ("b.safetensors", "c.pt"), ("c.pt", "d.safetensors")):
        checkpoints.convert(tmp_path / source, tmp_path / target, **options(tmp_path / target))
    assert checkpoints.inspect(tmp_path / "d.safetensors")["w_avg"] == "estimated"
    assert checkpoints.load(tmp_path / "d.safetensors").metadata["converted_from"]["file"] == "a.pt"


def test_a_failed_conversion_leaves_the_target_alone(tmp_path, tiny):
    checkpoints.save_native(tmp_path / "a.safetensors", tiny)
    (tmp_path / "b.pt").write_text("precious", encoding="utf-8")
    with pytest.raises(GanInvError, match="strict=False"):
        checkpoints.convert(tmp_path / "a.safetensors", tmp_path / "b.pt")
    assert (tmp_path / "b.pt").read_text(encoding="utf-8") == "precious"
    with pytest.raises(GanInvError, match=r"\.safetensors .* \.pkl .* \.pt"):
        checkpoints.convert(tmp_path / "a.safetensors", tmp_path / "b.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "b.pt"]


def test_a_writer_that_dies_leaves_nothing(tmp_path, tiny, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganinv.checkpoints.native.save_file", fail)
    monkeypatch.setattr("ganinv.checkpoints.nvlabs.NvidiaPickler.dump", fail)
    monkeypatch.setattr("torch.save", fail)
    for suffix in FORMATS.values():
        path = tmp_path / f"a{suffix}"
        with pytest.raises(GanInvError, match="No space left"):
            checkpoints.save(path, checkpoints.Checkpoint(tiny), **options(path))
    assert list(tmp_path.iterdir()) == []


def test_save_by_name(tmp_path, tiny, same):
    checkpoints.save(tmp_path / "snapshot.bin", checkpoints.Checkpoint(tiny), format="nvlabs")
    assert (tmp_path / "snapshot.bin").read_bytes()[:1] == b"\x80"
    assert checkpoints.load(tmp_path / "snapshot.bin").format == "nvlabs"
    with pytest.raises(ValueError, match="format"):
        checkpoints.save(tmp_path / "x.pt", checkpoints.Checkpoint(tiny), format="onnx")


def test_which_generator(tiny):
    other = Generator(**tiny["G_ema"].config)
    assert checkpoints.Checkpoint({"G": other, "G_ema": tiny["G_ema"]}).G is tiny["G_ema"]
    assert checkpoints.Checkpoint({"G": other}).G is other
    assert checkpoints.Checkpoint({"G": other}).D is None
    with pytest.raises(GanInvError, match="no generator"):
        _ = checkpoints.Checkpoint({}).G


@pytest.mark.parametrize("name", ["a.safetensors", "a.pkl", "a.pt", "a"])
def test_what_is_no_checkpoint(tmp_path, name):
    path = tmp_path / name

    def error(call=checkpoints.load):
        with pytest.raises(GanInvError) as caught:
            call(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        return message

    for call in (checkpoints.load, checkpoints.detect, checkpoints.inspect):
        path.unlink(missing_ok=True)
        assert "no such file" in error(call)
        path.mkdir()
        assert "folder" in error(call)
        path.rmdir()
        path.write_bytes(b"")
        assert "empty" in error(call)
        path.write_bytes(b"\n<!DOCTYPE html><html>Quota exceeded</html>")
        assert "web page" in error(call)
        if call is checkpoints.detect:  # which looks at the beginning only
            continue
        for content in (
            b"hello, world\n" * 10,
            bytes(1000),
            bytes(range(256)),
            b"\x80",
            b"PK\x03\x04",
            b"{}",
            b"\x89PNG\r\n\x1a\n",
        ):
            path.write_bytes(content)
            error(call)
