"""Slides for every chapter, made from its built page: the same figures, equations, numbers and summary.

A chapter's ``slides/NAME.html`` lies in the built pages, and is shown without a network by the reveal.js and the MathJax there, too. What the
page says around a figure or an equation becomes the speaker's notes (press S).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from html import escape
from pathlib import Path

import toc
from bs4 import BeautifulSoup, Tag

WITHOUT_SLIDES = {"summary", "exercises", "references"}  # sections that are drawn in a way of their own, or not at all
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/vendor/reveal/reveal.css">
<link rel="stylesheet" href="../_static/css/slides.css">
</head>
<body>
<main class="reveal"><div class="slides">
{slides}
</div></main>
<script>MathJax = {{options: {{enableMenu: false}}}};</script>
<script src="../_static/vendor/mathjax/tex-mml-chtml.js"></script>
<script src="../_static/vendor/reveal/reveal.js"></script>
<script src="../_static/vendor/reveal/notes.js"></script>
<script src="../_static/js/slides.js"></script>
</body>
</html>
"""
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/css/slides.css">
</head>
<body class="contents">
<main>
<h1>Slides</h1>
<p>One deck a chapter. Arrow keys turn the slides, and S opens the notes for whoever speaks.</p>
<ol>
{entries}
</ol>
</main>
</body>
</html>
"""


def write(root: Path, html: Path) -> list[Path]:
    """Write the slides of all chapters that ``root`` lists into ``html/slides``, with a page that leads to them."""
    folder = html / "slides"
    folder.mkdir(exist_ok=True)
    written, entries = [], []
    for notebook in toc.notebooks(root):
        page = BeautifulSoup((html / notebook).with_suffix(".html").read_text(encoding="utf-8"), "html.parser")
        title, slides = deck(page, f"../{notebook.with_suffix('.html').as_posix()}")
        target = folder / f"{notebook.stem}.html"
        target.write_text(PAGE.format(title=escape(title), slides="\n".join(slides)), encoding="utf-8")
        written.append(target)
        entries.append(f'<li><a href="{target.name}">{escape(title)}</a></li>')
    (folder / "index.html").write_text(INDEX.format(entries="\n".join(entries)), encoding="utf-8")
    return written


def deck(page: BeautifulSoup, address: str) -> tuple[str, list[str]]:
    """Title and slides of a chapter's page, which is found at ``address`` as seen from the slides."""
    article = page.select_one("article.bd-article") or page
    for useless in article.select("a.headerlink, button, script"):
        useless.decompose()
    point_elsewhere(article, address)
    title = heading(article.find("h1"))
    slides = [
        slide(
            "",
            f"<h1>{escape(title)}</h1>",
            *map(html_of, article.select(".admonition.question > p:not(.admonition-title)")),
        )
    ]
    for term in article.select(".chapter-card dt"):
        if term.get_text() == "Afterwards you can":
            goals = term.find_next_sibling("dd").find_all(recursive=False)
            slides.append(slide("Afterwards you can", *map(html_of, goals)))
    for section in article.select("section"):
        if section.get("id") not in WITHOUT_SLIDES and not section.find_parent("section", id=list(WITHOUT_SLIDES)):
            slides += exhibits(section)
    summary = article.select_one("section#summary > ul")
    if summary:
        slides.append(slide("Summary", html_of(summary), kind="summary"))
    for question in article.select("ol.quiz > li"):
        slides.append(slide("Quiz", "".join(map(html_of, question.find_all(recursive=False))), kind="quiz"))
    for exercise in article.select("div.exercise"):
        name = exercise.select_one(".admonition-title")
        body = [html_of(part) for part in exercise.find_all(recursive=False) if part is not name]
        slides.append(slide(heading(name), *body, kind="exercise"))
    return title, slides


def exhibits(section: Tag) -> Iterator[str]:
    """A slide for every figure and every equation that stands in the section itself; the words before it are the notes.

    An equation has the paragraph that leads to it above itself.
    """
    title, notes, shown = heading(section.find(["h1", "h2", "h3"])), [], 0
    for part in parts(section):
        if part.name == "p":
            notes.append(html_of(part))
        else:
            words = notes.pop() if part.name == "div" and notes else ""
            yield slide(
                title, words, html_of(part), notes=notes, kind="figure" if part.name == "figure" else "equation"
            )
            notes, shown = [], shown + 1
    if not shown and notes:
        yield slide(title, notes[0], notes=notes[1:])


def parts(section: Tag) -> Iterator[Tag]:
    """Paragraphs, equations and figures of a section in their order, without those of its subsections."""
    for found in section.find_all(["p", "figure", "div"]):
        if (
            found.find_parent("section") is not section
            or found.find_parent(["figure", "details"])
            or found.find_parent("div", class_="admonition")
        ):
            continue
        exhibit = found.find("img") if found.name == "figure" else "math" in (found.get("class") or [])
        if exhibit or (found.name == "p" and not found.find_parent("div", class_="cell")):
            yield found


def html_of(part: Tag) -> str:
    """The part's HTML without its ids, which are those of the chapter's page."""
    part = copy.copy(part)
    for tag in [part, *part.find_all(True)]:
        del tag["id"]
    return str(part)


def point_elsewhere(article: Tag, address: str) -> None:
    """Let links within the page and to its neighbours start from the slides' folder."""
    folder = address.rpartition("/")[0]
    for link in article.select("a[href]"):
        target = str(link["href"])
        if target.startswith("#"):
            link["href"] = address + target
        elif not target.startswith(("../", "/")) and "://" not in target and not target.startswith("mailto:"):
            link["href"] = f"{folder}/{target}"


def heading(tag: Tag | None) -> str:
    """The words of a heading, without its number."""
    if tag is None:
        return ""
    tag = copy.copy(tag)
    for number in tag.select(".section-number"):
        number.decompose()
    return " ".join(tag.get_text().split())


def slide(title: str, *body: str, notes: list[str] | None = None, kind: str = "text") -> str:
    top = f"<h2>{escape(title)}</h2>" if title else ""
    aside = f'<aside class="notes">{"".join(notes)}</aside>' if notes else ""
    return f'<section class="{kind}">{top}{"".join(body)}{aside}</section>'
