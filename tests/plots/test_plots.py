from itertools import pairwise

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
    return [
        text.get_text()
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip()
    ]


def checkerboard(size=4):
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    image[0, ::2, ::2] = image[0, 1::2, 1::2] = 200
    image[2] = 90
    return image


HISTORY = [{"step": i, "mse": 2.0 ** (-i / 10), **({"loss_D": float(i % 3)} if i % 2 else {})} for i in range(40)]

FIGURES = {
    "show_images": lambda x: plots.show_images(x, ["left", "right"]),
    "show_images_many": lambda x: plots.show_images(x.repeat(13, 1, 1, 1)),
    "filmstrip": lambda x: plots.filmstrip(x, [0, 10]),
    "image_grid": lambda x: plots.image_grid(
        [[None, x[0]], [x[1], x[0]]], ["", "from the first"], ["", "from the second"]
    ),
    "compare": lambda x: plots.compare(x, x * 0.5, x * 0.9),
    "compare_one_without_initial": lambda x: plots.compare(x[:1], None, x[:1]),
    "compare_methods": lambda x: plots.compare_methods(x[:1], {f"method {i}": x[1:] * i for i in range(5)}),
    "filmstrips": lambda x: plots.filmstrips({"one": x, "the other": x.flip(0)}, [0, 10], {"one": ["MSE 1", "MSE 2"]}),
    "error_maps": lambda x: plots.error_maps(x, {"W": x * 0, "PTI": x * 0.9}, labels=["a", "b"]),
    "signed_maps": lambda x: plots.signed_maps({"W": x[:1], "PTI": x[1:]}, label="change", below=["1", "2"]),
    "pyramids": lambda x: plots.pyramids({"photo": laplacian_pyramid(x[:1]), "blurred": laplacian_pyramid(x[1:])}),
    "tradeoff": lambda x: plots.tradeoff(
        {"slow": (10.0, 0.02, 3.0), "quick": (0.01, 0.06, 1.0)},
        "seconds",
        "MSE",
        "drop",
        "xy",
        {"slow": ([1, 10], [0.2, 0.02])},
    ),
    "histories": lambda x: plots.histories(
        {"a": HISTORY, "b": HISTORY[:20]}, {"mse": "MSE", "loss_D": "of D"}, log=["mse"]
    ),
    "histories_of_one_run": lambda x: plots.histories({"a": HISTORY}, ["mse", "loss_D", "mse", "loss_D"]),
    "spectra": lambda x: plots.spectra({"photo": x, "half": x / 2}),
    "spectra_relative": lambda x: plots.spectra({"photo": x, "half": x / 2}, relative_to="photo"),
    "band_profile": lambda x: plots.band_profile({"blurred": [0.1, 0.03, 1e-9], "noisy": torch.rand(4, 3)}),
    "matrix": lambda x: plots.matrix([[1.0, 2.0], [3.0, float("nan")]], ["a", "b"], ["c", "d"], "error"),
    "pareto": lambda x: plots.pareto(
        {"PTI": (1.4, 0.01), "p": [(1.0, 0.03, "0.1"), (1.2, 0.01, "1")], "mean": ([1.0, 1.1], [0.2, 0.3])}
    ),
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
    assert [extent[0] for extent in extents[:4]] == [extent[0] for extent in extents[4:]] + [
        extents[2][0],
        extents[3][0],
    ]
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


def test_filmstrips_label_rows_columns_and_frames(tiny_targets):
    figure = plots.filmstrips(
        {"upper": tiny_targets, "lower": tiny_targets.flip(0)}, ["t = 0", "t = 1"], {"lower": ["MSE 1", "MSE 2"]}
    )
    assert set(texts(figure)) == {"upper", "lower", "t = 0", "t = 1", "MSE 1", "MSE 2"}
    frames = figure.axes[0].get_images()
    assert len(frames) == 4
    # the lower strip shows the same two, turned round
    np.testing.assert_array_equal(frames[0].get_array(), frames[3].get_array())
    assert frames[2].get_extent()[3] > frames[0].get_extent()[2]
    assert "2 strips of 2 images (t = 0, t = 1), one below the other: upper, lower." in figure.alt_text
    with pytest.raises(ValueError, match="as many in each"):
        plots.filmstrips({"upper": tiny_targets, "lower": tiny_targets[:1]})
    with pytest.raises(ValueError, match="as many labels"):
        plots.filmstrips({"upper": tiny_targets}, [0])
    with pytest.raises(ValueError, match="as many labels"):
        plots.filmstrips({"upper": tiny_targets}, notes={"lower": ["", ""]})


def test_compare_shows_the_difference_on_one_labelled_scale(tiny_targets):
    result = tiny_targets.clone()
    result[0] += 0.04 * (1 - 2 * (tiny_targets[0] > 0).float())  # stays inside [-1, 1]
    result[1] += 0.08 * (1 - 2 * (tiny_targets[1] > 0).float())
    figure = plots.compare(tiny_targets, tiny_targets * 0, result)
    maps = [
        axes.get_images()[0] for axes in figure.axes if axes.get_images() and axes.get_images()[0].get_array().ndim == 2
    ]
    assert [image.get_clim() for image in maps] == [(0, 0.1), (0, 0.1)]  # 0.08, rounded up; the same in both rows
    np.testing.assert_allclose(maps[0].get_array(), 0.04, atol=1e-6)
    np.testing.assert_allclose(maps[1].get_array(), 0.08, atol=1e-6)
    written = texts(figure)
    assert {
        "target",
        "initial estimate",
        "result",
        "difference × 20",
        "mean |difference|",
        "MSE 0.0016",
        "MSE 0.0064",
    } <= set(written)
    assert "magnified 20 times" in figure.alt_text


def test_differences_are_those_of_the_picture_that_is_seen(tiny_targets):
    """A generator goes beyond [-1, 1]; the screen does not."""
    white = torch.ones(1, 3, 8, 8)
    figure = plots.error_map(white * 1.4, white)
    assert figure.axes[0].get_images()[0].get_array().max() == 0


def test_compare_methods_shares_the_scale(tiny_targets):
    target = tiny_targets[:1]
    figure = plots.compare_methods(target, {"W": torch.zeros_like(target), "PTI": target})
    maps = [
        axes.get_images()[0] for axes in figure.axes if axes.get_images() and axes.get_images()[0].get_array().ndim == 2
    ]
    assert len(maps) == 2
    assert maps[0].get_clim() == maps[1].get_clim()
    assert maps[1].get_array().max() == 0
    assert f"W (MSE {target.square().mean():.2g})" in figure.alt_text


def test_error_maps_share_one_scale(tiny_targets):
    grey = torch.zeros_like(tiny_targets)
    figure = plots.error_maps(grey, {"near": grey + 0.02, "far": grey + 0.3})
    maps = [
        axes.get_images()[0] for axes in figure.axes if axes.get_images() and axes.get_images()[0].get_array().ndim == 2
    ]
    assert [image.get_clim() for image in maps] == [(0, 0.5)] * 4
    assert [float(image.get_array().mean()) for image in maps] == pytest.approx([0.02, 0.3, 0.02, 0.3])
    assert {"photo", "near", "far", "MSE 0.0004", "MSE 0.09"} <= set(texts(figure))
    assert "near (mean 0.02), far (mean 0.3)" in figure.alt_text


def test_signed_maps_are_white_at_zero_and_share_one_scale():
    up = torch.full((1, 3, 8, 8), 2.0)
    figure = plots.signed_maps({"up": up, "down": -up / 2, "none": up * 0})
    shown = [axes.get_images()[0] for axes in figure.axes[:3]]
    assert [image.get_clim() for image in shown] == [(-2, 2)] * 3
    above, below, zero = (image.cmap(image.norm(image.get_array()[0, 0])) for image in shown)
    assert min(zero[:3]) > 0.95
    assert above[2] > above[1]  # violet: more blue than green
    assert below[0] > below[2]  # orange: more red than blue


@pytest.mark.parametrize(
    ("largest", "limit"), [(0.0, 0.01), (0.03, 0.05), (0.05, 0.05), (0.051, 0.1), (0.7, 1.0), (1.4, 2.0)]
)
def test_limit_is_round_and_not_below_what_is_there(largest, limit):
    assert plots.comparison._round_limit(np.full((1, 4, 4), largest)) == pytest.approx(limit)


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


def test_pyramids_are_magnified_alike():
    strong = [torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 2, 2), 0.25)]
    weak = [torch.full((1, 3, 4, 4), 0.1), torch.full((1, 3, 2, 2), 0.25)]
    figure = plots.pyramids({"strong": strong, "weak": weak})
    first, rest, second, _ = (int(image.get_array()[0, 0, 0]) for image in figure.axes[0].get_images())
    assert (first, second) == (255, round(1.2 * 127.5))  # both times 2
    assert rest == round(1.25 * 127.5)  # what remains is not magnified
    assert {"band 0, × 2", "rest", "strong", "weak"} <= set(texts(figure))
    with pytest.raises(ValueError, match="one depth"):
        plots.pyramids({"strong": strong, "weak": weak[:1]})


