import dataclasses
import json
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import ganinv
from ganinv import GanInvError
from ganinv.training import gan
from ganinv.training.gan import GanConfig, Stage, Start, Trainer, train

STEPS = 26  # of the tiny configuration


@pytest.fixture(autouse=True)
def short_history(monkeypatch):
    monkeypatch.setattr(gan, "HISTORY_STEPS", 4)


@pytest.fixture(scope="module")
def images(tiny_array):
    return tiny_array


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, images):
    """One whole run: the trainer, its folder and the losses of every step."""
    config = GanConfig(
        8,
        8,
        1,
        64,
        8,
        [Stage(8, 48, 0.05), Stage(16, 80, 0.1), Stage(32, 80, 0.2)],
        batch=8,
        r1_interval=4,
        ema_images=40,
        snapshot_images=40,
    )
    folder, losses = tmp_path_factory.mktemp("run"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan, "HISTORY_STEPS", 4)
        trainer = train(
            config, images, folder, lambda trainer, values: losses.append((trainer.stage.resolution, values))
        )
    return trainer, folder, losses


def everything(trainer):
    """All that training has computed, except the time it took."""
    state = {name: getattr(trainer, name).state_dict() for name in ("G", "D", "G_ema", "opt_G", "opt_D")}
    state["rng"] = trainer.rng.get_state()
    state["counters"] = [trainer.stage_index, trainer.stage_seen, trainer.seen, trainer.steps]
    state["history"] = [{key: value for key, value in row.items() if key != "seconds"} for row in trainer.history]
    state["sums"] = trainer.sums
    return state


def assert_same(a, b, path="state"):
    """Equal bit for bit, all the way down."""
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}.{i}")
    else:
        assert a == b, path


def test_three_stages(undisturbed, tiny_config, images):
    trainer, folder, losses = undisturbed
    assert trainer.config == tiny_config
    assert (trainer.seen, trainer.steps, len(losses)) == (208, STEPS, STEPS)
    assert [resolution for resolution, _ in losses] == [8] * 6 + [16] * 10 + [32] * 10
    assert trainer.G.img_resolution == trainer.G_ema.img_resolution == trainer.D.D.img_resolution == 32
    with torch.no_grad():
        image = trainer.G_ema(trainer.z_snapshot[:2])
    assert image.shape == (2, 3, 32, 32)
    assert image.isfinite().all()
    assert trainer.G.mapping.w_avg.abs().max() > 0
    fresh = Trainer(tiny_config, images, folder / "nowhere")
    assert not torch.equal(fresh.G.synthesis.b8.conv1.weight, trainer.G.synthesis.b8.conv1.weight)
    assert not torch.equal(trainer.G_ema.synthesis.b32.conv1.weight, trainer.G.synthesis.b32.conv1.weight)


def test_what_a_run_leaves_in_its_folder(undisturbed):
    trainer, folder, _ = undisturbed
    assert {path.name for path in folder.iterdir()} == {"checkpoint.pt", "history.json", "snapshots"}
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    assert history == trainer.history
    assert [row["images"] for row in history] == [32, 64, 96, 128, 160, 192]
    assert [row["resolution"] for row in history] == [8, 16, 16, 16, 32, 32]
    assert all(np.isfinite(list(row.values())).all() for row in history)
    snapshots = {path.stem: np.load(path) for path in sorted((folder / "snapshots").iterdir())}
    assert list(snapshots) == ["0000040", "0000080", "0000120", "0000160", "0000200", "0000208"]
    assert [s.shape for s in snapshots.values()] == [(64, 3, r, r) for r in (8, 16, 16, 32, 32, 32)]
    assert all(s.dtype == np.uint8 for s in snapshots.values())
    assert not np.array_equal(snapshots["0000160"], snapshots["0000208"])


def test_history_rows_are_means(undisturbed):
    trainer, _, losses = undisturbed
    for i, row in enumerate(trainer.history):
        for key in losses[0][1]:
            assert row[key] == pytest.approx(np.mean([values[key] for _, values in losses[4 * i : 4 * i + 4]]))


def test_new_blocks_fade_in(undisturbed):
    """Over the first quarter of a stage, 20 of 80 images; the first stage has nothing to fade."""
    alphas = [values["alpha"] for _, values in undisturbed[2]]
    assert alphas[:6] == [1.0] * 6
    for start in (6, 16):
        assert alphas[start : start + 10] == pytest.approx([0.0, 0.4, 0.8, *[1.0] * 7])


def test_the_same_seed_gives_the_same_run(undisturbed, tiny_config, images, tmp_path):
    torch.manual_seed(99)
    assert_same(everything(train(tiny_config, images, tmp_path)), everything(undisturbed[0]))
    a, b = (Trainer(dataclasses.replace(tiny_config, seed=seed), images, tmp_path) for seed in (0, 1))
    assert not torch.equal(a.G.synthesis.b4.const, b.G.synthesis.b4.const)
    assert not torch.equal(a.reals(), b.reals())


