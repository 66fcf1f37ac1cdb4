"""The comparison of methods: its numbers are those of its parts, nothing is worked out twice, and one failure is one failure."""

import csv
import dataclasses
import io
import itertools
import json
import math
import statistics

import numpy as np
import pytest
import torch
from PIL import Image

from ganinv import GanInvError
from ganinv.cache import CacheWarning
from ganinv.inversion import METHODS, PTI, Projection
from ganinv.perception.frechet import feature_statistics, frechet_distance, generator_statistics
from ganinv.perception.scores import scores
from ganinv.photos import from_uint8, to_uint8
from ganinv.settings import seeded, shortened
from ganinv.study import Study, Variant, compare
from ganinv.study.figure import grid
from ganinv.stylegan2.controls import Controls

COLUMNS = [
    "image",
    "method",
    "mse",
    "mse_own_noise",
    "psnr",
    "ssim",
    "perceptual_efficientnet-lite0",
    "seconds",
    "frechet_before",
    "frechet_after",
]


def test_rows_hold_the_scores_of_every_photo_and_method(tiny_bundle, photos, fakes):
    study = compare(tiny_bundle, photos, samples=12)
    assert [(row.image, row.method) for row in study.rows] == [(photo, name) for name in fakes for photo in photos]
    reference = feature_statistics(tiny_bundle.reference)
    before = frechet_distance(generator_statistics(tiny_bundle.G, 12), reference)
    for row in study.rows:
        result = fakes[row.method].function(tiny_bundle, photos[row.image], fakes[row.method].config)
        expected = scores(result.image, photos[row.image])
        assert (row.mse, row.psnr, row.ssim) == pytest.approx((expected["mse"], expected["psnr"], expected["ssim"]))
        assert row.perceptual == pytest.approx(expected["perceptual"]["efficientnet-lite0"])
        assert row.seconds == 1.0
        assert torch.equal(study.images[row.image, row.method], to_uint8(result.image))
        if row.method == "untuned":
            assert row.frechet_before is row.frechet_after is None
        else:
            assert row.frechet_before == pytest.approx(before)
            assert row.frechet_after == pytest.approx(
                frechet_distance(generator_statistics(result.generator, 12), reference)
            )
            assert row.frechet_after != row.frechet_before


def test_the_error_with_the_noise_swapped_back_has_a_column(tiny_bundle, photos, fakes, monkeypatch):
    """``noisy`` adds 1 to the finest noise map; nothing else of it differs from ``untuned``."""

    def noisy(gan, target, config, *arguments):
        result = fakes["untuned"].function.function(gan, target, config)
        result.controls = Controls.of(
            noise={name: m + (name == "b32.conv1") for name, m in gan.G.synthesis.noise().items()}
        )
        return result

    monkeypatch.setitem(METHODS, "noisy", dataclasses.replace(fakes["untuned"], function=noisy))
    study = compare(tiny_bundle, photos, methods=["untuned", "noisy"], samples=0)
    plain, tuned = study.rows[:2], study.rows[2:]
    assert [row.mse_own_noise for row in plain] == [row.mse for row in plain]
    assert [row.mse_own_noise for row in tuned] == pytest.approx([row.mse for row in plain])
    assert all(row.mse_own_noise != pytest.approx(row.mse, rel=1e-3) for row in tuned)
    assert study.summary()["methods"]["noisy"]["mse_own_noise"]["mean"] == pytest.approx(study.mean("untuned", "mse"))
    assert "| MSE, own noise |" in study.markdown()
    assert f"| {study.cell('noisy', 'mse', '.4f')} | {study.cell('untuned', 'mse', '.4f')} |" in study.markdown()


def test_whatever_is_registered_is_compared(tiny_bundle, photos, fakes, monkeypatch, moody):
    monkeypatch.setitem(
        METHODS, "an-encoder", dataclasses.replace(fakes["untuned"], summary="registered by a later chapter")
    )
    assert {row.method for row in compare(tiny_bundle, photos, samples=0).rows} == {"untuned", "tuned", "an-encoder"}


def test_means_and_spreads(tiny_bundle, photos, fakes):
    study = compare(tiny_bundle, photos, samples=0)
    a, b = study.column("untuned", "mse")
    facts = study.summary()["methods"]["untuned"]
    assert facts["mse"]["mean"] == pytest.approx((a + b) / 2)
    assert facts["mse"]["std"] == pytest.approx(statistics.stdev([a, b])) == pytest.approx(abs(a - b) / math.sqrt(2))
    assert f"{(a + b) / 2:.4f} ± {abs(a - b) / math.sqrt(2):.4f}" in study.markdown()
    one = compare(tiny_bundle, {"first": photos["first"]}, samples=0)
    assert one.summary()["methods"]["untuned"]["mse"] == {"mean": a, "std": None}
    assert f"| {a:.4f} |" in one.markdown()


