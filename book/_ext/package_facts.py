"""Facts that the package and the repository state themselves, put on a page when the book is built: a model card, a BibTeX entry."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def card_of(model: str) -> Path:
    """The card of a model that ships in the package, which is found without being imported."""
    spec = importlib.util.find_spec("ganinv")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "assets", model, "card.json")


class ModelCard(SphinxDirective):
    """``{model-card} NAME``: what ``card.json`` of a shipped model says, as a list of definitions."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = card_of(self.arguments[0])
        self.env.note_dependency(str(path))
        table = nodes.definition_list(classes=["simple", "model-card"])
        for term, text in facts(json.loads(path.read_text(encoding="utf-8"))).items():
            definition = nodes.definition()
            self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, definition)
            table += nodes.definition_list_item("", nodes.term("", term), definition)
        return [table]


def facts(card: dict[str, Any]) -> dict[str, str]:
    """What a reader asks of a model, and the card's answer in MyST."""
    frechet, copies = card["frechet"], card["copies"]["median_distance_of_the_nearest"]
    return {
        "What it is": f"{card['summary']} (`{card['name']}`, edition {card['edition']}, licence {card['licence']})",
        "Meant for": card["intended_use"],
        "Training images": card["provenance"]["training_images"],
        "Their source": card["provenance"]["their_source"],
        "Known failings": "\n".join(f"- {line}" for line in card["failings"]),
        "Biases": "\n".join(f"- {line}" for line in card["biases"]),
        "Quality": (
            f"Fréchet distance to the training images {frechet['generator']:.1f} on {frechet['n']:,} images with the features of"
            f" {frechet['features']}; two halves of the training images are {frechet['training_halves']:.1f} apart"
        ),
        "Copies": (
            f"median distance to the nearest training image {copies['samples']:.2f} for samples, {copies['heldout']:.2f} for images"
            f" that were never trained on, in the features of {card['copies']['trunk']}"
        ),
    }


class BibTeX(SphinxDirective):
    """``{bibtex}``: the entry that ``CITATION.cff`` asks for, with the address of the repository from the book's configuration."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, "CITATION.cff")
        self.env.note_dependency(str(path))
        url = self.config.html_theme_options["repository_url"]
        entry = bibtex(yaml.safe_load(path.read_text(encoding="utf-8")), url)
        return [nodes.literal_block(entry, entry, language="bibtex")]


def bibtex(citation: dict[str, Any], url: str) -> str:
    book = citation["preferred-citation"]
    fields = {
        "title": book["title"],
        "author": " and ".join(f"{{{author['name']}}}" for author in book["authors"]),
        "year": book["year"],
        "version": citation["version"],
        "url": url,
    }
    lines = [f"  {name:7} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{book['type']}{{ganinv{book['year']},", *lines, "}"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("model-card", ModelCard)
    app.add_directive("bibtex", BibTeX)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
