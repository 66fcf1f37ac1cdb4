"""What every method has to do, whatever it does: the common interface, tested once over all of them."""

import dataclasses
import random
import signal
from collections import Counter

import numpy as np
import pytest
import torch

import ganinv
from ganinv import GanInvError, Inversion
from ganinv.inversion import METHODS, Projection, ReStyle, Resume
from ganinv.perception.features import EFFICIENTNET
from ganinv.photos import ImageWarning

every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def finished(tiny_bundle, tiny_targets, short_configs):
    """``finished(method)``: two photos inverted without interruption, and what the callback received. Computed once a method."""
    cache = {}

    def run(method):
        if method not in cache:
            seen = []
            cache[method] = (
                ganinv.invert(tiny_targets, tiny_bundle, method, short_configs[method], callback=seen.append),
                seen,
            )
        return cache[method]

    return run


def steps_of(config):
    """Steps of an optimisation, or passes of an encoder, or the passes and the steps that follow them."""
    passes = ReStyle(config.encoder).iterations if isinstance(config, Projection) and config.encoder else 0
    return passes + getattr(config, "steps", getattr(config, "iterations", 1))


def assert_same(a, b):
    """Two inversions are equal, bit for bit."""
    assert a.method == b.method
    for x, y in [(a.ws, b.ws), (a.image, b.image), (a.initial, b.initial), (a.target, b.target)]:
        assert torch.equal(x, y)
    assert a.history == b.history
    assert a.config == b.config
    assert a.warnings == b.warnings
    assert (a.noise is None) == (b.noise is None)
    for name in a.noise or {}:
        assert torch.equal(a.noise[name], b.noise[name])
    for ours, others in [(a.base, b.base), (a.fusion, b.fusion)]:
        assert (ours or {}).keys() == (others or {}).keys()
        for name, features in (ours or {}).items():
            assert all(torch.equal(x, y) for x, y in zip(features, others[name], strict=True))
    assert len(a.deltas) == len(b.deltas)
    for mine, theirs in zip(a.deltas, b.deltas, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@every_method
def test_result_has_the_promised_form(finished, tiny_bundle, tiny_targets, method):
    result, _ = finished(method)
    assert len(result) == 2
    assert result.method == method
    assert result.gan is tiny_bundle
    assert result.ws.shape == (2, tiny_bundle.G.num_ws, 16)
    assert result.image.shape == result.initial.shape == result.target.shape == tiny_targets.shape
    assert torch.equal(result.target, tiny_targets)
    assert not any(t.requires_grad for t in (result.ws, result.image, *(result.noise or {}).values()))
    assert result.seconds > 0
    assert result.history
    assert {row["photo"] for row in result.history} == {0, 1}
    assert all({"photo", "step"} < row.keys() for row in result.history)
    assert result.tuned == (method in ("pti", "near-perfect"))
    assert [G.config for G in result.generators] == [tiny_bundle.G.config] * 2


@every_method
def test_scores(finished, method):
    result, _ = finished(method)
    assert result.scores.keys() == {"mse", "mse_own_noise", "psnr", "ssim", "perceptual"}
    assert result.scores["perceptual"].keys() == {EFFICIENTNET}
    assert result.scores["mse"] == pytest.approx(
        (result.image.clamp(-1, 1) - result.target).square().mean().item(), rel=1e-5
    )
    assert len(result.scores_each) == 2
    assert result.scores["psnr"] == pytest.approx(sum(row["psnr"] for row in result.scores_each) / 2)
    assert (result.scores["mse_own_noise"] == result.scores["mse"]) == (result.noise is None)


@every_method
def test_it_comes_closer_to_the_photo(finished, method):
    result, _ = finished(method)
    before, after = ((image - result.target).square().mean().item() for image in (result.initial, result.image))
    assert after < before


@every_method
def test_the_reconstruction_is_what_the_clone_draws(finished, method):
    result, _ = finished(method)
    assert (result.base is not None, result.fusion is not None) == (method == "bdinvert", method == "hfgi")
    for i, G in enumerate(result.generators):
        alone = result[i]
        with torch.no_grad():
            assert torch.equal(
                G.synthesis(result.ws[i : i + 1], base=alone.base, fusion=alone.fusion), result.image[i : i + 1]
            )


@every_method
def test_other_codes_draw_other_images(finished, method):
    """``render`` is for edits: it draws the reconstruction from its own codes."""
    result, _ = finished(method)
    assert torch.equal(result.render(result.ws), result.image)
    edited = result.render(result.ws + 0.5)
    assert edited.shape == result.image.shape
    assert (edited - result.image).abs().max() > 0.01


@every_method
def test_the_callback_receives_every_step(finished, short_configs, method):
    _, seen = finished(method)
    stages = dict.fromkeys(progress.stage for progress in seen)
    for stage in stages:
        steps = [progress.step for progress in seen if progress.stage == stage]
        total = {progress.steps for progress in seen if progress.stage == stage}
        assert steps == list(range(1, len(steps) + 1))
        assert total == {len(steps)}
    config = short_configs[method]
    before = getattr(config, "pivot", getattr(config, "initial", None))
    photo_by_photo = before is not None or method == "ensemble"  # the start together, where there is one
    assert len(seen) == (steps_of(before) if before else 0) + (2 if photo_by_photo else 1) * steps_of(config)
    assert all(isinstance(value, float) for progress in seen for value in progress.values.values())
    # values of their own, not one dict for all
    assert len({tuple(progress.values.items()) for progress in seen}) > len(seen) / 2


@every_method
def test_history_has_a_row_for_each_photo_and_step(finished, short_configs, method):
    result, _ = finished(method)
    rows = Counter((row["photo"], row["step"]) for row in result.history)
    assert set(rows.values()) == {1}
    assert {photo for photo, _ in rows} == {0, 1}
    assert {step for _, step in rows} <= set(range(steps_of(short_configs[method])))
    if method != "near-perfect":  # where a step without photo and without discriminator has no row
        assert len(rows) == 2 * steps_of(short_configs[method])


@every_method
def test_a_batch_gives_what_single_photos_give(finished, tiny_bundle, tiny_targets, short_configs, method):
    together, _ = finished(method)
    for i in range(2):
        alone = ganinv.invert(tiny_targets[i : i + 1], tiny_bundle, method, short_configs[method])
        # Adam divides gradients by their size, which magnifies rounding wherever they are almost zero.
        torch.testing.assert_close(together.image[i : i + 1], alone.image, atol=0.02, rtol=0)
        torch.testing.assert_close(together.ws[i : i + 1], alone.ws, atol=0.02, rtol=0)
        assert (together.image[1 - i] - alone.image).abs().max() > 0.15  # they are two different photos


@every_method
def test_a_second_call_gives_the_same(finished, tiny_bundle, tiny_targets, short_configs, method):
    torch.manual_seed(7)  # nothing depends on the global state
    assert_same(ganinv.invert(tiny_targets, tiny_bundle, method, short_configs[method]), finished(method)[0])


@every_method
def test_the_global_random_state_is_left_alone(tiny_bundle, tiny_targets, short_configs, method):
    before = torch.random.get_rng_state()
    others = random.getstate(), repr(np.random.get_state())
    ganinv.invert(tiny_targets[:1], tiny_bundle, method, short_configs[method])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (random.getstate(), repr(np.random.get_state())) == others


@every_method
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(finished, tiny_bundle, tiny_targets, short_configs, method, mode):
    with mode():
        target = tiny_targets.double().clone()  # in inference mode a tensor of its kind; and not float32
        gan = dataclasses.replace(tiny_bundle)  # without what has been computed from it
        result = METHODS[method].function(gan, target, short_configs[method])
        assert torch.is_grad_enabled() is False
        assert result.target.dtype == result.image.dtype == torch.float32
    assert_same(result, finished(method)[0])


@every_method
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    finished, tiny_bundle, tiny_targets, short_configs, tmp_path, method
):
    whole, seen = finished(method)
    stop = max(1, len(seen) // 2)
    resume, handler = tmp_path / "run.pt", signal.getsignal(signal.SIGINT)
    steps = []

    def press_ctrl_c(progress):
        steps.append(progress)
        if len(steps) == stop:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ganinv.invert(tiny_targets, tiny_bundle, method, short_configs[method], callback=press_ctrl_c, resume=resume)
    assert len(steps) == stop  # the step was finished, and none begun
    assert signal.getsignal(signal.SIGINT) is handler
    assert resume.is_file()
    assert list(tmp_path.iterdir()) == [resume]  # no temporary file

    rest = []
    result = ganinv.invert(
        tiny_targets, tiny_bundle, method, short_configs[method], callback=rest.append, resume=resume
    )
    assert_same(result, whole)
    assert [(p.stage, p.step, p.values) for p in [*steps, *rest]] == [(p.stage, p.step, p.values) for p in seen]
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(tmp_path.iterdir()) == []


@every_method
def test_interruptions_after_every_step(finished, tiny_bundle, tiny_targets, short_configs, tmp_path, method):
    """Each start makes exactly one, the first and last of every stage included."""
    whole, seen = finished(method)
    resume, starts = tmp_path / "run.pt", 0
    while True:
        try:
            starts += 1
            result = ganinv.invert(
                tiny_targets,
                tiny_bundle,
                method,
                short_configs[method],
                callback=lambda _: signal.raise_signal(signal.SIGINT),
                resume=resume,
            )
            break
        except KeyboardInterrupt:
            assert starts <= len(seen)
    assert starts == len(seen) + 1
    assert_same(result, whole)


@every_method
def test_a_run_that_crashed_goes_on_from_its_last_save(
    finished, tiny_bundle, tiny_targets, short_configs, tmp_path, method, monkeypatch
):
    whole, seen = finished(method)
    # saves after every step; the crash comes before it is done
    monkeypatch.setattr("ganinv.run.loop.SAVE_SECONDS", 0.0)
    steps, last = [], max(1, len(seen) - 2)

    def crash(progress):
        steps.append(progress)
        if len(steps) == last:
            raise MemoryError

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(MemoryError):
        ganinv.invert(
            tiny_targets, tiny_bundle, method, short_configs[method], callback=crash, resume=tmp_path / "run.pt"
        )
    assert signal.getsignal(signal.SIGINT) is handler
    rest = []
    result = ganinv.invert(
        tiny_targets, tiny_bundle, method, short_configs[method], callback=rest.append, resume=tmp_path / "run.pt"
    )
    assert_same(result, whole)
    assert len(rest) == len(seen) - (last - 1)


@every_method
def test_another_run_ignores_the_file(finished, tiny_bundle, tiny_targets, short_configs, tmp_path, method):
    resume, steps = tmp_path / "run.pt", []

    def press_ctrl_c(progress):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ganinv.invert(
            tiny_targets.flip(3), tiny_bundle, method, short_configs[method], callback=press_ctrl_c, resume=resume
        )
    result = ganinv.invert(
        tiny_targets, tiny_bundle, method, short_configs[method], callback=steps.append, resume=resume
    )
    assert len(steps) == len(finished(method)[1])
    assert_same(result, finished(method)[0])


def test_what_identifies_a_run(tiny_bundle, another_bundle, tiny_targets, short_configs, finished, tmp_path):
    def name(gan=tiny_bundle, target=tiny_targets, method="pti", config=short_configs["pti"], start=None):
        return Resume.for_run(tmp_path / "none.pt", gan, target, method, config, start).fingerprint

    start, _ = finished("projection-w")
    others = [
        name(gan=another_bundle),
        name(gan=dataclasses.replace(tiny_bundle, D=another_bundle.D)),
        name(gan=dataclasses.replace(tiny_bundle, D=None)),
        name(gan=dataclasses.replace(tiny_bundle, reference=tiny_bundle.reference.flip(0))),
        name(gan=dataclasses.replace(tiny_bundle, reference=None)),
        name(target=tiny_targets + 1e-6),
        name(target=tiny_targets[:1]),
        name(method="near-perfect"),
        name(config=METHODS["pti"].config),
        name(start=start),
        name(start=dataclasses.replace(start, ws=start.ws + 1e-6)),
    ]
    assert name() == name()
    assert name(start=start) == name(start=start)
    assert len({name(), *others}) == 1 + len(others)


@every_method
def test_no_method_touches_the_bundle(tiny_bundle, tiny_targets, short_configs, weights_of, method):
    before = weights_of(tiny_bundle.G, tiny_bundle.D), tiny_bundle.reference.clone()
    result = ganinv.invert(tiny_targets[:1], tiny_bundle, method, short_configs[method])
    _ = result.image, result.scores
    assert weights_of(tiny_bundle.G, tiny_bundle.D) == before[0]
    assert torch.equal(tiny_bundle.reference, before[1])
    assert not any(
        p.requires_grad or p.grad is not None for net in (tiny_bundle.G, tiny_bundle.D) for p in net.parameters()
    )
    assert not tiny_bundle.G.training


@every_method
def test_nan_is_refused(tiny_bundle, tiny_targets, short_configs, method):
    photo = tiny_targets.clone()
    photo[1, 0, 3, 3] = float("nan")
    with pytest.raises(GanInvError, match="NaN"):
        ganinv.invert(photo, tiny_bundle, method, short_configs[method])


@every_method
def test_another_resolution_is_refused_with_the_cure(tiny_bundle, short_configs, method):
    with pytest.raises(GanInvError, match=r"16 x 16, but the generator makes 32 x 32.*load_target\(path, 32\)"):
        ganinv.invert(torch.zeros(1, 3, 16, 16), tiny_bundle, method, short_configs[method])


@every_method
def test_pixels_from_0_to_255_are_refused_and_those_from_0_to_1_noticed(
    tiny_bundle, tiny_targets, short_configs, method
):
    config = short_configs[method]
    with pytest.raises(
        GanInvError, match=r"run from .* to 2\d\d, but \[-1, 1\] is expected; bytes become that by from_uint8"
    ):
        ganinv.invert(tiny_targets * 127.5 + 127.5, tiny_bundle, method, config)
    with pytest.warns(
        ImageWarning,
        match=r"run from 0.* to .*, but \[-1, 1\] is expected; if they are in \[0, 1\], give 2 \* images - 1",
    ):
        ganinv.invert((tiny_targets[:1] + 1) / 2, tiny_bundle, method, config)


@every_method
def test_bytes_are_refused(tiny_bundle, short_configs, method):
    with pytest.raises(GanInvError, match="float in"):
        ganinv.invert(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), tiny_bundle, method, short_configs[method])