def test_nothing_is_worked_out_twice(tiny_bundle, photos, fakes):
    first = compare(tiny_bundle, photos, samples=12)
    again = compare(tiny_bundle, photos, samples=12)
    assert [fakes[name].function.calls for name in fakes] == [2, 2]
    assert again.rows == first.rows
    assert again.summary() == first.summary()
    assert all(torch.equal(again.images[key], image) for key, image in first.images.items())


def test_what_changes_a_result_is_worked_out_again(
    tiny_bundle, another_bundle, make_bundle, photos, fakes, monkeypatch
):
    method = fakes["untuned"].function
    settings = dict(methods=["untuned"], samples=0)
    first = {"first": photos["first"]}
    compare(tiny_bundle, first, **settings)
    assert method.calls == 1
    compare(tiny_bundle, {"renamed": photos["first"]}, **settings)
    assert method.calls == 1  # a photo is its pixels
    compare(tiny_bundle, {"first": photos["first"] + 1 / 255}, **settings)
    compare(another_bundle, first, **settings)
    other_reals = make_bundle(0)
    other_reals.reference = 255 - other_reals.reference
    compare(other_reals, first, **settings)
    compare(
        tiny_bundle, first, configs={"untuned": dataclasses.replace(fakes["untuned"].config, shift=0.2)}, **settings
    )
    compare(tiny_bundle, first, methods=["untuned"], samples=5)
    assert method.calls == 6
    monkeypatch.setitem(METHODS, "alias", METHODS["untuned"])
    compare(tiny_bundle, first, methods=["alias"], samples=0)
    assert method.calls == 7


def test_a_damaged_file_of_the_cache_is_replaced(tiny_bundle, photos, fakes, tmp_path):
    whole = compare(tiny_bundle, photos, samples=0)
    for i, path in enumerate(sorted((tmp_path / "cache" / "studies").iterdir())):
        path.write_bytes([b"", b"junk", path.read_bytes()[:200], path.read_bytes()][i])
    assert compare(tiny_bundle, photos, samples=0).rows == whole.rows
    assert sum(fake.function.calls for fake in fakes.values()) == 4 + 3


def test_finished_tasks_survive_an_interrupt(tiny_bundle, photos, fakes):
    def stop(done, total, name):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(tiny_bundle, photos, samples=0, progress=stop)
    assert sum(fake.function.calls for fake in fakes.values()) == 3
    assert len(compare(tiny_bundle, photos, samples=0).rows) == 4
    assert sum(fake.function.calls for fake in fakes.values()) == 4


def test_one_failure_does_not_cost_the_others(tiny_bundle, fakes, monkeypatch, moody):
    monkeypatch.setitem(METHODS, "moody", dataclasses.replace(fakes["untuned"], function=moody))
    photos = {
        name: torch.full((1, 3, 32, 32), value) for name, value in (("light", 0.5), ("dark", -0.2), ("black", -0.9))
    }
    study = compare(tiny_bundle, photos, samples=0)
    assert len(study.rows) == 7
    dark, black = study.failures
    assert (dark.image, dark.variant, dark.reason) == ("dark", "moody", "this photo is too dark: use a lamp.")
    assert (black.image, black.reason) == ("black", "ZeroDivisionError: a bug")
    assert study.summary()["methods"]["moody"]["images"] == 1
    assert [failure["image"] for failure in study.summary()["failures"]] == ["dark", "black"]
    assert "- moody, dark: failed, this photo is too dark" in study.markdown()
    assert len(compare(tiny_bundle, photos, methods=["moody"], samples=0).failures) == 2  # tried again


def test_a_warning_is_kept_with_the_result(tiny_bundle, photos, fakes, monkeypatch):
    def worried(*arguments):
        result = fakes["untuned"].function(*arguments)
        result.warnings = ["it diverged."]
        return result

    monkeypatch.setitem(METHODS, "worried", dataclasses.replace(fakes["untuned"], function=worried))
    for _ in range(2):
        study = compare(tiny_bundle, photos, methods=["worried"], samples=0)
        assert [(warning.image, warning.reason) for warning in study.warnings] == [
            ("first", "it diverged."),
            ("second", "it diverged."),
        ]
    assert "- worried, second: it diverged." in study.markdown()
    assert len(study.summary()["warnings"]) == 2


