"""The directive ``{live}``: a figure that runs a network in the reader's browser, with a still in its place until, and wherever, it does not.

.. code-block:: markdown

   :::{live} latent-explorer
   :name: fig-basics-explorer
   :title: Latent explorer
   :alt: What can be seen on the still.
   The caption.
   :::

The scripts are in ``book/_static/live``, a file a kind; ``tools/export_web.py`` makes the networks and the stills, ``tools/build_book.py`` puts
them into ``book/_static/live/networks``.
"""

from __future__ import annotations

import errno
import json
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

STATIC = "book/_static"
RUNTIME = "vendor/onnxruntime/runtime.js"
# which networks each kind of figure loads, by model, where "*" stands for the model of the directive
KINDS: dict[str, dict[str, list[str]]] = {
    "edit-explorer": {"*": ["mapping", "drawing", "weights", "directions", "clones-1"]},
    "latent-explorer": {"*": ["mapping", "synthesis"]},
    "near-perfect": {
        "*": ["mapping", "drawing", "tuning", "weights", "directions"],
        "face_detector": ["p_net", "r_net", "o_net"],
    },
    "your-photo": {"*": ["mapping", "synthesis", "directions"], "face_detector": ["p_net", "r_net", "o_net"]},
}


def encoder(kind: str, facts: dict[str, Any]) -> list[str]:
    """The encoder that a kind of figure reads the first photo with (others are loaded when they are chosen), if the model has it."""
    encoders = facts.get("encoders", {})
    if kind == "your-photo":
        return [f"encoder-{name}" for name in encoders][:1]
    if kind == "near-perfect" and facts.get("tuning", {}).get("encoder") in encoders:
        return [f"encoder-{facts['tuning']['encoder']}"]
    return []


def megabytes(static: Path, kind: str, model: str) -> float:
    """What a reader who starts a figure loads until it shows the first photo or face: all but the scripts of ``live/``, which are small.

    Raises:
        FileNotFoundError: the model was not exported.
    """
    size = (static / RUNTIME).stat().st_size
    for which, wanted in KINDS[kind].items():
        folder = static / "live" / "networks" / which.replace("*", model)
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        sizes, parts = facts["bytes"], wanted + encoder(kind, facts)
        if missing := [name for name in parts if name not in sizes]:
            raise FileNotFoundError(errno.ENOENT, "not exported", f"{folder / missing[0]}.js")
        size += (folder / "manifest.js").stat().st_size + sum(sizes[name] for name in parts)
    return size / 1e6


class LiveFigure(SphinxDirective):
    required_arguments = 1  # the kind
    has_content = True  # the caption
    option_spec: ClassVar[dict[str, Any]] = {
        "name": directives.unchanged_required,
        "title": directives.unchanged_required,
        "alt": directives.unchanged_required,
        "model": directives.unchanged_required,
        "spaces": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        kind, model = self.arguments[0], self.options.get("model", "faces64")
        if kind not in KINDS:
            raise self.error(f"there is no live figure {kind!r}: choose from {', '.join(KINDS)}")
        if missing := [name for name in ("alt", "title") if name not in self.options]:
            raise self.error(f"a live figure needs {' and '.join(missing)}")
        try:
            size = megabytes(Path(self.env.srcdir) / STATIC, kind, model)
        except FileNotFoundError as error:
            raise self.error(
                f"{error.filename} is missing: run tools/vendor.py and tools/export_web.py first"
            ) from None

        still = f"/{STATIC}/live/networks/{model}/{kind}.png"
        figure = nodes.figure("", nodes.image(uri=still, alt=self.options["alt"], classes=["pixels"]))
        parsed, messages = self.parse_inline(" ".join(self.content))
        figure += nodes.caption("", "", *parsed)
        self.set_source_info(figure)
        self.add_name(figure)
        app = {
            "live": kind,
            "model": model,
            "name": self.options["title"],
            "button": f"Start it in this page ({size:.1f} MB)",
        }
        app |= {key: self.options[key] for key in ("spaces",) if key in self.options}
        attributes = " ".join(f'data-{key}="{escape(value)}"' for key, value in app.items())
        container = nodes.container(
            "", figure, nodes.raw("", f"<div {attributes} hidden></div>", format="html"), classes=["live"]
        )
        return [container, *messages]


def add_scripts(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Only pages that have a live figure load anything for it."""
    if doctree is not None and any("live" in node["classes"] for node in doctree.findall(nodes.container)):
        app.add_js_file("live/live.js")
        app.add_css_file("live/live.css")


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("live", LiveFigure)
    app.connect("html-page-context", add_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
