"""The whole book on one page: what comes along, where links lead; and that Chromium makes a PDF of it, which the front page names."""

import os
import re
import shutil
from pathlib import Path

import print_book
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
HEAD = """<html><head><link rel="stylesheet" href="{up}_static/css/book.css"></head><body>
<div class="bd-header-announcement">The runs are short.</div><article class="bd-article">"""
FRONT = """<section id="a-book"><h1>A book<a class="headerlink" href="#a-book">#</a></h1>
<p class="printed">For paper, make pdf.</p><p><a href="../notebooks/01_a.html#idea">the idea</a>, <a href="#a-book">here</a>,
<a href="../genindex.html">index</a>, <a href="https://example.org">elsewhere</a></p></section>"""
CHAPTER = """<section class="tex2jax_ignore mathjax_ignore" id="a-title"><h1>A title</h1><section id="idea"><h2>Idea</h2>
<div class="math notranslate" id="equation-eq-x">\\[x = 1\\]</div><p>with <span class="math notranslate nohighlight">\\(x\\)</span>
and <a href="../book/index.html">front</a></p>
<figure id="fig-x"><img alt="A curve." src="../_images/x.png"/></figure>
<div class="live container"><figure><img alt="Still." src="../_images/x.png"/></figure><div data-live="your-photo" hidden></div></div>
<div class="solution dropdown admonition"><p class="admonition-title">Solution</p><p>It is 42.</p></div>
<details><summary>Answer</summary><p>b.</p></details></section></section>"""


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").touch()
    (tmp_path / "_toc.yml").write_text("root: book/index\nchapters: [{file: notebooks/01_a}]\n", encoding="utf-8")
    html = tmp_path / "build" / "html"
    shutil.copytree(ROOT / "book/_static/css", html / "_static" / "css")
    shutil.copy(ROOT / "book/_static/favicon.svg", html / "_static")
    (html / "_images").mkdir()
    shutil.copy(ROOT / "book/_static/img/near-perfect.png", html / "_images" / "x.png")
    for name, body in (("book/index", FRONT), ("notebooks/01_a", CHAPTER)):
        (html / name).parent.mkdir(exist_ok=True)
        page = HEAD.format(up="../") + body + "</article></body></html>"
        (html / f"{name}.html").write_text(page, encoding="utf-8")
    return tmp_path


def test_the_pages_become_one_with_links_inside_it(root):
    page = BeautifulSoup(print_book.single_page(root, root / "build/html"), "html.parser")
    assert [heading.get_text() for heading in page.find_all("h1")] == ["A book", "A title"]
    links = [link["href"] for link in page.select("article p > a")]
    assert links == [
        "#notebooks-01_a--idea",
        "#book-index--a-book",
        "genindex.html",
        "https://example.org",
        "#book-index",
    ]
    names = [part["id"] for part in page.select("[id]")]
    assert len(names) == len(set(names))
    assert {link[1:] for link in links if link.startswith("#")} <= set(names)
    assert {picture["src"] for picture in page.select("img")} == {"_images/x.png"}
    assert page.select_one("link[href='_static/css/book.css']")
    assert not page.select("[data-live], .dropdown, .headerlink")
    assert all(fold.has_attr("open") for fold in page.select("details"))
    said = page.select_one("aside").get_text(" ", strip=True)
    assert "live figures stand still" in said
    assert "The runs are short." in said


@pytest.mark.skipif(not (ROOT / "node_modules/playwright-core").is_dir(), reason="node_modules is not installed")
@pytest.mark.skipif(
    not (Path(os.environ.get("CHROMIUM", "/usr/bin/chromium")).exists() and shutil.which("node")), reason="no browser"
)
def test_chromium_prints_them_and_the_front_page_leads_there(root):
    html = root / "build/html"
    shutil.copytree(ROOT / "node_modules/mathjax/es5", html / "_static/vendor/mathjax")
    assert print_book.main(["--root", str(root)]) == 0
    pdf = (html / "ganinv.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 3  # the note, the front page and the chapter
    assert b"/Outlines" in pdf
    front = BeautifulSoup((html / "book/index.html").read_text(encoding="utf-8"), "html.parser")
    link = front.select_one("p.printed > a")
    assert (link["href"], link.get_text()) == ("../ganinv.pdf", "The whole book as one PDF")
    assert re.search(r"\d+ pages, \d+ MB; without what moves", front.select_one("p.printed").get_text())
    assert print_book.main(["--root", str(root)]) == 0  # again, over what it wrote


def test_without_pages_it_says_what_to_run(tmp_path):
    (tmp_path / "_toc.yml").write_text("root: book/index\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="make book"):
        print_book.main(["--root", str(tmp_path)])
