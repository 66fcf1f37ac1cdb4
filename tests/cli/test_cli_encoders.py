"""``ganinv train encoder``, and what takes its files."""

import json
import signal

import numpy as np
import pytest
from typer.testing import CliRunner

import ganinv
from ganinv import cli
from ganinv.checkpoints import save_native
from ganinv.encoders.weights import load_encoder
from ganinv.photos import save_png
from ganinv.training.recipes import RECIPES

QUICK = ["--steps", "3", "--batch", "2", "--set", "seen=0", "--quiet"]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_bundle, tiny_targets):
    """The tiny model as a file, which comes without training images and encoders, and a photo."""
    folder = tmp_path_factory.mktemp("encoders")
    save_native(folder / "tiny.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    save_png(folder / "photo.png", tiny_targets[:1])
    return folder


def train(run, files, out, method, *more):
    return run("train", "encoder", method, "--model", files / "tiny.safetensors", "--out", out, *QUICK, *more)


def test_train_one_and_use_it(run, files, tmp_path):
    result = train(run, files, tmp_path / "encoders", "psp")
    assert result.exit_code == 0, result.output
    path = tmp_path / "encoders" / "psp.safetensors"
    assert {p.name for p in path.parent.iterdir()} == {"psp.safetensors", "psp.json"}
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["config"]["steps"] == 3
    inverted = run(
        "invert", files / "photo.png", "--model", files / "tiny.safetensors", "--align", "none", "--method", "psp", "--set", f"encoder={path}",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert inverted.exit_code == 0, inverted.output
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["method"] == "psp"


def test_each_method_can_be_trained(run, files, tmp_path):
    for method, recipe in RECIPES.items():
        start = ["--start", tmp_path / f"{recipe.start}.safetensors"] if recipe.start else []
        result = train(run, files, tmp_path, method, *start)
        assert result.exit_code == 0, result.output
        assert load_encoder(tmp_path / f"{method}.safetensors").card["method"] == method


def test_psp_can_take_the_trunk_of_another(run, files, tmp_path):
    """With ``--start`` the trunk is another encoder's, as ReStyle's is: the first step of training finds it there."""
    assert train(run, files, tmp_path, "psp").exit_code == 0
    given = load_encoder(tmp_path / "psp.safetensors").trunk.state_dict()
    still = ["--start", tmp_path / "psp.safetensors", "--set", "lr=0"]
    assert train(run, files, tmp_path / "taken", "psp", *still).exit_code == 0
    assert train(run, files, tmp_path / "random", "psp", "--set", "lr=0").exit_code == 0
    taken, random = (
        load_encoder(tmp_path / name / "psp.safetensors").trunk.state_dict() for name in ("taken", "random")
    )
    weights = [name for name, tensor in given.items() if tensor.dim() == 4]
    assert all((taken[name] == given[name]).all() for name in weights)
    assert not any((random[name] == given[name]).all() for name in weights)


def test_real_images_from_a_file(run, files, tmp_path, monkeypatch):
    """``--data`` gives the images in place of those that ship; others than the generator's size are refused."""
    seen, look = [], ganinv.training.encoders.Batches.__init__
    monkeypatch.setattr(
        "ganinv.training.encoders.Batches.__init__",
        lambda self, gan, config: seen.append(gan.reference) or look(self, gan, config),
    )
    (tmp_path / "data").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "data" / "train.npy", images)
    assert train(run, files, tmp_path, "psp", "--data", tmp_path / "data").exit_code == 0
    assert np.array_equal(seen[0].numpy(), images)
    np.save(tmp_path / "small.npy", images[..., :16, :16])
    result = train(run, files, tmp_path, "psp", "--data", tmp_path / "small.npy")
    assert result.exit_code == 2
    assert "16 pixels wide, the generator's 32" in " ".join(result.output.replace("│", " ").split())


def test_it_goes_on_where_it_was_stopped(run, files, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train(run, files, whole, "psp").exit_code == 0
    draw, calls = ganinv.training.encoders.Batches.draw, []

    def draw_and_stop(self):
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return draw(self)

    with monkeypatch.context() as patch:
        patch.setattr("ganinv.training.encoders.Batches.draw", draw_and_stop)
        result = train(run, files, stopped, "psp")
    assert result.exit_code == 130
    assert "the same command goes on from" in result.stderr
    assert {p.name for p in stopped.iterdir()} == {"psp.resume.pt"}
    assert train(run, files, stopped, "psp").exit_code == 0
    a, b = (load_encoder(folder / "psp.safetensors").state_dict() for folder in (whole, stopped))
    assert all((a[name] == b[name]).all() for name in a)
    assert not (stopped / "psp.resume.pt").exists()


@pytest.mark.parametrize(
    ("method", "more", "code", "said"),
    [
        ("magic", [], 2, "choose from psp, e4e"),
        ("bdinvert", ["--start", "e4e"], 2, "starts from nothing"),
        ("psp", ["--set", "speed=3"], 2, "there is no setting 'speed'"),
        ("hfgi", [], 1, "tiny comes without the encoder 'e4e': train it with `ganinv train encoder e4e`"),
        ("hfgi", ["--start", "none.safetensors"], 1, "none.safetensors does not exist"),
    ],
)
def test_what_cannot_be_trained(run, files, tmp_path, method, more, code, said):
    result = train(run, files, tmp_path / "out", method, *more)
    assert result.exit_code == code
    assert said in " ".join(result.output.replace("│", " ").split())
    assert not list(tmp_path.glob("out/*"))


def test_a_first_code_by_another_method(run, files, tmp_path):
    """``--set initial=METHOD`` takes that method's settings, and only methods that can give a first code."""
    invert = [
        "invert",
        files / "photo.png",
        "--model",
        files / "tiny.safetensors",
        "--align",
        "none",
        "--out",
        tmp_path / "out",
        "--quiet",
    ]
    quick = [
        "--steps",
        "2",
        "--set",
        "initial=projection-w",
        "--set",
        "initial.steps=2",
        "--set",
        "initial.w_avg_samples=10",
    ]
    assert run(*invert, *quick).exit_code == 0
    assert (
        json.loads((tmp_path / "out" / "clone.json").read_text(encoding="utf-8"))["config"]["initial"]["space"] == "w"
    )
    wrong = run(*invert, "--set", "initial=pti")
    assert wrong.exit_code == 2
    assert "projection-z, projection-w, projection-wplus, restyle-psp, restyle-e4e" in " ".join(
        wrong.output.replace("│", " ").split()
    )


def test_what_stands_in_is_said(run, files, tmp_path):
    invert = [
        "invert",
        files / "photo.png",
        "--model",
        files / "tiny.safetensors",
        "--align",
        "none",
        "--out",
        tmp_path / "out",
    ]
    quick = ["--steps", "2", "--set", "initial.steps=2", "--set", "initial.w_avg_samples=10"]
    said = run(*invert, *quick).stderr
    assert "tiny comes without training images" in said
    assert "tiny comes without the encoder that finds a first code, so a projection does" in said
    said = run(
        *invert, *quick, "--reals", "generator", "--set", "initial=projection-w", "--set", "initial.steps=2"
    ).stderr
    assert "comes without" not in said
