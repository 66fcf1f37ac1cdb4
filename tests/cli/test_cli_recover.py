"""``ganinv recover`` and ``ganinv study recovery``: what they write, say and refuse."""

import json

import pytest
from typer.testing import CliRunner

from ganinv import cli
from ganinv.checkpoints import save_native
from ganinv.inverse import SOLVERS
from ganinv.photos import save_png

QUICK = ["--set", "steps=3"]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_bundle, tiny_targets):
    folder = tmp_path_factory.mktemp("recover")
    save_native(folder / "tiny.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    for name, target in zip(("first", "second"), tiny_targets, strict=True):
        save_png(folder / "photos" / f"{name}.png", target)
    return folder


@pytest.fixture
def recover(run, files, tmp_path):
    def call(*arguments, photos=("first",)):
        chosen = [files / "photos" / f"{name}.png" for name in photos]
        options = ["--model", files / "tiny.safetensors", "--out", tmp_path / "out", "--align", "none"]
        return run("recover", *chosen, *options, *arguments)

    return call


def test_help_names_every_solver_and_problem(run):
    page = run("recover", "--help").output
    for name in (*SOLVERS, "gaussian:M", "inpaint:half", "fourier:SHARE"):
        assert name in page
    assert set(cli.recover.solver_names().split(", ")) == set(SOLVERS)


def test_what_is_written(recover, tmp_path):
    done = recover("--problem", "inpaint:half", "--solver", "csgm", *QUICK, "--noise", "0.01", "--seed", "4")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "recovered.png",
        "comparison.png",
        "restarts.png",
        "report.json",
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["problem"], report["solver"], report["measurements"], report["pixels"]) == (
        "inpaint:half",
        "csgm",
        1536,
        3072,
    )
    assert (report["noise"], report["seed"], report["config"]["seed"], report["config"]["steps"]) == (0.01, 4, 4, 3)
    assert 0 < report["misfit"] < report["scores"]["mse"]
    assert "inpaint:half (1,536 of 3,072 numbers) by csgm" in done.output
    assert recover("--solver", "lasso-dct", *QUICK).exit_code == 0
    assert not (tmp_path / "out" / "restarts.png").exists()  # of the run before


def test_several_photos_and_one_that_fails(recover, tmp_path):
    done = recover("--solver", "tv", *QUICK, photos=("first", "nobody", "second"))
    assert done.exit_code == 1
    assert "nobody.png" in done.output
    assert "1 of 3 photos failed" in done.output
    assert (tmp_path / "out" / "second" / "recovered.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--solver", "magic"], 2, "there is no solver 'magic'"),
        (["--problem", "mri"], 1, "there is no problem 'mri' for images of 32 x 32: choose from gaussian:M"),
        (["--set", "space=x"], 2, "space must be 'z', 'w' or 'w_plus'"),
    ],
)
def test_what_is_refused(recover, arguments, code, words):
    done = recover(*arguments)
    assert done.exit_code == code
    assert words in done.output


def test_the_study(run, files, tmp_path, monkeypatch):
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))
    options = [
        "--set",
        files / "photos",
        "--model",
        files / "tiny.safetensors",
        "--out",
        tmp_path / "out",
        "--align",
        "none",
    ]
    options += [
        "--profile",
        "fast",
        "--solvers",
        "csgm,lasso-dct",
        "--config",
        "csgm.steps=2",
        "--config",
        "lasso-dct.steps=2",
    ]
    done = run("study", "recovery", *options)
    assert done.exit_code == 0, done.output
    assert "csgm gaussian:1000" in done.output
    facts = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert facts["methods"]["csgm gaussian:100"]["config"]["steps"] == 2
    assert (tmp_path / "out" / "curves.png").is_file()
    refused = run("study", "recovery", *options, "--solvers", "magic")
    assert refused.exit_code == 2
    assert "there is no solver 'magic'" in refused.output
    assert run("study", "recovery", *options, "--config", "tv.steps=2").exit_code == 2
