"""The glossary: links at first use, entries of the index; and the facts that pages take from the package."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import first_use  # noqa: E402
import package_facts  # noqa: E402
from docutils import nodes  # noqa: E402
from sphinx.testing.util import SphinxTestApp  # noqa: E402

TERMS = first_use.read_terms(ROOT / "book" / "glossary.md")
GLOSSARY = "# Glossary\n\n```{glossary}\ngenerator\n  Draws.\n\nmapping network\n  Maps.\n\nGAN\ngame of networks\n  Both.\n```\n"
PAGE = """# The generator

A `generator` in code, a re-generator, and then Generators: a generator twice.

A mapping
network, {ref}`a GAN elsewhere <genindex>`, and a GAN.
"""


def test_terms_are_in_order_and_explained_once():
    assert len(TERMS) >= 40
    assert len({term.lower() for term in TERMS}) == len(TERMS)
    words = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    firsts = re.findall(r"(?:^$|\{glossary\})\n^(\S[^\n]*)$", words.split("```{glossary}")[1], flags=re.MULTILINE)
    assert firsts == sorted(firsts, key=lambda term: term.lower().replace("é", "e"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    source = tmp_path_factory.mktemp("glossary")
    (source / "book").mkdir()
    (source / "book" / "glossary.md").write_text(GLOSSARY, encoding="utf-8")
    (source / "index.md").write_text(f"{PAGE}\n```{{toctree}}\nbook/glossary\n```\n", encoding="utf-8")
    (source / "conf.py").write_text('extensions = ["myst_parser", "first_use"]\nnitpicky = True\n', encoding="utf-8")
    app = SphinxTestApp("html", srcdir=source, warningiserror=True)
    app.build()
    yield app
    app.cleanup()


def test_the_first_use_in_running_text_is_linked(pages):
    html = (Path(pages.outdir) / "index.html").read_text(encoding="utf-8")
    links = re.findall(
        r'<a class="reference internal" href="book/glossary\.html#term-[^"]+"[^>]*><span class="xref std std-term">([^<]+)',
        html,
    )
    assert links == ["Generators", "mapping\nnetwork", "GAN"]  # once each: in no title, no code, no word, no link
    assert "<h1>The generator" in html


def test_first_uses_are_in_the_index(pages):
    index = (Path(pages.outdir) / "genindex.html").read_text(encoding="utf-8")
    for term in ("generator", "mapping-network", "gan"):
        assert f'href="index.html#use-index-{term}"' in index
        assert f'id="use-index-{term}"' in (Path(pages.outdir) / "index.html").read_text(encoding="utf-8")


def test_the_glossary_does_not_link_to_itself(pages):
    assert "std-term" not in (Path(pages.outdir) / "book" / "glossary.html").read_text(encoding="utf-8")


def test_the_longest_term_wins():
    found = first_use.pattern(["path", "perceptual path length"]).search("the perceptual path lengths")
    assert found[1] == "perceptual path length"


def test_only_text_of_paragraphs_counts():
    title, text = nodes.Text("generator"), nodes.Text("generator")
    nodes.section("", nodes.title("", "", title), nodes.paragraph("", "", text))
    assert not first_use.in_running_text(title)
    assert first_use.in_running_text(text)


def test_the_model_card_says_what_the_file_says():
    card = json.loads(package_facts.card_of("faces64").read_text(encoding="utf-8"))
    facts = package_facts.facts(card)
    assert card["intended_use"] == facts["Meant for"]
    for line in [*card["failings"], *card["biases"]]:
        assert line in facts["Known failings"] + facts["Biases"]
    assert f"{card['frechet']['generator']:.1f}" in facts["Quality"]


def test_bibtex_is_made_from_the_citation_file():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    entry = package_facts.bibtex(citation, "https://example.org/book")
    assert entry.startswith("@book{ganinv")
    for part in (
        citation["preferred-citation"]["title"],
        citation["version"],
        "{{The ganinv authors}}",
        "https://example.org/book",
    ):
        assert part in entry
    assert entry.count("{") == entry.count("}")


def test_every_symbol_leads_to_an_equation():
    page = (ROOT / "book" / "notation.md").read_text(encoding="utf-8").split("(metrics)=")[0]
    rows = [line for line in page.splitlines() if line.startswith("| {math}`")]
    assert len(rows) >= 25
    assert [row for row in rows if not re.search(r"\{eq\}`eq-[a-z0-9-]+` \|$", row)] == []