def test_histories_draw_every_step_and_a_running_mean():
    rows = [{"step": i, "mse": 10.0 ** (i % 2), "loss": float(i % 2)} for i in range(40)] + [
        {"step": 40, "frechet": 2.0}
    ]
    figure = plots.histories(
        {"with": rows, "without": rows[:20]},
        {"mse": "MSE", "loss": "the loss", "frechet": "distance"},
        log=["mse"],
        smooth=0.1,
    )
    mse, loss, frechet = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["MSE", "the loss", "distance"]
    pale, full, *_ = loss.get_lines()
    np.testing.assert_allclose(pale.get_ydata(), [i % 2 for i in range(40)])
    np.testing.assert_allclose(full.get_xydata()[0], [3, 0.5])  # the mean of four steps stands at the last of them
    np.testing.assert_allclose(full.get_ydata(), 0.5)
    # the mean of logarithms where the axis is logarithmic
    np.testing.assert_allclose(mse.get_lines()[1].get_ydata(), 10**0.5)
    assert mse.get_yscale() == "log"
    assert len(frechet.get_lines()) == 1  # one value, of one run
    colours = {
        text.get_text(): handle.get_color()
        for handle, text in zip(figure.legends[0].get_lines(), figure.legends[0].get_texts(), strict=True)
    }
    assert colours == {"with": plots.BLUE, "without": plots.VERMILION}
    with pytest.raises(ValueError, match="no curve"):
        plots.histories({"with": rows}, ["mes"])


