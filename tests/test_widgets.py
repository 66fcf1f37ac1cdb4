import io

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

matplotlib.use("Agg")
import ipywidgets
import matplotlib.pyplot as plt

from ganinv import widgets
from ganinv.photos import to_uint8


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def ends(tiny_bundle):
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(5))
    return tiny_bundle.G.mapping(z).split(1)


def shown(viewer):
    """The pixels that the browser gets."""
    return np.asarray(Image.open(io.BytesIO(viewer.picture.value)))


def cells(figure):
    """The pictures of a figure, top to bottom and left to right, as uint8."""
    return [np.asarray(image.get_array()) for image in figure.axes[0].get_images()]


def as_pixels(image):
    return to_uint8(image)[0].permute(1, 2, 0).numpy()


def test_the_picture_is_the_image_with_hard_pixels(tiny_bundle):
    viewer = widgets.latent_explorer(tiny_bundle)
    assert isinstance(viewer, ipywidgets.Widget)
    assert shown(viewer).shape == (256, 256, 3)
    assert (shown(viewer)[::8, ::8] == as_pixels(viewer.image)).all()
    assert (shown(viewer)[7::8, 7::8] == as_pixels(viewer.image)).all()


@pytest.mark.parametrize("space", ["w", "z"])
def test_every_slider_changes_the_image_and_back(tiny_bundle, space):
    viewer = widgets.latent_explorer(tiny_bundle, directions=3, space=space)
    start = shown(viewer)
    for name in viewer.names:
        viewer.controls[name].value = 2.0
        assert (shown(viewer) != start).any(), name
        viewer.controls[name].value = 0.0
        assert (shown(viewer) == start).all(), name


def test_explorer_starts_at_the_seed_and_truncates(tiny_bundle):
    G = tiny_bundle.G
    viewer = widgets.latent_explorer(tiny_bundle, seed=3)
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(viewer.image, G.synthesis(G.mapping(z)))
    viewer.controls["seed"].value = 4
    other = viewer.image
    assert not torch.allclose(other, G.synthesis(G.mapping(z)), atol=1e-3)
    viewer.controls["truncation_psi"].value = 0.0
    torch.testing.assert_close(viewer.image, G.synthesis(G.mapping.w_avg.expand(1, G.num_ws, -1)))


def test_directions_are_principal_components_one_deviation_long(tiny_bundle):
    viewer = widgets.latent_explorer(tiny_bundle, directions=4)
    G = tiny_bundle.G
    with torch.no_grad():
        w = G.mapping(torch.randn(20_000, 16, generator=torch.Generator().manual_seed(9)))[:, 0]
    unit = torch.nn.functional.normalize(viewer.directions, dim=1)
    torch.testing.assert_close(unit @ unit.T, torch.eye(4), atol=1e-4, rtol=0)
    spread = (w @ unit.T).std(dim=0)
    torch.testing.assert_close(viewer.directions.norm(dim=1), spread, rtol=0.05, atol=0)
    assert (spread.diff() < 0).all()  # the widest first
    assert spread[0] >= 0.95 * torch.linalg.svdvals(w - w.mean(dim=0))[0] / len(w) ** 0.5


def test_noise_modes(tiny_bundle):
    viewer = widgets.latent_explorer(tiny_bundle)
    const = viewer.image
    viewer.controls["noise_mode"].value = "none"
    assert not torch.equal(viewer.image, const)
    before = torch.random.get_rng_state()
    viewer.controls["noise_mode"].value = "random"
    first = viewer.image
    viewer.refresh()
    assert not torch.equal(viewer.image, first)  # drawn anew every time
    assert torch.equal(torch.random.get_rng_state(), before)  # without moving the notebook's random numbers


def test_static_figure_of_the_explorer(tiny_bundle):
    viewer = widgets.latent_explorer(tiny_bundle, directions=3, extent=2.0)
    pictures = cells(viewer.static_figure())
    assert len(pictures) == 15
    for row in range(3):
        # the middle is where it stands
        assert np.abs(pictures[5 * row + 2].astype(int) - as_pixels(viewer.image)).max() <= 1
    viewer.controls[viewer.names[1]].value = 2.0
    assert np.abs(pictures[9].astype(int) - as_pixels(viewer.image)).max() <= 1  # second row, right end


def test_interpolation_runs_from_a_to_b(tiny_bundle, ends):
    G = tiny_bundle.G
    viewer = widgets.interpolation(tiny_bundle, *ends)
    middle = viewer.image
    for t, ws in zip((0.0, 1.0), ends, strict=True):
        viewer.controls["t"].value = t
        torch.testing.assert_close(viewer.image, G.synthesis(ws))
        assert not torch.allclose(viewer.image, middle, atol=1e-2)
    pictures = cells(viewer.static_figure())
    assert len(pictures) == 7
    assert np.abs(pictures[0].astype(int) - as_pixels(G.synthesis(ends[0]))).max() <= 1
    assert np.abs(pictures[3].astype(int) - as_pixels(middle)).max() <= 1
    assert np.abs(pictures[6].astype(int) - as_pixels(G.synthesis(ends[1]))).max() <= 1


def test_layer_mixer_mixes_layer_by_layer(tiny_bundle, ends):
    G, (a, b) = tiny_bundle.G, ends
    viewer = widgets.layer_mixer(tiny_bundle, a, b)
    assert viewer.names == [
        "0: b4.conv1",
        "1: b8.conv0",
        "2: b8.conv1",
        "3: b16.conv0",
        "4: b16.conv1",
        "5: b32.conv0",
        "6: b32.conv1",
        "7: b32.torgb",
    ]
    torch.testing.assert_close(viewer.image, G.synthesis(a))
    viewer.controls[viewer.names[2]].value = 0.5
    mixed = a.clone()
    mixed[:, 2] = (a[:, 2] + b[:, 2]) / 2
    torch.testing.assert_close(viewer.image, G.synthesis(mixed))
    for name in viewer.names:
        viewer.controls[name].value = 1.0
    torch.testing.assert_close(viewer.image, G.synthesis(b))


def test_static_figure_of_the_mixer_is_the_crossover(tiny_bundle, ends):
    G, (a, b) = tiny_bundle.G, ends
    pictures = cells(widgets.layer_mixer(tiny_bundle, a, b).static_figure())
    assert len(pictures) == 10
    wanted = [
        G.synthesis(torch.cat([x[:, :cut], y[:, cut:]], dim=1)) for x, y in ((a, b), (b, a)) for cut in (0, 2, 4, 6, 8)
    ]
    for picture, image in zip(pictures, wanted, strict=True):
        assert np.abs(picture.astype(int) - as_pixels(image)).max() <= 1


def test_codes_of_w_are_taken_and_others_refused(tiny_bundle, ends):
    a, b = ends
    widget = widgets.interpolation(tiny_bundle, a[:, 0], b[:, 0])
    torch.testing.assert_close(widget.ends[0], a)
    with pytest.raises(ValueError, match=r"\[1, 8, 16\]"):
        widgets.layer_mixer(tiny_bundle, torch.cat(ends), b)
    with pytest.raises(ValueError, match="space"):
        widgets.latent_explorer(tiny_bundle, space="s")


def test_generator_is_not_changed(tiny_bundle, ends):
    before = tiny_bundle.sha256
    viewer = widgets.latent_explorer(tiny_bundle)
    viewer.controls["noise_mode"].value = "random"
    viewer.static_figure()
    del tiny_bundle.__dict__["sha256"]
    assert tiny_bundle.sha256 == before