@every_method
def test_saved_and_loaded_it_is_the_same(finished, tiny_bundle, tmp_path, method):
    result, _ = finished(method)
    loaded = Inversion.load(result.save(tmp_path / "clone"), tiny_bundle)
    assert_same(loaded, result)
    assert loaded.scores == result.scores
    assert loaded.seconds == result.seconds
    files = {path.name for path in (tmp_path / "clone").iterdir()}
    assert files == {"clone.json", "clone.safetensors", "reconstruction-0.png", "reconstruction-1.png"}


@every_method
def test_the_photos_can_be_taken_apart(finished, tiny_bundle, tmp_path, method):
    result, _ = finished(method)
    for i, alone in enumerate(result):
        assert len(alone) == 1
        assert torch.equal(alone.image, result.image[i : i + 1])
        assert torch.equal(alone.target, result.target[i : i + 1])
        assert torch.equal(alone.initial, result.initial[i : i + 1])
        assert alone.generator is alone.generators[0]
        assert alone.scores["mse"] == result.scores_each[i]["mse"]
        assert alone.history == [row | {"photo": 0} for row in result.history if row["photo"] == i]
        assert alone[0].history == alone.history
        assert_same(Inversion.load(alone.save(tmp_path / str(i)), tiny_bundle), alone)
        assert (tmp_path / str(i) / "reconstruction.png").is_file()
    assert torch.equal(result[-1].ws, result[1].ws)
    with pytest.raises(IndexError):
        result[2]
    with pytest.raises(ValueError, match="use `generators"):
        _ = result.generator