def test_a_diverging_run_is_reported_once(tiny_bundle, photos, recwarn):
    config = Projection(space="w", steps=2, perceptual_weight=0.0, w_avg_samples=50)
    study = compare(tiny_bundle, photos, ["pti"], {"pti": PTI(steps=30, lr=1e3, pivot=config)}, samples=0)
    said = [(found.image, found.reason) for found in [*study.warnings, *study.failures]]
    assert [image for image, _ in said] == ["first", "second"]
    assert all("diverged" in reason for _, reason in said)
    assert not [warning for warning in recwarn if "diverged" in str(warning.message)]


def test_files(tiny_bundle, photos, fakes, tmp_path):
    study = compare(tiny_bundle, photos, samples=12, source="two patches", profile="fast")
    study.save(tmp_path / "out")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"results.csv", "summary.json", "summary.md", "grid.png"}
    rows = list(csv.DictReader(io.StringIO((out / "results.csv").read_text(encoding="utf-8"))))
    assert list(rows[0]) == COLUMNS
    assert [(row["image"], row["method"], float(row["mse"])) for row in rows] == [
        (row.image, row.method, row.mse) for row in study.rows
    ]
    assert (rows[0]["frechet_before"], rows[0]["frechet_after"]) == ("", "")
    assert float(rows[2]["frechet_after"]) == study.rows[2].frechet_after

    facts = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert facts == study.summary()
    assert (facts["set"], facts["profile"], facts["model_sha256"]) == ("two patches", "fast", tiny_bundle.sha256)
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["perceptual_trunk"] == "efficientnet-lite0"
    assert facts["frechet"]["samples"] == 12
    assert facts["methods"]["tuned"]["seed"] == 0
    assert facts["methods"]["tuned"]["config"]["stage"] == {"steps": 20, "seed": 5}
    page = (out / "summary.md").read_text(encoding="utf-8")
    assert "set: two patches; profile: fast" in page
    assert f"the untouched generator's is {facts['frechet']['before']:.1f}" in page
    with Image.open(out / "grid.png") as picture:
        assert "original" in picture.text["Description"]


def test_numbers_that_json_has_not(tiny_bundle, fakes, monkeypatch):
    black = torch.zeros(1, 3, 32, 32)

    def perfect(gan, target, config, *arguments):
        result = fakes["untuned"].function.function(gan, target, config)
        result.__dict__["image"] = target
        return result

    monkeypatch.setitem(METHODS, "perfect", dataclasses.replace(fakes["untuned"], function=perfect))
    study = compare(tiny_bundle, {"black": black, "grey": black + 0.5}, methods=["perfect"], samples=0)
    assert json.loads(json.dumps(study.summary(), allow_nan=False))["methods"]["perfect"]["psnr"] == {
        "mean": None,
        "std": None,
    }
    assert "| ∞ |" in study.markdown()
    assert study.csv().splitlines()[1].startswith("black,perfect,0.0,0.0,inf,")


def test_profiles(tiny_bundle, photos, fakes):
    fast = compare(tiny_bundle, photos, ["untuned"], profile="fast")
    assert fast.samples == 200
    config = fast.variants["untuned"].config
    assert (config.steps, config.stage.steps, config.seed, config.stage.seed) == (20, 20, 0, 5)
    mine = dataclasses.replace(fakes["untuned"].config, steps=33)
    assert (
        compare(tiny_bundle, photos, ["untuned"], {"untuned": mine}, profile="fast").variants["untuned"].config == mine
    )
    with pytest.raises(GanInvError, match="choose full or fast"):
        compare(tiny_bundle, photos, profile="quick")


@pytest.mark.parametrize("name", METHODS)
def test_every_real_configuration_can_be_shortened_and_seeded(name):
    def found(config, field):
        for key, value in dataclasses.asdict(config).items() if dataclasses.is_dataclass(config) else config.items():
            if isinstance(value, dict):
                yield from found(value, field)
            elif key == field:
                yield value

    config = METHODS[name].config
    short = shortened(config, 7)
    assert type(short) is type(config)
    assert all(steps <= 7 for steps in found(short, "steps"))
    assert set(found(seeded(config, 41), "seed")) <= {41}


def test_a_bundle_without_training_images_gets_stand_ins(make_bundle, photos, short_near_perfect):
    gan = make_bundle(0)
    gan.reference = None
    study = compare(gan, {"first": photos["first"]}, ["near-perfect"], {"near-perfect": short_near_perfect}, samples=8)
    assert study.failures == []
    assert study.variants["near-perfect"].config.reals == "generator"
    assert study.frechet["compared_with"] == "8 other samples of the untouched generator"


