import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import build_book
import nbformat
import pytest
import run_notebooks
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]
TOC = """
format: jb-book
root: book/index
parts:
  - caption: Chapters
    numbered: true
    chapters:
      - file: notebooks/01_template
  - caption: Appendix
    chapters:
      - file: book/bibliography
"""
FRONT = """
# A small book

The chapter ends at {glue:text}`../notebooks/01_template.ipynb::nearest-distance:.2f`.

```{figure} figures/fig-nearest-sweep.png
:name: fig-front
:alt: A valley.

Borrowed from {ref}`chapter-nearest-point`.
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """A book with the template as its only chapter, run and built by the real configuration, with warnings as errors."""
    root = tmp_path_factory.mktemp("book")
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    (root / "book" / "index.md").write_text(FRONT, encoding="utf-8")
    (root / "_toc.yml").write_text(TOC, encoding="utf-8")
    (root / "src").mkdir()
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "_template.ipynb", root / "notebooks" / "01_template.ipynb")
    assert run_notebooks.main(["--profile", "fast", "--root", str(root)]) == 0
    assert build_book.main(["--profile", "fast", "--root", str(root)]) == 0
    return root


@pytest.fixture(scope="module")
def chapter(book) -> str:
    return (book / "build/html/notebooks/01_template.html").read_text(encoding="utf-8")


class Loads(HTMLParser):
    """Everything that a browser would fetch for a page."""

    def __init__(self, page: str):
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe", "source"):
            self.urls.append(values.get("src") or "")
        elif tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon", "modulepreload"):
            self.urls.append(values.get("href") or "")


def test_pages_load_nothing_from_the_network(book):
    pages = [page for page in (book / "build/html").rglob("*.html") if "_static" not in page.parts]
    assert len(pages) >= 5
    for page in pages:
        content = page.read_text(encoding="utf-8")
        assert [url for url in Loads(content).urls if re.match(r"(https?:)?//", url)] == []
        assert "THEBE_JS_URL" not in content
        assert not re.search(r"cdn\.jsdelivr|unpkg\.com|cdnjs", content)


def test_a_chapter_uses_the_vendored_javascript(chapter):
    urls = Loads(chapter).urls
    for script in ("vendor/mathjax/tex-mml-chtml.js", "vendor/html-manager/embed.js", "js/mathjax2-shim.js"):
        assert any(script in url for url in urls), script


def test_a_figure_is_numbered_captioned_and_described(chapter):
    figure = re.search(r'<figure[^>]*id="fig-nearest-history".*?</figure>', chapter, flags=re.DOTALL)[0]
    assert 'alt="A falling curve that becomes flat well above zero."' in figure
    assert "Fig. 1.2" in figure
    assert "The squared distance to the photo at each step" in figure
    assert re.search(r'href="#fig-nearest-history"><span class="std std-numref">Fig. 1.2</span>', chapter)


def test_other_pages_borrow_figures_and_numbers(book, chapter):
    front = (book / "build/html/book/index.html").read_text(encoding="utf-8")
    assert re.search(r'<img[^>]*alt="A valley\."[^>]*src="\.\./_images/fig-nearest-sweep\.png"', front)
    assert (book / "build/html/_images/fig-nearest-sweep.png").read_bytes().startswith(b"\x89PNG")
    printed = re.search(r"squared distance (\d+\.\d+), 30 steps", chapter)[1]
    assert f"The chapter ends at {float(printed):.2f}." in re.sub(r"</?span[^>]*>", "", front)


def test_numbers_in_the_text_come_from_the_cells(chapter):
    printed = re.search(r"squared distance (\d+\.\d+), 30 steps", chapter)[1]
    assert f"The walk ends at a squared distance of {float(printed):.3f}," in re.sub(r"</?span[^>]*>", "", chapter)


def test_equations_exercises_and_citations_are_linked(chapter):
    assert re.search(r'href="#equation-eq-nearest-projection">Eq. 1.1</a>', chapter)
    assert re.search(
        r'href="../book/bibliography.html#id\d+"[^>]*><span>Zhu <em>et al.</em>, 2016</span>|Zhu.*?2016', chapter
    )
    assert len(re.findall(r'class="exercise admonition"', chapter)) == 3
    assert len(re.findall(r'class="solution dropdown admonition"', chapter)) == 3
    references = chapter[chapter.index('id="references"') :]
    assert "Kingma" in references
    assert "Goodfellow" not in references  # only what this chapter cites


def test_a_chapter_has_a_card_a_quiz_and_marked_exercises(chapter):
    card = re.search(r'<div class="chapter-card admonition">.*?</div>', chapter, flags=re.DOTALL)[0]
    for words in ("introductory", "about 5 minutes to read, at most 1 to run", "explain the distance that remains"):
        assert words in card
    assert re.search(r'go on with <a class="reference internal" href="#chapter-nearest-point">', card)
    quiz = re.search(r'<ol class="arabic[^"]*quiz[^"]*">.*?(?=<section id="references">)', chapter, flags=re.DOTALL)[0]
    assert quiz.count('<details class="quiz-answer">') == quiz.count("<summary>Answer</summary>") == 4
    assert "<details open" not in quiz
    assert re.search(r"<p><strong>a\.</strong> The generator and the photo are fixed", quiz)
    assert "<input" not in quiz
    assert "<script" not in quiz
    marks = re.findall(r'<span class="difficulty" role="img" aria-label="(\w+)">(.{3})</span>', chapter)
    assert marks == [("easy", "★☆☆")] * 3


def test_imports_are_folded_and_code_can_be_copied(book, chapter):
    fold = re.search(r'<details class="admonition hide above-input">(.*?)</details>', chapter, flags=re.DOTALL)[1]
    assert "ipywidgets" in fold
    assert "copybutton.js" in chapter
    assert (book / "build/html/_static/copybutton.js").is_file()


def test_the_profile_that_ran_is_the_one_shown(chapter):
    assert '<span class="n">profile</span> <span class="o">=</span> <span class="s2">"fast"</span>' in chapter
    assert build_book.FAST_NOTICE in chapter
    assert "injected-parameters" not in chapter
    assert "%pip" not in chapter


def test_launch_buttons_are_links(chapter):
    assert re.search(r'href="https://colab\.research\.google\.com/github/[^"]+/notebooks/01_template\.ipynb"', chapter)
    assert re.search(r'href="https://mybinder\.org/v2/gh/[^"]+01_template\.ipynb"', chapter)


def test_a_warning_fails_the_build_and_keeps_the_last_good_pages(book):
    page = book / "book" / "index.md"
    page.write_text(f"{FRONT}\nSee {{ref}}`chapter-that-is-not-there`.\n", encoding="utf-8")
    try:
        with pytest.raises(SystemExit, match="did not build"):
            build_book.main(["--profile", "fast", "--root", str(book)])
    finally:
        page.write_text(FRONT, encoding="utf-8")
    assert "not-there" not in (book / "build/html/book/index.html").read_text(encoding="utf-8")


@pytest.fixture
def small(tmp_path) -> Path:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text("# Title\n", encoding="utf-8")
    (tmp_path / "_config.yml").write_text(
        "title: T\nrepository: {url: https://example.org/default}\nhtml: {}\n", encoding="utf-8"
    )
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters: [{file: notebooks/a}]\n", encoding="utf-8"
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(), tmp_path / "notebooks" / "a.ipynb")
    return tmp_path


def test_staging_needs_executed_notebooks(small):
    with pytest.raises(SystemExit, match=r"notebooks/a\.ipynb has not been executed"):
        build_book.stage(small, small / "stage", "full")


def test_staging_refuses_outputs_with_errors(small):
    broken = new_code_cell("x", outputs=[new_output("error", ename="E", evalue="v", traceback=[])], execution_count=1)
    target = small / "build/executed/notebooks/a.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=[broken]), target)
    with pytest.raises(SystemExit, match="cell 0 raised E: v"):
        build_book.stage(small, small / "stage", "full")


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("git@github.com:someone/book.git", "https://github.com/someone/book"),
        ("https://github.com/someone/book", "https://github.com/someone/book"),
        ("https://token@github.com/someone/book.git", "https://github.com/someone/book"),
        ("/srv/git/book.git", "https://example.org/default"),
        (None, "https://example.org/default"),
    ],
)
def test_links_point_to_the_repository_of_the_clone(small, monkeypatch, remote, url):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    subprocess.run(["git", "init", "-q", str(small)], check=True)
    if remote:
        subprocess.run(["git", "-C", str(small), "remote", "add", "origin", remote], check=True)
    (small / "_toc.yml").write_text("format: jb-book\nroot: book/index\n", encoding="utf-8")
    build_book.stage(small, small / "stage", "full")
    assert yaml.safe_load((small / "stage/_config.yml").read_text(encoding="utf-8"))["repository"]["url"] == url


def test_github_names_its_repository_itself(small, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "fork/book")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    assert build_book.repository_url(small) == "https://github.com/fork/book"


def test_only_a_fast_build_says_so(small):
    (small / "_toc.yml").write_text("format: jb-book\nroot: book/index\n", encoding="utf-8")
    build_book.stage(small, small / "stage", "full")
    assert "announcement" not in yaml.safe_load((small / "stage/_config.yml").read_text(encoding="utf-8"))["html"]
