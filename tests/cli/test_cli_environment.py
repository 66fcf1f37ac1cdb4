"""The command in the surroundings that users have: locales, file names, exported settings, homes that cannot be written, disks that are full."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from ganinv import cli
from ganinv.checkpoints import save_native
from ganinv.photos import save_png

PROJECT = [
    "--align",
    "none",
    "--method",
    "projection-wplus",
    "--steps",
    "2",
    "--set",
    "perceptual_weight=0",
    "--set",
    "w_avg_samples=100",
]
TRICKY = ["Frédéric.png", "[b].png", os.fsdecode(b"caf\xe9.png")]


@pytest.fixture
def files(tmp_path, tiny_bundle, tiny_targets):
    """The tiny model as a file, and photos with names that are not plain."""
    save_native(tmp_path / "tiny.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    for name in TRICKY:
        save_png(tmp_path / "photos" / "x.png", tiny_targets[0])
        try:
            (tmp_path / "photos" / "x.png").rename(tmp_path / "photos" / name)
        except OSError:
            pytest.skip("this file system takes no names but UTF-8")
    return tmp_path


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def ganinv(*arguments, cwd, **environment):
    """The command in a process of its own; what is ``None`` in the environment is not there."""
    wanted = {"PYTHONUTF8": "0", "TMPDIR": str(cwd), **environment}
    env = {key: value for key, value in {**os.environ, **wanted}.items() if value is not None}
    command = [sys.executable, "-m", "ganinv", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, timeout=300)


SURROUNDINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    "no home": {
        "HOME": "/dev/null",
        "MPLBACKEND": "module://of.a.notebook",
        "GANINV_CACHE": None,
        "XDG_CACHE_HOME": None,
    },
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_every_photo_is_inverted_whatever_its_name(files, surroundings):
    names = [f"photos/{name}" for name in TRICKY]
    done = ganinv("invert", *names, "--model", "tiny.safetensors", *PROJECT, cwd=files, **SURROUNDINGS[surroundings])
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    reports = {
        path.name: json.loads((path / "report.json").read_text(encoding="utf-8"))
        for path in (files / "inverted").iterdir()
    }
    assert {report["photo"] for report in reports.values()} == {
        "photos/Frédéric.png",
        "photos/[b].png",
        "photos/caf\\xe9.png",
    }
    assert all((files / "inverted" / name / "comparison.png").stat().st_size for name in reports)
    assert b"[b].png" in done.stdout


@pytest.mark.parametrize("home", ["/dev/null", None])
def test_a_study_without_a_home_has_a_cache_among_the_temporary_files(files, home):
    surroundings = {
        **SURROUNDINGS["no home"],
        "PYTHONIOENCODING": "ascii",
        "HOME": home,
        "XDG_CACHE_HOME": None if home else "/dev/null/cache",
    }
    quick = [
        option
        for key in ("steps=1", "perceptual_weight=0", "w_avg_samples=50")
        for option in ("--config", f"projection-w.{key}")
    ]
    command = [
        "compare",
        "--set",
        "photos",
        "--methods",
        "projection-w",
        "--model",
        "tiny.safetensors",
        "--align",
        "none",
        "--samples",
        "0",
        *quick,
    ]
    done = ganinv(*command, "--images", "3", cwd=files, **surroundings)
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.decode().splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert "the cache, cannot be written" in notes[0]
    assert "GANINV_CACHE" in notes[0]
    assert len(list(files.glob("ganinv-*/studies/*.npz"))) == 1  # three photos of the same pixels are one task
    table = (files / "comparison" / "results.csv").read_text(encoding="utf-8")
    assert all(name in table for name in ("Frédéric.png", "[b].png", "caf\\xe9.png"))
    assert (files / "comparison" / "grid.png").is_file()


def test_json_is_json_on_every_terminal(files, tiny_bundle):
    save_native(files / "named.safetensors", {"G_ema": tiny_bundle.G}, metadata={"licence": "frei für alle"})
    done = ganinv("inspect", "named.safetensors", "--json", cwd=files, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metadata"]["licence"] == "frei für alle"
    assert ganinv("inspect", "named.safetensors", cwd=files, PYTHONIOENCODING="ascii").returncode == 0


# --- what goes wrong after the work -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(run, files, tmp_path, tiny_targets):
    """``ganinv invert`` of two photos."""
    for name, target in zip(("first", "second"), tiny_targets, strict=True):
        save_png(tmp_path / f"{name}.png", target)
    return lambda *arguments: run(
        *(
            "invert",
            tmp_path / "first.png",
            tmp_path / "second.png",
            "--model",
            tmp_path / "tiny.safetensors",
            *PROJECT,
        ),
        *("--out", tmp_path / "out", *arguments),
    )


def once(function, error):
    """``function``, but its first call raises ``error``."""
    calls = []

    def replaced(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return function(*arguments, **options)

    return replaced


def test_a_comparison_that_cannot_be_drawn_costs_itself_alone(two, tmp_path, monkeypatch):
    from ganinv import plots

    (tmp_path / "out" / "first").mkdir(parents=True)
    (tmp_path / "out" / "first" / "comparison.png").write_bytes(b"of an earlier run")
    monkeypatch.setattr("ganinv.plots.compare", once(plots.compare, RuntimeError("no font\nat all")))
    result = two()
    assert result.exit_code == 1
    assert (
        "first/comparison.png could not be drawn (RuntimeError: no font): the other results are there" in result.stderr
    )
    assert "Traceback" not in result.output
    first, second = ({path.name for path in (tmp_path / "out" / name).iterdir()} for name in ("first", "second"))
    assert second - first == {"comparison.png"}
    assert first >= {"clone.json", "clone.safetensors", "reconstruction.png", "report.json"}


@pytest.mark.parametrize(
    "error", [RuntimeError("broken weights"), OSError(28, "No space left on device"), MemoryError()]
)
def test_scores_that_fail_cost_that_photo_and_keep_its_state(two, tmp_path, monkeypatch, error):
    from ganinv import report

    monkeypatch.setattr("ganinv.report.make_report", once(report.make_report, error))
    result = two()
    assert result.exit_code == 1
    assert f"first.png failed ({type(error).__name__}" in result.stderr
    assert "what was computed is kept: the same command goes on from" in result.stderr
    assert result.stderr.strip().splitlines()[-1] == "error: 1 of 2 photos failed"
    assert [path.name for path in (tmp_path / "out" / "first").iterdir()] == ["resume.pt"]
    assert (tmp_path / "out" / "second" / "report.json").is_file()
    again = two()
    assert again.exit_code == 0
    assert "going on" in again.stderr


def test_a_grid_that_cannot_be_drawn_costs_itself_alone(run, files, tmp_path, monkeypatch):
    def broken(*arguments):
        raise ValueError("no font")

    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ganinv.study.table.grid", broken)
    options = [
        "--methods",
        "projection-w",
        "--model",
        files / "tiny.safetensors",
        "--profile",
        "fast",
        "--samples",
        "0",
        "--align",
        "none",
    ]
    result = run("compare", "--set", files / "photos", *options, "--out", tmp_path / "out", "--images", "1")
    assert result.exit_code == 1
    assert "grid.png could not be drawn (ValueError: no font): the other results are there" in result.stderr
    assert "projection-w" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.csv", "summary.json", "summary.md"}


def test_what_the_system_refuses_is_one_sentence(run, files, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    result = run(
        "train",
        "encoder",
        "psp",
        "--model",
        files / "tiny.safetensors",
        "--out",
        tmp_path / "file" / "out",
        "--steps",
        "1",
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert str(tmp_path / "file") in result.stderr
    assert "Traceback" not in result.output


# --- names and folders ----------------------------------------------------------------------------------------------------------------------


def test_a_folder_does_not_shadow_a_photo_that_ships(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["invert", "grace_hopper", "eileen_collins", "--method", "psp", "--out", "."]
    for _ in range(2):
        result = run(*command)
        assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "grace_hopper" / "reconstruction.png") as picture:
        assert picture.size == (64, 64)