def test_real_methods(tiny_bundle, photos, short_configs_of_studies):
    study = compare(tiny_bundle, photos, configs=short_configs_of_studies, samples=8)
    assert study.failures == study.warnings == []
    assert {row.method for row in study.rows if row.frechet_after is not None} == {"pti", "near-perfect"}
    assert study.mean("near-perfect", "mse") < study.mean("projection-wplus", "mse")


@pytest.fixture
def short_configs_of_studies(short_near_perfect):
    quick = dict(perceptual_weight=0.0, w_avg_samples=50, optimise_noise=False)
    configs = {
        name: dataclasses.replace(shortened(method.config, 4), **quick)
        for name, method in METHODS.items()
        if "projection" in name
    }
    pivot = Projection(space="w", steps=2, **quick)
    return {
        **configs,
        "pti": dataclasses.replace(METHODS["pti"].config, steps=2, pivot=pivot),
        "near-perfect": short_near_perfect,
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(methods=["ipt"]), "no method 'ipt': choose from untuned, tuned"),
        (dict(methods=[]), "at least one method"),
        (dict(photos={}), "at least one photo"),
        (dict(samples=1), "at least two samples"),
        (dict(trunk="resnet"), "no perceptual trunk 'resnet'"),
        (dict(photos={"a": torch.zeros(1, 3, 8, 8)}), "images are 8 x 8"),
        (dict(backend="slurm://here"), "no backend 'slurm://here': use local, dask://HOST:PORT"),
        (dict(backend="dask"), "no backend 'dask'"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(tiny_bundle, photos, fakes, change, sentence):
    with pytest.raises(GanInvError, match=sentence):
        compare(tiny_bundle, **{"photos": photos, "samples": 0, **change})
    assert all(fake.function.calls == 0 for fake in fakes.values())


def test_a_cache_that_cannot_be_written_is_found_before_the_work(tiny_bundle, photos, fakes, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(GanInvError, match="GANINV_CACHE"):
        compare(tiny_bundle, photos, samples=0, cache=tmp_path / "file")
    assert all(fake.function.calls == 0 for fake in fakes.values())


def test_a_cache_that_fills_up_costs_no_result(tiny_bundle, photos, fakes, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganinv.study.tasks.np.savez_compressed", full)
    with pytest.warns(CacheWarning, match="cannot be kept any more in .*No space left on device.*GANINV_CACHE") as said:
        study = compare(tiny_bundle, photos, samples=0)
    assert len(said) == 1
    assert len(study.rows) == len(photos) * len(study.variants)


def test_progress_counts_tasks(tiny_bundle, photos, fakes):
    seen = []
    compare(tiny_bundle, photos, ["tuned"], samples=0, progress=lambda *values: seen.append(values))
    assert seen == [(0, 2, ""), (1, 2, "tuned, first"), (2, 2, "tuned, second")]
    seen.clear()
    compare(tiny_bundle, photos, samples=0, progress=lambda *values: seen.append(values))
    assert seen[0] == (2, 4, "")


def test_the_grid_shows_errors_on_one_scale(tiny_bundle):
    target = torch.zeros(1, 3, 32, 32)
    images = {("a", "near"): to_uint8(target + 0.1), ("a", "far"): to_uint8(target + 0.4)}
    figure = grid({"a": target}, ["near", "far", "missing"], images)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 5  # original, two reconstructions, two errors; the third column is empty
    near, far = (int(np.asarray(picture, dtype=int).sum(axis=-1).mean()) for picture in shown[-2:])
    assert near < far
    assert "magnified" in figure.alt_text
    assert from_uint8(images["a", "near"]).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("count", [2, 12])
def test_the_labels_of_the_grid_stand_apart(tiny_bundle, count):
    target = torch.zeros(1, 3, 32, 32)
    names = [name for name in ("projection-wplus", "restyle-e4e", "near-perfect", "bdinvert") for _ in range(3)][:count]
    figure = grid({"a": target}, names, {("a", name): to_uint8(target + 0.1) for name in names})
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(boxes) == count + 1
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert boxes[-1].x1 <= figure.bbox.x1
    assert axes.get_window_extent().width > 0.75 * figure.bbox.width  # and no empty border


def test_an_empty_study_has_no_numbers(tiny_bundle, photos):
    study = Study("compare", tiny_bundle, photos, {"a": Variant("pti", METHODS["pti"].config)}, "efficientnet-lite0", 0)
    assert "| a | 0 | – |" in study.markdown()