def test_spectra_show_the_frequency_of_a_wave():
    t = torch.arange(32)
    fine, coarse = (torch.cos(2 * torch.pi * k / 32 * t).expand(1, 3, 32, 32) for k in (8, 2))
    figure = plots.spectra({"fine": fine, "coarse": coarse, "both": fine + coarse}, window=False)
    peaks = {
        line.get_label(): line.get_xdata()[line.get_ydata().argmax()]
        for line in figure.axes[0].get_lines()
        if line.get_label() in ("fine", "coarse")
    }
    assert peaks == {"fine": 8 / 32, "coarse": 2 / 32}
    assert {"1/4", "1/16"} <= set(texts(figure))
    relative = plots.spectra({"one": fine + coarse, "half": (fine + coarse) / 2}, window=False, relative_to="one")
    (half,) = [line for line in relative.axes[0].get_lines() if line.get_label() == "half"]
    assert half.get_ydata()[7] == pytest.approx(1 / 4)
    assert "one = 1" in relative.axes[0].get_ylabel()


def test_band_profile_puts_the_rest_last_and_cuts_off_rounding_errors():
    figure = plots.band_profile({"deep": [0.4, 0.2, 0.1, 1e-9], "shallow": torch.tensor([[0.2, 0.1], [0.4, 0.3]])})
    deep, shallow = figure.axes[0].get_lines()
    np.testing.assert_allclose(deep.get_ydata(), [0.4, 0.2, 0.1, 1e-9])
    np.testing.assert_allclose(shallow.get_xydata(), [[0, 0.3], [3, 0.2]])  # means over images
    assert figure.axes[0].get_ylim()[0] == pytest.approx(4e-4)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["finest", "band 1", "band 2", "rest"]


def test_matrix_writes_its_numbers():
    figure = plots.matrix([[1.0, 20.0], [0.5, float("inf")]], ["a", "b"], ["c", "d"], "error", log=True)
    assert {text.get_text() for text in figure.axes[0].texts} == {"1", "20", "0.5"}
    contrast = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert contrast == {"1": "white", "20": "black", "0.5": "white"}  # on dark blue and on yellow
    with pytest.raises(ValueError, match="do not fit"):
        plots.matrix([[1.0]], ["a"], ["c", "d"], "error")


