"""The clone on disk: exact, small, and never a traceback."""

import dataclasses
import hashlib
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ganinv import GanInvError, Inversion
from ganinv.inversion.result import apply_clone, make_deltas
from ganinv.stylegan2.controls import Controls


@pytest.fixture(scope="module")
def result(tiny_bundle, tiny_targets):
    """A tuned inversion with noise, put together by hand."""
    random = torch.Generator().manual_seed(0)
    names = ["synthesis.b4.const", "synthesis.b8.conv0.weight"]
    parameters = dict(tiny_bundle.G.named_parameters())
    return Inversion(
        "by hand",
        tiny_bundle,
        tiny_targets,
        torch.randn(2, tiny_bundle.G.num_ws, 16, generator=random),
        Controls.of(
            noise={
                name: torch.randn(2, *m.shape[1:], generator=random)
                for name, m in tiny_bundle.G.synthesis.noise().items()
            },
            weights={name: torch.randn(2, *parameters[name].shape, generator=random).half() for name in names},
        ),
        initial=torch.zeros(1, 3, 32, 32).expand(2, -1, -1, -1),  # not contiguous, as some methods leave it
        history=[{"photo": i, "step": 0, "mse": 0.1 + i} for i in range(2)],
        seconds=3.0,
        config={"steps": 1},
    )


def test_its_repr_is_a_line(result):
    assert repr(result) == "Inversion('by hand', 2 photos, 'tiny0', tuned generator, 3.0 s)"
    assert "1 photo," in repr(result[0])


def test_the_error_with_the_noise_swapped_back(result, tiny_bundle):
    """The photos stay in the weights or in the maps: drawn by hand from each photo's clone with the untouched generator's maps."""
    own = {name: m.clone() for name, m in tiny_bundle.G.synthesis.noise().items()}
    for i, row in enumerate(result.scores_each):
        clone = apply_clone(tiny_bundle.G, result.deltas[i])
        assert all(torch.equal(m, own[name]) for name, m in clone.synthesis.noise().items())
        error = (clone.synthesis(result.ws[i : i + 1]).clamp(-1, 1) - result.target[i]).square().mean().item()
        assert row["mse_own_noise"] == pytest.approx(error, rel=1e-5)
        assert row["mse_own_noise"] != pytest.approx(row["mse"], rel=1e-3)
    assert result.scores["mse_own_noise"] == pytest.approx(sum(row["mse_own_noise"] for row in result.scores_each) / 2)
    assert all(torch.equal(m, own[name]) for name, m in tiny_bundle.G.synthesis.noise().items())


def test_without_tuned_noise_there_is_nothing_to_swap(result):
    plain = dataclasses.replace(result, controls=result.controls.without("noise"))
    assert plain.image_own_noise is plain.image
    assert all(row["mse_own_noise"] == row["mse"] for row in plain.scores_each)


@pytest.fixture
def folder(result, tmp_path):
    return result.save(tmp_path / "deep" / "clone")


def test_it_comes_back_bit_for_bit(result, folder, tiny_bundle):
    loaded = Inversion.load(folder, tiny_bundle)
    assert torch.equal(loaded.image, result.image)
    assert torch.equal(loaded.initial, result.initial)
    assert (loaded.method, loaded.history, loaded.seconds, loaded.config) == (
        result.method,
        result.history,
        result.seconds,
        result.config,
    )
    again = Inversion.load(loaded.save(folder.parent / "copy"), tiny_bundle)
    assert torch.equal(again.image, result.image)


def test_the_pictures_are_the_reconstructions(result, folder):
    for i in range(2):
        picture = torch.from_numpy(__import__("numpy").array(Image.open(folder / f"reconstruction-{i}.png"))).permute(
            2, 0, 1
        )
        expected = (result.image[i].clamp(-1, 1) * 127.5 + 127.5).round()
        assert torch.equal(picture.float(), expected)


def test_the_facts_are_readable(folder, tiny_bundle):
    facts = json.loads((folder / "clone.json").read_text(encoding="utf-8"))
    assert facts["model"] == "tiny0"
    assert facts["model_sha256"] == tiny_bundle.sha256
    assert facts["photos"] == 2
    assert facts["scores"].keys() == {"mse", "mse_own_noise", "psnr", "ssim", "perceptual"}


def test_only_what_changed_is_kept(result, folder, tiny_bundle):
    changed = sum(2 * delta.numel() for deltas in result.deltas for delta in deltas.values())
    rest = 4 * (result.ws.numel() + 2 * result.target.numel() + sum(maps.numel() for maps in result.noise.values()))
    assert (folder / "clone.safetensors").stat().st_size < changed + rest + 10_000


def test_saving_again_replaces(result, folder, tiny_bundle):
    result[0].save(folder)
    assert len(Inversion.load(folder, tiny_bundle)) == 1


def test_another_generator_is_refused(folder, another_bundle):
    with pytest.raises(GanInvError, match=r"clone of the generator 'tiny0' with other weights than 'tiny1'"):
        Inversion.load(folder, another_bundle)


@pytest.mark.parametrize("missing", ["clone.json", "clone.safetensors"])
def test_a_missing_file_is_named(folder, tiny_bundle, missing):
    (folder / missing).unlink()
    with pytest.raises(GanInvError, match=rf"holds no clone \({missing} is missing\)"):
        Inversion.load(folder, tiny_bundle)


