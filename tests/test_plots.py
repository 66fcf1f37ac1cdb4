import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ganinv import plots
from ganinv.losses.laplacian_pyramid import laplacian_pyramid


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def pixels_of(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def texts(figure):
    """Every text in the figure that is not empty, titles and tick labels included."""
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible() and text.get_text().strip()]


def checkerboard(size=4):
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    image[0, ::2, ::2] = image[0, 1::2, 1::2] = 200
    image[2] = 90
    return image


FIGURES = {
    "show_images": lambda x: plots.show_images(x, ["left", "right"]),
    "show_images_many": lambda x: plots.show_images(x.repeat(13, 1, 1, 1)),
    "filmstrip": lambda x: plots.filmstrip(x, [0, 10]),
    "image_grid": lambda x: plots.image_grid([[None, x[0]], [x[1], x[0]]], ["", "from the first"], ["", "from the second"]),
    "compare": lambda x: plots.compare(x, x * 0.5, x * 0.9),
    "compare_one_without_initial": lambda x: plots.compare(x[:1], None, x[:1]),
    "compare_methods": lambda x: plots.compare_methods(x[:1], {f"method {i}": x[1:] * i for i in range(5)}),
    "error_map": lambda x: plots.error_map(x[:1], x[1:], title="W+"),
    "pyramid": lambda x: plots.pyramid(laplacian_pyramid(x[:1])),
    "curves": lambda x: plots.curves({"W": [3.0, 2.0, 1.0], "W+": [2.0, 1.0, 0.5]}, log="y"),
    "bars_with_spread": lambda x: plots.bars_with_spread({"W": [1.0, 2.0, 3.0], "PTI": [0.5]}, "MSE"),
    "latents2d": lambda x: plots.latents2d(torch.randn(50, 6), {"w_avg": torch.zeros(6)}, {"W": torch.randn(9, 6)}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_fits_the_column_and_is_described(name, tiny_targets):
    figure = FIGURES[name](tiny_targets)
    assert isinstance(figure, Figure)
    assert 2 < figure.get_figwidth() <= plots.WIDTH + 1e-6
    assert len(figure.alt_text) > 15
    assert figure.alt_text.endswith(".")
    assert "\n" not in figure.alt_text
    shown = pixels_of(figure)
    assert (shown[[0, -1]] == 255).all()  # the ground is white, and nothing is cut off
    assert (shown[:, [0, -1]] == 255).all()


def test_pictures_keep_hard_pixels_and_their_colours():
    figure = plots.show_images(checkerboard()[None])
    shown = pixels_of(figure).reshape(-1, 3)
    colours, counts = np.unique(shown, axis=0, return_counts=True)
    by_colour = {tuple(colour.tolist()): int(count) for colour, count in zip(colours, counts, strict=True)}
    on, off = by_colour.pop((200, 0, 90)), by_colour.pop((0, 0, 90))
    assert on == pytest.approx(off, rel=0.03)  # both squares are the same size: nearest, not smoothed
    by_colour.pop((255, 255, 255))
    assert sum(by_colour.values()) < 0.03 * (on + off)  # the rest is the antialiased border
    assert on + off > 0.9 * (1.8 * figure.dpi) ** 2  # as large as was asked for


def test_floats_bytes_and_pillow_images_are_the_same_picture():
    image = checkerboard(8)
    pictures = [image, image.float() / 127.5 - 1, Image.fromarray(image.permute(1, 2, 0).numpy())]
    first, second, third = (pixels_of(plots.show_images([picture])) for picture in pictures)
    assert (first == second).all()
    assert (first == third).all()


def test_show_images_makes_rows_and_writes_titles(tiny_targets):
    figure = plots.show_images(tiny_targets.repeat(3, 1, 1, 1), list("abcdef"), columns=4)
    assert texts(figure) == list("abcdef")
    assert "2 rows" in figure.alt_text
    extents = [image.get_extent() for image in figure.axes[0].get_images()]
    assert [extent[0] for extent in extents[:4]] == [extent[0] for extent in extents[4:]] + [extents[2][0], extents[3][0]]
    assert extents[4][3] > extents[0][2]  # the second row begins below the end of the first
    with pytest.raises(ValueError, match="do not go together"):
        plots.show_images(tiny_targets, ["only one"])
    with pytest.raises(ValueError, match="0 images"):
        plots.show_images([])


def test_titles_stay_between_the_pictures(tiny_targets):
    """A title of two lines touches neither its own picture nor the one above it."""
    figure = plots.show_images(tiny_targets.repeat(2, 1, 1, 1), ["one\nline more"] * 4, columns=2)
    figure.canvas.draw()
    boxes = [image.get_window_extent() for image in figure.axes[0].get_images()]
    titles = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(titles) == 4
    assert not any(title.overlaps(box) for title in titles for box in boxes)


def test_image_grid_labels_rows_and_columns(tiny_targets):
    cells = torch.stack([tiny_targets, tiny_targets.flip(0), tiny_targets])
    figure = plots.image_grid(cells, ["coarse", "middle", "a rather long name of fine layers"], ["A", "B"])
    assert texts(figure) == ["A", "B", "coarse", "middle", "a rather long name of fine layers"]
    figure.canvas.draw()
    assert all(label.get_window_extent().x0 >= 0 for label in figure.axes[0].get_yticklabels())
    assert len(figure.axes[0].get_images()) == 6
    with pytest.raises(ValueError, match="one length"):
        plots.image_grid([[tiny_targets[0]], [None, None]])
    with pytest.raises(ValueError, match="as many labels"):
        plots.image_grid(cells, ["coarse", "fine"])


def test_compare_shows_the_difference_on_one_labelled_scale(tiny_targets):
    result = tiny_targets.clone()
    result[0] += 0.04 * (1 - 2 * (tiny_targets[0] > 0).float())  # stays inside [-1, 1]
    result[1] += 0.08 * (1 - 2 * (tiny_targets[1] > 0).float())
    figure = plots.compare(tiny_targets, tiny_targets * 0, result)
    maps = [axes.get_images()[0] for axes in figure.axes if axes.get_images() and axes.get_images()[0].get_array().ndim == 2]
    assert [image.get_clim() for image in maps] == [(0, 0.1), (0, 0.1)]  # 0.08, rounded up; the same in both rows
    np.testing.assert_allclose(maps[0].get_array(), 0.04, atol=1e-6)
    np.testing.assert_allclose(maps[1].get_array(), 0.08, atol=1e-6)
    written = texts(figure)
    assert {"target", "initial estimate", "result", "difference × 20", "mean |difference|", "MSE 0.0016", "MSE 0.0064"} <= set(written)
    assert "magnified 20 times" in figure.alt_text


def test_differences_are_those_of_the_picture_that_is_seen(tiny_targets):
    """A generator goes beyond [-1, 1]; the screen does not."""
    white = torch.ones(1, 3, 8, 8)
    figure = plots.error_map(white * 1.4, white)
    assert figure.axes[0].get_images()[0].get_array().max() == 0


def test_compare_methods_shares_the_scale(tiny_targets):
    target = tiny_targets[:1]
    figure = plots.compare_methods(target, {"W": torch.zeros_like(target), "PTI": target})
    maps = [axes.get_images()[0] for axes in figure.axes if axes.get_images() and axes.get_images()[0].get_array().ndim == 2]
    assert len(maps) == 2
    assert maps[0].get_clim() == maps[1].get_clim()
    assert maps[1].get_array().max() == 0
    assert f"W (MSE {target.square().mean():.2g})" in figure.alt_text


@pytest.mark.parametrize(("largest", "limit"), [(0.0, 0.01), (0.03, 0.05), (0.05, 0.05), (0.051, 0.1), (0.7, 1.0), (1.4, 2.0)])
def test_limit_is_round_and_not_below_what_is_there(largest, limit):
    assert plots._round_limit(np.full((1, 4, 4), largest)) == pytest.approx(limit)


def test_pyramid_shows_zero_as_grey_and_says_how_much_it_magnifies():
    bands = [torch.zeros(1, 3, 8, 8), torch.full((1, 3, 4, 4), 0.1), torch.full((1, 3, 2, 2), 0.5)]
    figure = plots.pyramid(bands, gain=4)
    shown = [image.get_array() for image in figure.axes[0].get_images()]
    assert [image.shape[:2] for image in shown] == [(8, 8), (4, 4), (2, 2)]
    assert set(np.unique(shown[0])) <= {127, 128}
    assert (shown[1] == round((0.4 + 1) * 127.5)).all()
    assert (shown[2] == round((0.5 + 1) * 127.5)).all()  # what remains is an image, not magnified
    assert texts(figure) == ["band 0, × 4\n8 × 8", "band 1, × 4\n4 × 4", "rest\n2 × 2"]


def test_curves_takes_histories_values_and_pairs():
    history = [{"step": 10 * i, "mse": 1 / (i + 1)} for i in range(5)] + [{"step": 50, "loss_D": 1.0}]
    figure = plots.curves({"rows": history, "values": [1.0, float("nan"), 0.25], "pair": ([5, 6], [2.0, 1.0])}, log="y")
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["rows"], [[10 * i, 1 / (i + 1)] for i in range(5)])
    np.testing.assert_allclose(lines["values"], [[0, 1], [2, 0.25]])  # what is not a number is left out
    np.testing.assert_allclose(lines["pair"], [[5, 2], [6, 1]])
    assert figure.axes[0].get_yscale() == "log"
    assert "rows from 1 to 0.2" in figure.alt_text
    with pytest.raises(ValueError, match="no curve"):
        plots.curves(history, y="distance")


def test_curves_of_one_history_names_every_key():
    rows = [{"step": i, "loss_G": 1.0, "loss_D": 2.0} for i in range(3)]
    figure = plots.curves(rows, y=("loss_G", "loss_D"))
    assert {text.get_text() for text in figure.axes[0].texts} == {"loss_G", "loss_D"}


@pytest.mark.parametrize("log", ["", "y"])
def test_names_at_the_ends_of_lines_do_not_overlap(log):
    series = {f"line {i}": [1.0, 0.5 + 0.001 * i] for i in range(5)} | {"far": [1.0, 1e-3]}
    figure = plots.curves(series, log=log)
    figure.canvas.draw()
    names = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    boxes = list(names.values())
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.y0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
    heights = [names[f"line {i}"].y0 for i in range(5)]
    assert heights == sorted(heights)  # in the order of the lines' ends
    assert names["far"].y0 < heights[0]


def test_bars_are_means_with_every_value_and_its_spread():
    groups = {"W": [1.0, 2.0, 6.0], "near-perfect": torch.tensor([0.5])}
    figure = plots.bars_with_spread(groups, "MSE")
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3.0, 0.5]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[0].get_ydata(), [1, 2, 6])
    whisker = axes.collections[0].get_segments()[0][:, 1]
    np.testing.assert_allclose(whisker, [3 - np.std([1, 2, 6], ddof=1), 3 + np.std([1, 2, 6], ddof=1)])
    assert "W 3 ± 2.6; near-perfect 0.5." in figure.alt_text
    with pytest.raises(ValueError, match="at least one"):
        plots.bars_with_spread({"W": []}, "MSE")