def test_pareto_front_keeps_what_nothing_beats():
    points = [(3, 1), (1, 3), (2, 2), (2, 2), (3, 2), (1, 4), (float("nan"), 0), (0, float("inf"))]
    assert plots.pareto_front(points) == [1, 2, 0]
    assert plots.pareto_front([(1, 1), (2, 2)]) == [0]
    assert plots.pareto_front([]) == []


def test_pareto_front_by_its_definition():
    points = np.random.default_rng(0).integers(0, 6, (60, 2))
    front = plots.pareto_front(points)
    beaten = [any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert {tuple(points[i]) for i in front} == {tuple(p) for p, lost in zip(points, beaten, strict=True) if not lost}
    assert all(points[i][0] < points[j][0] and points[i][1] > points[j][1] for i, j in pairwise(front))


def test_pareto_draws_the_frontier_and_names_the_points():
    series = {
        "sweep": [(1.0, 0.04, "p = 0.1"), (1.5, 0.01, "p = 1"), (1.6, 0.02, "p = 2")],
        "PTI": (1.2, 0.03),
        "many": ([2.0, 4.0], [0.1, 0.1]),
    }
    figure = plots.pareto(series, limits=(1.15, None))
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} == {"p = 0.1", "p = 1", "p = 2", "PTI", "many"}
    (frontier,) = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    corners = frontier.get_xydata()[1:-1]
    np.testing.assert_allclose(corners, [(1.0, 0.04), (1.2, 0.04), (1.2, 0.03), (1.5, 0.03), (1.5, 0.01)])
    whisker = axes.containers[0][2][0].get_segments()[0]
    np.testing.assert_allclose(whisker[:, 0], [3 - 2**0.5, 3 + 2**0.5])  # the standard deviation of 2 and 4
    assert any(line.get_linestyle() == ":" and line.get_xdata()[0] == 1.15 for line in axes.get_lines())
    assert "3 of them on the dashed frontier" in figure.alt_text
    assert "sweep, p = 1 (1.5, 0.01); sweep, p = 2 (1.6, 0.02); PTI (1.2, 0.03); many (3, 0.1)." in figure.alt_text
    with pytest.raises(ValueError, match="no point"):
        plots.pareto({})


def test_names_of_points_keep_off_each_other_and_off_the_points():
    series = {f"method {i}": (1 + 0.03 * (i % 3), 0.01 + 0.0002 * i) for i in range(6)}
    figure = plots.pareto(series, log="")
    figure.canvas.draw()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    points = axes.transData.transform(list(series.values()))
    assert not any(box.contains(*point) for box in boxes for point in points)
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))


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


def test_tradeoff_is_darker_where_the_third_measure_is_larger():
    figure = plots.tradeoff(
        {"low": (1, 1, -2.0), "high": (2, 3, 5.0)}, "x", "y", "value", paths={"high": ([1.5, 2], [4, 3])}
    )
    ax = figure.axes[0]
    path, low, high = ax.get_lines()
    assert {"low", "high"} <= set(texts(figure))
    assert low.get_xydata().tolist() == [[1, 1]]
    assert high.get_xydata().tolist() == [[2, 3]]
    assert path.get_xydata().tolist() == [[1.5, 4], [2, 3]]
    assert sum(high.get_color()[:3]) < sum(low.get_color()[:3])
    with pytest.raises(ValueError, match="no point"):
        plots.tradeoff({}, "x", "y", "value")


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

    assert 1.05 / (luminance(plots.style.ink(colour)) + 0.05) >= 4.5


def test_saved_figure_carries_its_description_and_is_closed(tmp_path, tiny_targets):
    figure = plots.show_images(tiny_targets)
    plots.describe(figure, "Two patches\n   of colour.")
    plots.save_figure(tmp_path / "two.png", figure)
    with Image.open(tmp_path / "two.png") as file:
        assert file.text["Description"] == "Two patches of colour."
    assert not plt.fignum_exists(figure.number)
    assert [path.name for path in tmp_path.iterdir()] == ["two.png"]


def test_no_two_of_many_things_share_colour_and_marker():
    from ganinv.plots.style import marker_shapes, palette_of

    assert len(set(zip(palette_of(56), marker_shapes(56), strict=True))) == 56