def test_a_missing_folder_and_a_file_are_refused(tmp_path, tiny_bundle):
    with pytest.raises(GanInvError, match="holds no clone"):
        Inversion.load(tmp_path / "nothing", tiny_bundle)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(GanInvError, match=r"photo\.jpg"):
        Inversion.load(tmp_path / "photo.jpg", tiny_bundle)


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "empty":
        data = b""
    elif how == "cut":
        data = data[: len(data) // 2]
    elif how == "flipped":
        data[-100] ^= 1  # one bit of one weight
    else:
        data = b"\xff\xfe{[" + bytes(range(256))
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "nonsense"])
@pytest.mark.parametrize("file", ["clone.json", "clone.safetensors"])
def test_a_damaged_clone_is_one_sentence(folder, tiny_bundle, file, how):
    if (file, how) == ("clone.json", "flipped"):
        facts = json.loads((folder / file).read_text(encoding="utf-8"))
        facts["sha256"] = facts["sha256"][::-1]
        (folder / file).write_text(json.dumps(facts), encoding="utf-8")
    else:
        damage(folder / file, how)
    with pytest.raises(GanInvError, match=r"is damaged .*invert the photo again"):
        Inversion.load(folder, tiny_bundle)


@pytest.mark.parametrize("facts", ["[]", "3", "null", '"text"', "{}"])
def test_other_json_is_no_clone(folder, tiny_bundle, facts):
    (folder / "clone.json").write_text(facts, encoding="utf-8")
    with pytest.raises(GanInvError, match="is damaged"):
        Inversion.load(folder, tiny_bundle)


@pytest.mark.parametrize("key", ["method", "history", "seconds", "config", "model_sha256", "sha256"])
def test_a_missing_fact_is_one_sentence(folder, tiny_bundle, key):
    facts = json.loads((folder / "clone.json").read_text(encoding="utf-8"))
    del facts[key]
    (folder / "clone.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(GanInvError, match="is damaged"):
        Inversion.load(folder, tiny_bundle)


@pytest.mark.parametrize("version", [1, 3, "new", None])
def test_another_format_is_named(folder, tiny_bundle, version):
    facts = json.loads((folder / "clone.json").read_text(encoding="utf-8"))
    (folder / "clone.json").write_text(json.dumps({**facts, "format": version}), encoding="utf-8")
    with pytest.raises(
        GanInvError, match=rf"has format {version!r}, and this version of ganinv reads format 2: invert the photo again"
    ):
        Inversion.load(folder, tiny_bundle)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("weights/synthesis.b4.konst", (2, 16, 4, 4), "nothing that 'weights/synthesis.b4.konst' could control"),
        ("deltas/0/synthesis.b4.const", (16, 4, 4), "nothing that"),
        ("weights/synthesis.b4.const", (3, 16, 4, 4), r"should be \[2 or 1, 16, 4, 4\]"),
    ],
)
def test_tensors_of_other_names_and_shapes_are_named(folder, tiny_bundle, name, shape, said):
    """They are well-formed files, with a checksum of their own, that another program may have written."""
    tensors = load_file(folder / "clone.safetensors") | {name: torch.zeros(shape)}
    save_file(tensors, folder / "clone.safetensors")
    facts = json.loads((folder / "clone.json").read_text(encoding="utf-8"))
    facts["sha256"] = hashlib.sha256((folder / "clone.safetensors").read_bytes()).hexdigest()
    (folder / "clone.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(GanInvError, match=said):
        Inversion.load(folder, tiny_bundle)


def test_styles_are_drawn_in_place_of_those_of_the_code(result, tiny_bundle):
    """The space S: at the code's own styles the reconstruction, bit for bit; one channel moved, what the synthesis makes of it by hand."""
    synthesis = tiny_bundle.G.synthesis
    assert torch.equal(result[0].render(synthesis.styles(result.ws[:1])), result.image[:1])
    styles = synthesis.styles(result.ws)
    torch.testing.assert_close(result.render(styles), result.image, atol=1e-5, rtol=1e-5)
    moved = styles["b16.conv1"].clone()
    moved[:, 3] += 5
    edited = result.render({"b16.conv1": moved})
    assert (edited - result.image).abs().max() > 1e-3
    for i, G in enumerate(result.generators):
        assert torch.equal(edited[i : i + 1], G.synthesis(result.ws[i : i + 1], styles={"b16.conv1": moved[i : i + 1]}))


def test_a_folder_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(GanInvError, match=r"file/clone cannot be written.*another folder"):
        result.save(tmp_path / "file" / "clone")


def test_deltas_are_exactly_the_clone(tiny_bundle):
    G, tuned = tiny_bundle.G, apply_clone(tiny_bundle.G, {})
    with torch.no_grad():
        tuned.synthesis.b8.conv1.weight.add_(0.123456)
    deltas = make_deltas(G, tuned)
    assert deltas.keys() == {"synthesis.b8.conv1.weight"}  # what did not move is not kept
    clone = apply_clone(G, deltas)
    torch.testing.assert_close(clone.synthesis.b8.conv1.weight, tuned.synthesis.b8.conv1.weight, atol=1e-4, rtol=0)
    assert torch.equal(apply_clone(G, make_deltas(G, clone)).synthesis.b8.conv1.weight, clone.synthesis.b8.conv1.weight)
    assert not any(p.requires_grad for p in clone.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_deltas_that_float16_cannot_hold_are_refused(tiny_bundle, value):
    tuned = apply_clone(tiny_bundle.G, {})
    tuned.synthesis.b4.const.data[0, 0, 0] = value
    with pytest.raises(GanInvError, match="lower its learning rate"):
        make_deltas(tiny_bundle.G, tuned)


def test_noise_becomes_the_clones_constant_noise(result, tiny_bundle):
    for i, G in enumerate(result.generators):
        for name, maps in G.synthesis.noise().items():
            assert torch.equal(maps, result.noise[name][i : i + 1])
    assert not torch.equal(tiny_bundle.G.synthesis.b4.conv1.noise_const, result.noise["b4.conv1"][0, 0])
