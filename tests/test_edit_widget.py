import io

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ganinv import Inversion, widgets
from ganinv.editing import Direction
from ganinv.photos import to_uint8


@pytest.fixture
def inversion(tiny_bundle, tiny_targets):
    ws = torch.randn(2, tiny_bundle.G.num_ws, 16, generator=torch.Generator().manual_seed(0))
    return Inversion("by hand", tiny_bundle, tiny_targets, ws)


@pytest.fixture
def directions(tiny_bundle):
    random = torch.Generator().manual_seed(1)
    steps = {"smile": torch.randn(16, generator=random), "lips": {"b8.conv0": torch.randn(16, generator=random)}}
    return {name: Direction(name, step).measured(tiny_bundle) for name, step in steps.items()}


@pytest.fixture
def explorer(inversion, directions):
    yield widgets.edit_explorer(inversion[0], directions)
    plt.close("all")


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.value)))[::8, ::8]


def as_pixels(image):
    return to_uint8(image)[0].permute(1, 2, 0).numpy()


def test_sliders_edit_and_reset(explorer, inversion, directions):
    start = as_pixels(inversion[0].image)
    assert (pixels(explorer.before) == start).all()
    assert (pixels(explorer.after) == start).all()
    explorer.controls["smile"].value = 1.5
    explorer.controls["lips"].value = -1.0
    wanted = inversion[0].render(directions["smile"].at(1.5) + directions["lips"].at(-1))
    assert torch.equal(explorer.image, wanted)
    assert (pixels(explorer.after) == as_pixels(wanted)).all()
    assert (pixels(explorer.before) == start).all()
    explorer.reset_button.click()
    assert (pixels(explorer.after) == start).all()


def test_it_saves_what_is_shown(explorer, tmp_path):
    explorer.controls["smile"].value = 2.0
    explorer.file.value = str(tmp_path / "mine.png")
    explorer.save_button.click()
    assert (np.asarray(Image.open(tmp_path / "mine.png")) == as_pixels(explorer.image)).all()
    assert "is written" in explorer.said.value
    (tmp_path / "file").touch()
    explorer.file.value = str(tmp_path / "file" / "mine.png")
    explorer.save_button.click()
    assert "cannot be written" in explorer.said.value


def test_the_static_figure_shows_every_direction(explorer, inversion, directions):
    cells = [np.asarray(image.get_array()) for image in explorer.static_figure().axes[0].get_images()]
    assert len(cells) == 2 * 5
    assert (cells[2] == as_pixels(inversion[0].image)).all()
    assert (cells[9] == as_pixels(inversion[0].render(directions["lips"].at(3)))).all()


def test_what_cannot_be_explored(inversion, directions):
    with pytest.raises(ValueError, match="one photo, not 2"):
        widgets.edit_explorer(inversion, directions)
    with pytest.raises(ValueError, match="comes without directions"):
        widgets.edit_explorer(inversion[0])