@pytest.mark.parametrize("at", [6, 7, 13, STEPS], ids=["end of a stage", "start of a stage", "middle", "last"])
def test_an_interrupted_run_ends_like_an_undisturbed_one(undisturbed, tiny_config, images, tmp_path, at):
    steps, handler = [], signal.getsignal(signal.SIGINT)

    def press_ctrl_c(trainer, losses):
        steps.append(trainer.steps)
        if trainer.steps == at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, images, tmp_path, press_ctrl_c)
    assert steps[-1] == at
    assert signal.getsignal(signal.SIGINT) is handler
    torch.manual_seed(at)  # the state of the process does not matter
    trainer = train(tiny_config, images, tmp_path, lambda trainer, losses: steps.append(trainer.steps))
    assert steps == list(range(1, STEPS + 1))
    assert_same(everything(trainer), everything(undisturbed[0]))
    assert len(list((tmp_path / "snapshots").iterdir())) == 6


def test_ctrl_c_within_a_step_lets_it_finish(undisturbed, tiny_config, images, tmp_path, monkeypatch):
    """Between the discriminator's update and the generator's: a state from there would be neither one thing nor the other."""
    calls = []
    real = gan.generator_loss

    def generator_loss(logits):
        calls.append(1)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGINT)
        return real(logits)

    monkeypatch.setattr(gan, "generator_loss", generator_loss)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, images, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["counters"][3] == 9
    assert_same(everything(train(tiny_config, images, tmp_path)), everything(undisturbed[0]))


