import dataclasses
import signal

import pytest
import torch

import ganinv
from ganinv.inversion import PTI, Projection, projection, pti
from ganinv.perception.features import EFFICIENTNET
from ganinv.perception.perceptual import perceptual

PIVOT = Projection(space="w", steps=10, perceptual_weight=0.0, w_avg_samples=100)


@pytest.fixture(scope="module")
def pivot(tiny_bundle, tiny_targets):
    return projection(tiny_bundle, tiny_targets, PIVOT)


@pytest.fixture(scope="module")
def result(tiny_bundle, tiny_targets, pivot):
    return pti(tiny_bundle, tiny_targets, PTI(steps=8, lr=1e-3), start=pivot)


def test_the_loss_falls(result):
    for one in result:
        loss = [row["distance"] + row["mse"] for row in one.history]
        assert loss[-1] < 0.97 * loss[0]
        assert loss[-1] == min(loss)


def test_the_history_is_of_the_pivot_at_first(result, tiny_bundle, tiny_targets, pivot):
    image = tiny_bundle.G.synthesis(pivot.ws)
    for i, one in enumerate(result):
        assert one.history[0]["mse"] == pytest.approx((image[i] - tiny_targets[i]).square().mean().item(), rel=1e-5)
        assert one.history[0]["distance"] == pytest.approx(
            perceptual(image[i : i + 1], tiny_targets[i : i + 1], EFFICIENTNET).item(), rel=1e-3
        )


def test_pivot_and_noise(result, tiny_bundle, pivot):
    assert torch.equal(result.ws, pivot.ws)  # the pivot is fixed
    assert result.noise is None  # and its optimised noise is not used, as in the paper
    assert torch.equal(result.initial, tiny_bundle.G.synthesis(pivot.ws))
    assert not torch.equal(result.initial, pivot.image)


def test_only_the_synthesis_network_is_tuned(result):
    for deltas in result.deltas:
        assert deltas
        assert all(name.startswith("synthesis.") and not name.endswith("noise_strength") for name in deltas)
        assert {"synthesis.b4.const", "synthesis.b32.torgb.weight", "synthesis.b8.conv0.affine.weight"} < deltas.keys()
    # a generator for each photo
    assert any((result.deltas[0][name] != result.deltas[1][name]).any() for name in result.deltas[0])


def test_it_begins_with_its_own_projection(tiny_bundle, tiny_targets, pivot):
    config = PTI(steps=2, pivot=PIVOT)
    assert torch.equal(pti(tiny_bundle, tiny_targets, config).ws, pivot.ws)


def test_stop_distance_ends_the_tuning(tiny_bundle, tiny_targets, pivot, result):
    goal = result[0].history[4]["distance"]
    config = PTI(steps=8, lr=1e-3, stop_distance=goal)
    seen = []
    stopped = pti(tiny_bundle, tiny_targets[:1], config, callback=seen.append, start=pivot[0])
    assert len(stopped.history) == len(seen) == 5
    assert seen[-1].steps == 5
    assert stopped.history == result[0].history[:5]
    assert stopped.history[-1]["distance"] <= goal < stopped.history[-2]["distance"]
    # The test comes before the step: the generator is the one that reached the goal.
    distance = perceptual(stopped.image, tiny_targets[:1], EFFICIENTNET).item()
    assert distance == pytest.approx(goal, rel=0.01)


def test_an_early_stop_survives_an_interruption(tiny_bundle, tiny_targets, pivot, result, tmp_path):
    """Photo 1 stops early; Ctrl-C comes while photo 2 is tuned. The first is not tuned again."""
    config = PTI(steps=6, lr=1e-3, stop_distance=result[0].history[3]["distance"], pivot=PIVOT)
    whole, seen = ganinv.invert(tiny_targets, tiny_bundle, "pti", config), []

    def press_ctrl_c(progress):
        if progress.stage == "pti 2" and progress.step == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ganinv.invert(tiny_targets, tiny_bundle, "pti", config, callback=press_ctrl_c, resume=tmp_path / "run.pt")
    again = ganinv.invert(tiny_targets, tiny_bundle, "pti", config, callback=seen.append, resume=tmp_path / "run.pt")
    assert {progress.stage for progress in seen} <= {"pti 2"}
    assert again.history == whole.history
    assert torch.equal(again.image, whole.image)


def test_locality_is_evaluated_alpha_away_from_the_pivot_over_all_rows(tiny_bundle, tiny_targets, pivot):
    """As in the authors' code, which normalises the direction over the whole tensor ``[1, num_ws, w_dim]``, not row by row."""
    seen = []

    def look(module, arguments, keywords, output):
        if keywords.get("noise_mode") == "none":
            seen.append(arguments[0])

    with tiny_bundle.G.synthesis.register_forward_hook(look, with_kwargs=True):  # the tuned copy takes the hook along
        pti(tiny_bundle, tiny_targets[:1], PTI(steps=3, alpha=5.0, locality_weight=0.1), start=pivot[0])
    assert len(seen) == 6
    assert all(torch.equal(a, b) for a, b in zip(seen[::2], seen[1::2], strict=True))
    assert all((w_r - pivot[0].ws).norm().item() == pytest.approx(5.0, rel=1e-5) for w_r in seen)
    assert not torch.equal(seen[0], seen[2])


def test_locality_regularisation_holds_the_neighbourhood(tiny_bundle, tiny_targets, pivot):
    config = PTI(steps=5, lr=3e-3, alpha=6.0)
    free = pti(tiny_bundle, tiny_targets[:1], config, start=pivot[0])
    held = pti(tiny_bundle, tiny_targets[:1], dataclasses.replace(config, locality_weight=10.0), start=pivot[0])

    def drift(result):
        z = torch.randn(16, 16, generator=torch.Generator().manual_seed(3))
        direction = tiny_bundle.G.mapping(z, 0.5) - result.ws
        ws = result.ws + config.alpha * direction / direction.norm(dim=(1, 2), keepdim=True)
        return (result.generator.synthesis(ws) - tiny_bundle.G.synthesis(ws)).square().mean().item()

    assert 0 < drift(held) < 0.8 * drift(free)
