"""Slides are made from a built page: what is on them, where links lead, and that nothing comes from the network."""

import re
from pathlib import Path

import pytest
import slides
from bs4 import BeautifulSoup

PAGE = """<html><body><article class="bd-article"><section id="a-title">
<h1><span class="section-number">1. </span>A title<a class="headerlink" href="#a-title">#</a></h1>
<div class="question admonition"><p class="admonition-title">The question</p><p>What is it?</p></div>
<div class="chapter-card admonition"><dl><dt>Level</dt><dd>easy</dd><dt>Afterwards you can</dt><dd><ul><li>see</li></ul></dd></dl></div>
<div class="cell"><figure><img alt="First." src="../_images/first.png"/></figure></div>
<section id="idea"><h2><span class="section-number">1.1. </span>Idea</h2>
<p>See <a href="#fig-x">the figure</a>, <a href="02_next.html#y">the next chapter</a> and <a href="../book/glossary.html">a word</a>.</p>
<div class="cell"><figure id="fig-x"><img alt="A curve." src="../_images/x.png"/><figcaption><p>A caption.</p></figcaption></figure></div>
<p>An equation follows.</p>
<div class="math notranslate" id="equation-eq-x">\\[x = 1\\]</div>
<section id="more"><h3>More</h3><p>Words only.</p><p>And more.</p></section>
</section>
<section id="summary"><h2>Summary</h2><ul><li>It is 0.25.</li></ul></section>
<section id="exercises"><h2>Exercises</h2>
<div class="exercise admonition"><p class="admonition-title"><span>Exercise 1.1</span> (Pencil)</p>
<section id="exercise-content"><p>Prove it.</p></section></div>
<div class="solution dropdown admonition"><p class="admonition-title">Solution</p><p>Secret.</p></div>
<section id="quiz"><h3>Quiz</h3><ol class="arabic quiz"><li>
<p>Which?</p><ol><li>this</li></ol><details><summary>Answer</summary><p>a.</p></details></li></ol></section>
</section>
<section id="references"><h2>References</h2><p>A paper.</p></section>
</section></article></body></html>"""


@pytest.fixture
def written(tmp_path) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").touch()
    (tmp_path / "_toc.yml").write_text("root: book/index\nchapters: [{file: notebooks/01_a}]\n", encoding="utf-8")
    html = tmp_path / "html"
    (html / "notebooks").mkdir(parents=True)
    (html / "notebooks" / "01_a.html").write_text(PAGE, encoding="utf-8")
    (target,) = slides.write(tmp_path, html)
    assert target == html / "slides" / "01_a.html"
    return target


def test_a_deck_follows_its_chapter(written):
    page = BeautifulSoup(written.read_text(encoding="utf-8"), "html.parser")
    found = page.select(".slides > section")
    titles = [section.find(["h1", "h2"]).get_text() for section in found]
    assert titles == [
        "A title",
        "Afterwards you can",
        "A title",
        "Idea",
        "Idea",
        "More",
        "Summary",
        "Quiz",
        "Exercise 1.1 (Pencil)",
    ]
    assert "What is it?" in found[0].get_text()
    assert found[2].find("img")["alt"] == "First."
    assert found[3].find("img")["src"] == "../_images/x.png"
    assert found[3].find("img")["alt"] == "A curve."
    assert "the figure" in found[3].select_one("aside.notes").get_text()
    assert "An equation follows.\\[x = 1\\]" in found[4].get_text()
    assert "Words only." in found[5].get_text()
    assert "It is 0.25." in found[6].get_text()
    assert found[7].select_one("details > summary").get_text() == "Answer"
    assert "Prove it." in found[8].get_text()
    assert "Secret" not in page.get_text()
    assert "A paper" not in page.get_text()


def test_links_lead_back_to_the_pages(written):
    page = BeautifulSoup(written.read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in page.select("section a")]
    assert links == ["../notebooks/01_a.html#fig-x", "../notebooks/02_next.html#y", "../book/glossary.html"]
    assert not page.select("section [id]")


def test_everything_is_loaded_from_the_pages_themselves(written):
    for file in (written, written.with_name("index.html")):
        loads = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', file.read_text(encoding="utf-8"))
        assert loads
        assert all(load.startswith("../_") for load in loads)
    assert '<a href="01_a.html">A title</a>' in written.with_name("index.html").read_text(encoding="utf-8")
