"""``ganinv compare``, ``ganinv ablate`` and ``ganinv study edits``: what they write, say and refuse, and how they go on after an interrupt."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from ganinv import METHODS, cli
from ganinv.checkpoints import save_native
from ganinv.editing import Direction, save_direction
from ganinv.photos import save_png
from ganinv.settings import encoder_names

FILES = {"results.csv", "summary.json", "summary.md", "grid.png"}
FAST = ["--profile", "fast", "--samples", "4", "--align", "none"]
QUICK = [
    option
    for key in ("steps=2", "perceptual_weight=0", "w_avg_samples=50")
    for option in ("--config", f"projection-w.{key}")
]


@pytest.fixture
def run(monkeypatch):
    """Run the command in this process, on a terminal wide enough for its sentences."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_bundle, tiny_targets):
    """A folder with the tiny model as a file and a folder of two photos of its size."""
    folder = tmp_path_factory.mktemp("studies")
    save_native(folder / "tiny.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    save_native(folder / "lonely.safetensors", {"G_ema": tiny_bundle.G})
    for name, target in zip(("first", "second"), tiny_targets, strict=True):
        save_png(folder / "photos" / f"{name}.png", target)
    return folder


@pytest.fixture
def compare(run, files, tmp_path, monkeypatch):
    """``ganinv compare`` of the two photos with the tiny model into ``tmp_path / "out"``, with a cache of its own."""
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))

    def call(
        *arguments,
        methods="projection-w",
        photos=("--set", files / "photos"),
        model="tiny.safetensors",
        command="compare",
    ):
        chosen = ["--methods", methods] if command == "compare" else []
        return run(command, *photos, *chosen, "--model", files / model, "--out", tmp_path / "out", *FAST, *arguments)

    return call


