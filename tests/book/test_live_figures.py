"""The directive `{live}`, and how what it needs comes beside the pages."""

import json
import sys
from pathlib import Path

import build_book
import pytest
from sphinx.application import Sphinx
from sphinx.errors import SphinxWarning

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import live_figures  # noqa: E402

PAGE = """
# A page

:::{live} latent-explorer
:name: fig-live
:title: Two "faces"
:spaces: Z W
:model: tiny
:alt: Two faces.

Between {math}`a` and {math}`b`.
:::
"""


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    static = folder / "book" / "_static"
    for path in (static / "live" / "networks" / "tiny", static / "vendor" / "onnxruntime"):
        path.mkdir(parents=True)
    (static / "live" / "live.js").write_text("", encoding="utf-8")
    (static / "live" / "live.css").write_text("", encoding="utf-8")
    (static / "vendor/onnxruntime/runtime.js").write_bytes(b" " * 1_000_000)
    sizes = {"mapping": 200_000, "synthesis": 2_000_000, "drawing": 100_000, "tuning": 9_000_000, "directions": 0}
    sizes |= {"weights": 0, "encoder-psp": 4_000_000, "encoder-e4e": 5_000_000}
    facts = {"bytes": sizes, "encoders": {"psp": {}, "e4e": {}}, "tuning": {"encoder": "e4e"}}
    detector = {"bytes": dict.fromkeys(["p_net", "r_net", "o_net"], 500_000)}
    for name, told in {"tiny": facts, "face_detector": detector}.items():
        networks = static / "live" / "networks" / name
        networks.mkdir(exist_ok=True)
        (networks / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
        (networks / "manifest.js").write_bytes(b" " * 100_000)
    (static / "live/networks/tiny/latent-explorer.png").write_bytes(
        (ROOT / "book/_static/img/near-perfect.png").read_bytes()
    )
    (folder / "index.md").write_text(PAGE, encoding="utf-8")
    (folder / "other.md").write_text("---\norphan: true\n---\n# Other\n", encoding="utf-8")
    return folder


def build(source: Path) -> Path:
    settings = {
        "extensions": ["myst_parser", "live_figures"],
        "html_static_path": ["book/_static"],
        "myst_enable_extensions": ["colon_fence"],
        "exclude_patterns": ["book"],
        "numfig": True,
    }
    html = source.parent / "html"
    app = Sphinx(
        source, None, html, source.parent / "trees", "html", settings, status=None, warning=None, warningiserror=True
    )
    app.build()
    return html


def test_a_still_stands_in_the_page_with_what_starts_the_figure(source):
    html = build(source)
    page = (html / "index.html").read_text(encoding="utf-8")
    assert 'alt="Two faces."' in page
    assert 'id="fig-live"' in page
    assert "Fig. 1" in page
    for attribute in (
        'data-live="latent-explorer"',
        'data-model="tiny"',
        'data-spaces="Z W"',
        'data-name="Two &quot;faces&quot;"',
    ):
        assert attribute in page
    assert (
        "Start it in this page (3.3 MB)" in page
    )  # the runtime, two of the networks, and what there is to know of them
    assert "live/live.js" in page
    assert "live/live.js" not in (html / "other.html").read_text(encoding="utf-8")


def test_the_encoder_of_the_first_photo_is_counted(source):
    static = source / "book" / "_static"
    detector, photo = 1.5 + 0.1, 0.2 + 2 + 4  # and the encoder that is chosen at first
    assert live_figures.megabytes(static, "your-photo", "tiny") == pytest.approx(1 + 0.1 + detector + photo)
    tuning = 0.2 + 0.1 + 9 + 5  # and the encoder that tuning starts from
    assert live_figures.megabytes(static, "near-perfect", "tiny") == pytest.approx(1 + 0.1 + detector + tuning)
    with pytest.raises(FileNotFoundError, match="clones-1"):
        live_figures.megabytes(static, "edit-explorer", "tiny")
    manifest = static / "live/networks/tiny/manifest.json"
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace('"encoder": "e4e"', '"encoder": "none"'), encoding="utf-8"
    )
    assert live_figures.megabytes(static, "near-perfect", "tiny") == pytest.approx(1 + 0.1 + detector + tuning - 5)


@pytest.mark.parametrize(
    "change",
    [("latent-explorer\n", "no-such-figure\n"), (":alt: Two faces.\n", ""), (":model: tiny", ":model: none")],
    ids=["kind", "alternative text", "model"],
)
def test_a_figure_that_could_not_run_stops_the_build(source, change):
    (source / "index.md").write_text(PAGE.replace(*change), encoding="utf-8")
    with pytest.raises(SphinxWarning):
        build(source)


def test_networks_are_staged_beside_the_pages(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text("# Title\n", encoding="utf-8")
    (tmp_path / "_config.yml").write_text(
        "title: T\nrepository: {url: https://example.org}\nhtml: {}\n", encoding="utf-8"
    )
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n", encoding="utf-8")
    (tmp_path / "build/live/faces64").mkdir(parents=True)
    (tmp_path / "build/live/faces64/manifest.js").write_text("x", encoding="utf-8")
    build_book.stage(tmp_path, tmp_path / "stage", "full")
    assert (tmp_path / "stage/book/_static/live/networks/faces64/manifest.js").read_text(encoding="utf-8") == "x"