def test_killed_without_warning_it_goes_on_from_the_last_save(undisturbed, tiny_config, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    script = f"""
        import sys
        import numpy as np
        from ganinv.training import gan
        from ganinv.training.gan import GanConfig, Stage
        gan.HISTORY_STEPS = 4
        config = {dataclasses.replace(tiny_config, checkpoint_seconds=0.0)!r}
        gan.train(config, np.load(sys.argv[1]), sys.argv[2], lambda trainer, losses: print(trainer.steps, flush=True))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "images.npy"), str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 9:
            process.kill()
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    steps = []
    trainer = train(tiny_config, images, tmp_path / "run", lambda trainer, losses: steps.append(trainer.steps))
    assert 8 <= steps[0] < STEPS
    assert steps[-1] == STEPS
    assert_same(everything(trainer), everything(undisturbed[0]))


def test_a_finished_run_stays_finished(undisturbed, tiny_config, images):
    trainer, folder, _ = undisturbed
    again = train(tiny_config, images, folder, lambda *_: pytest.fail("there is nothing left to do"))
    assert again.done
    assert_same(everything(again), everything(trainer))


def test_checkpoints_are_saved_by_the_clock(tiny_config, images, tmp_path, monkeypatch):
    times = iter(range(0, 10_000, 60))
    monkeypatch.setattr(gan.time, "monotonic", lambda: next(times))  # a step takes a minute
    saved = []
    monkeypatch.setattr(Trainer, "save", lambda trainer: saved.append(trainer.steps))
    train(dataclasses.replace(tiny_config, checkpoint_seconds=170.0), images, tmp_path)
    assert saved == [*range(3, STEPS, 3), STEPS]


# -- details of a step ------------------------------------------------------------------------------------------------------


def test_reals_are_averaged_and_mirrored_training_images(tiny_config, images, tmp_path):
    trainer = Trainer(tiny_config, images, tmp_path)
    x = torch.from_numpy(images).float() / 127.5 - 1
    small = x.reshape(48, 3, 8, 4, 8, 4).mean(dim=(3, 5))
    batch = torch.cat([trainer.reals() for _ in range(6)])
    assert batch.shape == (48, 3, 8, 8)
    plain = [any(torch.allclose(one, other, atol=1e-5) for other in small) for one in batch]
    mirrored = [any(torch.allclose(one.flip(2), other, atol=1e-5) for other in small) for one in batch]
    assert all(a or b for a, b in zip(plain, mirrored, strict=True))
    assert 10 < sum(plain) < 38
    assert 10 < sum(mirrored) < 38


def test_fakes_move_w_avg_and_mix_styles(tiny_config, images, tmp_path):
    trainer = Trainer(dataclasses.replace(tiny_config, style_mixing=1.0), images, tmp_path)
    seen = []
    styles = trainer.G.synthesis.styles
    trainer.G.synthesis.styles = lambda ws: seen.append(ws) or styles(ws)
    assert trainer.fakes(1.0).shape == (8, 3, 8, 8)
    (ws,) = seen
    cutoffs = [(one[1:] != one[:-1]).any(dim=1).sum().item() for one in ws]
    assert cutoffs == [1] * 8  # every image is drawn from two w
    torch.testing.assert_close(trainer.G.mapping.w_avg, 0.005 * ws[:, 0].mean(dim=0))


def test_learning_rate_is_constant_and_decays_at_the_very_end(tiny_config, images, tmp_path):
    trainer = Trainer(tiny_config, images, tmp_path)

    def rate(stage, seen):
        trainer.stage_index, trainer.stage_seen = stage, seen
        trainer.set_learning_rate()
        assert trainer.opt_G.param_groups[0]["lr"] == trainer.opt_D.param_groups[0]["lr"]
        return trainer.opt_G.param_groups[0]["lr"] / tiny_config.lr

    assert [rate(0, 0), rate(0, 47), rate(1, 79), rate(2, 0), rate(2, 56)] == pytest.approx([1] * 5)
    assert rate(2, 68) == pytest.approx(0.5)  # half way through the last 30 %
    assert rate(2, 80) == pytest.approx(0)


def test_average_weights_follow_with_the_promised_half_life(tiny_config, images, tmp_path):
    trainer = Trainer(tiny_config, images, tmp_path)
    for p in trainer.G_ema.parameters():
        p.zero_()
    with torch.no_grad():
        for p in trainer.G.parameters():
            p.fill_(1.0)
        trainer.G.mapping.w_avg.fill_(3.0)
    trainer.seen = 10_000  # far beyond: the half-life is ema_images, 40 images or 5 batches
    for _ in range(5):
        trainer.update_average()
    torch.testing.assert_close(trainer.G_ema.synthesis.b4.const, torch.full_like(trainer.G_ema.synthesis.b4.const, 0.5))
    assert (trainer.G_ema.mapping.w_avg == 3).all()  # buffers are copied
    trainer.seen = 160  # early on it is 5 % of the images seen: one batch
    trainer.update_average()
    torch.testing.assert_close(
        trainer.G_ema.synthesis.b4.const, torch.full_like(trainer.G_ema.synthesis.b4.const, 0.75)
    )


def test_half_precision_convolutions_run(tiny_config, images, tmp_path):
    trainer = Trainer(dataclasses.replace(tiny_config, bf16=True), images, tmp_path)
    losses = [trainer.step() for _ in range(2)]
    assert all(np.isfinite(list(values.values())).all() for values in losses)
    assert trainer.G.synthesis.b4.const.dtype == torch.float32


def test_the_default_recipe_is_the_one_that_ships():
    config = GanConfig()
    assert [stage.resolution for stage in config.stages] == [16, 32, 64]
    assert [stage.r1_gamma for stage in config.stages] == [0.05, 0.1, 0.2]
    assert (config.batch, config.lr, config.r1_interval, config.style_mixing, config.ema_images) == (
        16,
        2.5e-3,
        16,
        0.5,
        10_000,
    )
    assert config.total_images == sum(stage.images for stage in config.stages)


# -- errors --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [dict(channel_max=4), dict(w_dim=4), dict(num_layers=2), dict(stages=[Stage(8, 48, 0.05), Stage(16, 80, 0.1)])],
)
def test_a_checkpoint_of_another_size_is_refused(undisturbed, tiny_config, images, change):
    _, folder, _ = undisturbed
    before = (folder / "checkpoint.pt").read_bytes()
    with pytest.raises(
        GanInvError, match=r"checkpoint\.pt was written with other network sizes or stages: .*another folder"
    ):
        train(dataclasses.replace(tiny_config, **change), images, folder)
    assert (folder / "checkpoint.pt").read_bytes() == before


def damaged(folder, how):
    data = (folder / "checkpoint.pt").read_bytes()
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    if how in ("empty", "cut", "text"):
        return {"empty": b"", "cut": data[: len(data) // 2], "text": b"hello"}[how]
    if how == "list":
        return [1, 2, 3]
    if how == "counter":
        return {**state, "counters": [7, 0, 0, 0, 0.0]}
    if how == "shape":
        return {**state, "G": {**state["G"], "synthesis.b4.const": torch.zeros(1, 4, 4)}}
    return {key: value for key, value in state.items() if key != how}


@pytest.mark.parametrize(
    "how", ["empty", "cut", "text", "list", "counter", "shape", "config", "counters", "G", "opt_D", "rng", "history"]
)
def test_a_damaged_checkpoint_is_one_sentence(undisturbed, tiny_config, images, tmp_path, how):
    content = damaged(undisturbed[1], how)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(GanInvError, match=r"checkpoint\.pt is not a training checkpoint: delete it to start afresh"):
        train(tiny_config, images, tmp_path)


@pytest.mark.parametrize("width", [16, 24, 48])
def test_images_that_do_not_average_down_are_refused(tiny_config, tmp_path, width):
    with pytest.raises(GanInvError, match=f"are {width} pixels wide"):
        train(tiny_config, np.zeros((4, 3, width, width), np.uint8), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_stages_have_to_grow(tiny_config, images, tmp_path):
    for stages in ([], [Stage(16, 8, 0.1), Stage(8, 8, 0.1)], [Stage(8, 8, 0.1), Stage(8, 8, 0.1)]):
        with pytest.raises(GanInvError, match="stages, each of a higher resolution than the one before"):
            train(dataclasses.replace(tiny_config, stages=stages), images, tmp_path)


def test_divergence_is_one_sentence_and_spoils_no_checkpoint(undisturbed, tiny_config, images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(
            tiny_config,
            images,
            tmp_path,
            lambda trainer, _: signal.raise_signal(signal.SIGINT) if trainer.steps == 3 else None,
        )
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(
        GanInvError,
        match=r"^Training diverged after \d+ images: lower the learning rate and go on from the checkpoint in ",
    ):
        train(dataclasses.replace(tiny_config, lr=1e25), images, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert_same(everything(train(tiny_config, images, tmp_path)), everything(undisturbed[0]))


# --- going on from trained networks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(undisturbed):
    """The networks of the undisturbed run, with a record of their training."""
    trainer = undisturbed[0]
    before = {"images": trainer.seen, "seconds": 5}
    return Start(trainer.G_ema, trainer.D.D, before, list(trainer.history), {40: np.zeros((8, 3, 8, 8), np.uint8)})


def going_on(tiny_config, **changes):
    return dataclasses.replace(tiny_config, stages=[Stage(32, 40, 0.2)], **changes)


def test_a_run_goes_on_from_trained_networks(undisturbed, start, tiny_config, images, tmp_path):
    first = []
    trainer = train(
        going_on(tiny_config),
        images,
        tmp_path,
        lambda trainer, losses: first.append((trainer.seen, losses["alpha"])),
        start,
    )
    seen = undisturbed[0].seen
    assert [row[0] for row in first] == [seen + 8 * i for i in range(1, 6)]
    assert first[0][1] == 1.0  # nothing to fade in
    assert trainer.before == start.training
    assert trainer.history[: len(start.history)] == start.history
    assert sorted(path.stem for path in (tmp_path / "snapshots").iterdir()) == ["0000040", "0000240", "0000248"]
    assert trainer.seconds > 5


def test_before_its_first_step_it_draws_and_judges_as_they_did(undisturbed, start, tiny_config, images, tmp_path):
    trainer = Trainer(going_on(tiny_config), images, tmp_path)
    trainer.begin(start)
    assert_same(trainer.G.state_dict(), start.G.state_dict())
    assert_same(trainer.G_ema.state_dict(), start.G.state_dict())
    assert_same(trainer.D.D.state_dict(), start.D.state_dict())
    assert all(p.requires_grad for p in trainer.G.parameters())
    assert not any(p.requires_grad for p in trainer.G_ema.parameters())


def test_it_can_be_wider_and_resumes_without_the_networks(start, tiny_config, images, tmp_path):
    config = going_on(tiny_config, channel_base=128, channel_max=12)

    def press_ctrl_c(trainer, losses):
        if trainer.steps == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, images, tmp_path / "a", press_ctrl_c, start)
    resumed, whole = train(config, images, tmp_path / "a"), train(config, images, tmp_path / "b", start=start)
    assert resumed.G.synthesis.b8.conv0.weight.shape[1] == 12
    assert_same(resumed.G.state_dict(), whole.G.state_dict())
    assert resumed.before == whole.before == start.training


def test_networks_of_other_sizes_are_refused(start, tiny_config, images, tmp_path):
    with pytest.raises(GanInvError, match=r"has z_dim=8, the configuration asks for 16: only channels can be added"):
        train(going_on(tiny_config, z_dim=16), images, tmp_path, start=start)
    with pytest.raises(GanInvError, match=r"has img_resolution=32, the configuration asks for 8"):
        train(tiny_config, images, tmp_path, start=start)


def test_a_bundle_brings_the_record_of_its_training():
    faces64 = ganinv.load("faces64")
    start = Start.of_bundle(faces64)
    record = json.loads((faces64.folder / "training.json").read_text(encoding="utf-8"))
    assert start.history == record["history"]
    assert start.training == faces64.card["training"]
    assert list(start.snapshots) == [row["images"] for row in record["snapshots"]]
    assert {images.shape[1:] for images in start.snapshots.values()} == {(3, r, r) for r in (16, 32, 64)}
    assert len({images.tobytes() for images in start.snapshots.values()}) == len(start.snapshots)
    with pytest.raises(GanInvError, match="faces64 comes without a discriminator, which training needs"):
        Start.of_bundle(dataclasses.replace(faces64, D=None))