def table(folder):
    with open(folder / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_compare_writes_what_it_promises(compare, tmp_path, files):
    result = compare(*QUICK, "--seed", "7")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert [(row["image"], row["method"]) for row in table(tmp_path / "out")] == [
        ("first.png", "projection-w"),
        ("second.png", "projection-w"),
    ]
    facts = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (facts["profile"], facts["set"]) == ("fast", str(files / "photos"))
    assert facts["methods"]["projection-w"]["config"]["steps"] == 2
    assert facts["methods"]["projection-w"]["seed"] == 7
    assert f"{float(facts['methods']['projection-w']['mse']['mean']):.4f} ± " in result.stdout
    assert "profile fast" in result.stdout
    assert str(tmp_path / "out" / "summary.md") in result.stdout
    assert compare(*QUICK, "--seed", "7", "--quiet").output == ""


def test_all_methods_of_any_chapter(compare, tmp_path):
    result = compare(methods="all", photos=("--set", "nowhere"))
    assert result.exit_code == 1
    assert result.stderr.strip().endswith(
        "error: nowhere is no set of photos: give heldout, real, or a folder of pictures."
    )
    few = [
        option
        for name in METHODS
        for option in ("--config", f"{name}.steps=1")
        if hasattr(METHODS[name].config, "steps")
    ]
    result = compare("--images", "1", *few, methods="all")
    assert result.exit_code == 0, result.output
    without = [
        name for name in METHODS if list(encoder_names(METHODS[name].config)) and name not in ("pti", "near-perfect")
    ]
    assert [row["method"] for row in table(tmp_path / "out")] == [name for name in METHODS if name not in without]
    sentence = f"left out, for want of encoders trained for tiny: {', '.join(without)}"
    assert sentence in " ".join(result.stdout.split())
    assert sentence in (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")


def test_a_method_asked_for_by_name_says_which_encoder_it_lacks(compare, tmp_path):
    result = compare(methods="psp")
    assert result.exit_code == 1
    assert "tiny comes without the encoder 'psp': train it with `ganinv train encoder psp`" in result.stderr
    assert not list(tmp_path.glob("out/*"))


def test_a_failing_method_and_a_broken_photo_are_one_sentence_each(compare, files, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"junk")
    photos = (files / "photos" / "first.png", tmp_path / "broken.png")
    result = compare(*QUICK, methods="projection-w, near-perfect", photos=photos, model="lonely.safetensors")
    assert result.exit_code == 1
    complaints = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(complaints) == 2
    assert "broken.png" in complaints[0]
    assert complaints[1].startswith(
        "error: near-perfect failed on first.png: near-perfect inversion needs the discriminator"
    )
    assert [row["method"] for row in table(tmp_path / "out")] == ["projection-w"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", "pti.steps=3"], "METHOD.KEY=VALUE, with one of projection-w"),
        (["--config", "projection-w.depth=3"], "there is no setting 'depth'"),
        (["--config", "projection-w.steps=many"], "a whole number is needed"),
        (["--methods", "ipt"], "there is no method 'ipt'"),
        (["--profile", "slow"], "slow"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_usage(compare, arguments, sentence):
    result = compare(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "--set" not in result.stderr


def test_photos_or_a_set(compare, files, run):
    for photos in ([], [files / "photos" / "first.png", "--set", "heldout"]):
        result = compare(photos=photos)
        assert result.exit_code == 2
        assert "give photos, or a set of them" in result.stderr
    unknown = compare("--backend", "slurm://here")
    assert unknown.exit_code == 1
    assert "no backend 'slurm://here'" in unknown.stderr


def test_ablate_reports_the_orderings(compare, tmp_path):
    settings = [
        "initial.steps=2",
        "initial.perceptual_weight=0",
        "initial.w_avg_samples=50",
        "steps=3",
        "global_interval=1",
    ]
    quick = [option for setting in settings for option in ("--config", setting)]
    result = compare(*quick, command="ablate")
    assert result.exit_code == 0, result.output
    assert len(table(tmp_path / "out")) == 8
    facts = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (facts["command"], facts["tuned"]) == ("ablate", "weights only")
    assert list(facts["methods"]) == ["full", "w/o L_recon", "w/o L_adv_local", "w/o L_global"]
    assert len(facts["orderings"]) == 6
    for ordering in facts["orderings"]:
        assert f"{ordering['verdict']}: {ordering['claim']} (on {ordering['agreeing']} of 2 photos)" in result.stdout
    with_noise = compare(*quick, "--tune-noise", "--images", "1", command="ablate")
    assert with_noise.exit_code == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["tuned"] == "weights and noise"


@pytest.fixture
def edits(run, files, tiny_bundle, tmp_path, monkeypatch):
    """``ganinv study edits`` of the two photos with a direction of the tiny model, whose images pass for faces."""
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ganinv.editing.measure.RESOLUTION", tiny_bundle.resolution)
    step = torch.nn.functional.normalize(torch.ones(tiny_bundle.G.w_dim), dim=0)
    path = save_direction(tmp_path / "smile.safetensors", Direction("smile", step, generator=tiny_bundle.sha256))
    options = ("--model", files / "tiny.safetensors", "--direction", path, "--samples", "2", "--strengths", "1")
    return lambda *arguments, out="out": run("study", "edits", *options, *FAST[:2], "--out", tmp_path / out, *arguments)


def test_edits_are_studied(edits, files, tmp_path):
    photos = ("--set", files / "photos", "--align", "none", "--methods", "projection-w")
    result = edits(*photos)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.csv", "summary.json", "summary.md"}
    assert [row["image"] for row in table(tmp_path / "out") if row["method"] == "projection-w"] == [
        name for name in ("first.png", "second.png") for _ in range(2)
    ]
    assert "projection-w" in result.stdout
    assert str(tmp_path / "out" / "summary.md") in result.stdout
    assert edits(*photos, "--quiet").output == ""


def test_what_a_study_of_edits_refuses(edits, files, tmp_path):
    assert "give photos, or a set of them" in edits().stderr
    (tmp_path / "file").write_bytes(b"")
    photo = files / "photos" / "first.png"
    result = edits(photo, "--align", "none", "--methods", "projection-w", out="file")
    assert result.exit_code == 1
    assert "choose another folder" in result.stderr
    assert not (tmp_path / "cache" / "edits").exists()  # found before the work
    failing = edits(photo, tmp_path / "none.png", "--align", "none", "--methods", "psp")
    assert failing.exit_code == 1
    assert [line.split(":")[0] for line in failing.stderr.splitlines()] == ["error"] * len(failing.stderr.splitlines())


def test_progress_is_for_terminals(compare, monkeypatch):
    assert "tasks" not in compare(*QUICK).stderr
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    assert "tasks" in compare(*QUICK).stderr


# The command in a process of its own that stands still in its third task until it gets the signal; two tasks are finished by then.
STOPS = """
import time
from ganinv.cli import main
from ganinv.run import Interrupt
from ganinv.run import Loop
handle, report, steps, got = Interrupt._handle, Loop.report, [], []
def note_and_handle(self, *arguments):
    got.append(1)
    handle(self, *arguments)
def report_and_wait(self, **values):
    report(self, **values)
    steps.append(1)
    if len(steps) == 5:
        print("ready", flush=True)
        deadline = time.monotonic() + 60
        while not got and time.monotonic() < deadline:
            time.sleep(0.01)
Interrupt._handle, Loop.report = note_and_handle, report_and_wait
main()
"""


def test_interrupted_study_goes_on(compare, files, tmp_path):
    quick = QUICK + [option.replace("projection-w.", "projection-wplus.") for option in QUICK]
    methods = "projection-w,projection-wplus"
    options = ["--model", files / "tiny.safetensors", "--set", files / "photos", *FAST, *quick, "--methods", methods]
    command = [sys.executable, "-c", STOPS, "compare", *map(str, options), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "2 of 4 tasks are kept: the same command goes on from there" in stderr
    assert "Traceback" not in stderr
    assert not list((tmp_path / "out").iterdir())
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "studies").iterdir()}
    assert len(kept) == 2
    assert compare(*quick, methods=methods).exit_code == 0
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "studies").iterdir()}
    assert len(after) == 4
    assert kept.items() <= after.items()