def test_no_bars_stand_on_a_logarithmic_scale():
    axes = plots.bars_with_spread({"W": [1.0, 0.1], "PTI": [0.01, 0.02]}, "MSE", log=True).axes[0]
    assert axes.get_yscale() == "log"
    assert not axes.patches


def test_latents_are_projected_onto_the_main_directions():
    random = torch.Generator().manual_seed(0)
    cloud = torch.randn(400, 5, generator=random) * torch.tensor([0.1, 3.0, 0.1, 1.0, 0.1]) + 7
    path = torch.stack([cloud.mean(dim=0), cloud.mean(dim=0) + torch.tensor([0, 6.0, 0, 0, 0])])
    figure = plots.latents2d(cloud, {"mean": cloud.mean(dim=0)}, {"walk": path})
    dots, line, *_ = figure.axes[0].get_lines()
    assert np.std(dots.get_xdata()) == pytest.approx(3, rel=0.1)
    assert np.std(dots.get_ydata()) == pytest.approx(1, rel=0.1)
    np.testing.assert_allclose(np.abs(line.get_xydata()[-1]), [6, 0], atol=0.3)
    np.testing.assert_allclose(line.get_xydata()[0], [0, 0], atol=1e-4)
    assert {"mean", "walk"} <= set(texts(figure))


def test_codes_with_two_numbers_are_drawn_as_they_are():
    cloud = torch.tensor([[0.0, 1.0], [2.0, 5.0], [3.0, 3.0]])
    np.testing.assert_allclose(plots.latents2d(cloud).axes[0].get_lines()[0].get_xydata(), cloud)


@pytest.mark.parametrize("colour", plots.PALETTE)
def test_text_in_a_colour_reads_on_white(colour):
    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert 1.05 / (luminance(plots._ink(colour)) + 0.05) >= 4.5


def test_saved_figure_carries_its_description_and_is_closed(tmp_path, tiny_targets):
    figure = plots.show_images(tiny_targets)
    plots.describe(figure, "Two patches\n   of colour.")
    plots.save_figure(tmp_path / "two.png", figure)
    with Image.open(tmp_path / "two.png") as file:
        assert file.text["Description"] == "Two patches of colour."
    assert not plt.fignum_exists(figure.number)
    assert [path.name for path in tmp_path.iterdir()] == ["two.png"]
