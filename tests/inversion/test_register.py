"""A method is added by writing its file: this one. Nothing else has to know of it."""

import json
from dataclasses import dataclass

import pytest
import torch
from typer.testing import CliRunner

import ganinv
from ganinv.checkpoints import save_native
from ganinv.cli import app
from ganinv.inversion import METHODS, Inversion, method
from ganinv.inversion.register import ENCODER, SEARCH, Method, of_kind
from ganinv.photos import save_png
from ganinv.run import Loop
from ganinv.stylegan2.controls import Controls
from ganinv.training.recipes import RECIPES


@dataclass(frozen=True)
class Tint:
    """The average face in the photo's mean colour.

    Attributes:
        strength: how much of it.
    """

    strength: float = 1.0


@pytest.fixture
def tint():
    """The toy method, registered for one test: it adds the photo's mean to the feature maps of one layer."""
    before = dict(METHODS)

    def inverted(inversion, ws, styles):
        """An edited image gets the negative colour."""
        return Controls({key: -tensor for key, tensor in inversion.controls.items()})

    @method("tint", Tint(), "colour the average face", SEARCH, adapt=inverted)
    def tint(gan, target, config=None, callback=None, resume=None):
        G = gan.G
        ws, shift = G.mapping.w_avg.repeat(len(target), G.num_ws, 1), torch.zeros(len(target), 16, 8, 8)
        history = []
        for step in (loop := Loop("tint", 1, callback, resume, shift=shift, history=history)):
            shift += config.strength * target.mean()
            history += [{"photo": i, "step": step, "mse": 0.0} for i in range(len(target))]
            loop.report(mse=0.0)
        controls = Controls.of(fusion={"b8.conv0": (torch.zeros_like(shift), shift)})
        return Inversion("tint", gan, target, ws, controls, history=history, config={"strength": config.strength})

    yield tint
    for name in METHODS.keys() - before.keys():
        del METHODS[name]


def test_python_knows_it(tint, tiny_bundle, tiny_targets, tmp_path):
    result = ganinv.invert(tiny_targets, tiny_bundle, "tint")
    assert len(result.scores_each) == 2
    loaded = Inversion.load(result.save(tmp_path), tiny_bundle)
    assert torch.equal(loaded.image, result.image)
    assert torch.equal(result[1].image, result.image[1:])


def test_an_edit_is_drawn_as_the_method_says(tint, tiny_bundle, tiny_targets):
    result = ganinv.invert(tiny_targets, tiny_bundle, "tint")
    assert torch.equal(result.render(result.ws), result.image)
    ws = result.ws + 0.1
    assert not torch.allclose(result.render(ws), result.draw(ws), atol=1e-3)
    gain, shift = result.fusion["b8.conv0"]
    for i in range(2):
        by_hand = tiny_bundle.G.synthesis(ws[i : i + 1], fusion={"b8.conv0": (-gain[i : i + 1], -shift[i : i + 1])})
        assert torch.equal(result.render(ws)[i : i + 1], by_hand)


def test_the_command_knows_it(tint, tiny_bundle, tiny_targets, tmp_path):
    save_native(tmp_path / "tiny.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    save_png(tmp_path / "photo.png", tiny_targets[:1])
    run = CliRunner()
    assert "colour the average face" in run.invoke(app, ["methods", "--json"]).output
    arguments = [str(tmp_path / "photo.png"), "-m", str(tmp_path / "tiny.safetensors"), "--align", "none", "-q"]
    said = run.invoke(app, ["invert", *arguments, "-M", "tint", "--set", "strength=2", "-o", str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    assert json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))["method"] == "tint"
    said = run.invoke(
        app, ["compare", *arguments, "--methods", "tint", "--samples", "0", "-o", str(tmp_path / "table")]
    )
    assert said.exit_code == 0, said.output
    assert "tint" in (tmp_path / "table/results.csv").read_text(encoding="utf-8")


def test_a_name_is_taken_once(tint):
    with pytest.raises(ValueError, match="already is a method 'psp'"):
        method("psp", Tint(), "", SEARCH)(lambda: None)


def test_what_methods_say_of_themselves(tint):
    assert of_kind(ENCODER) == ("psp", "e4e")
    assert of_kind(SEARCH)[-1] == "tint"
    assert {name for name, entry in METHODS.items() if entry.recipe} == RECIPES.keys()
    assert all(isinstance(entry, Method) and entry.summary for entry in METHODS.values())
