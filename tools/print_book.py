"""The whole book as one PDF: the built pages, one after the other on one page, printed by headless Chromium.

``build/html/print.html`` is that page, ``build/html/ganinv.pdf`` the file, and the front page, which tells how to make it, then leads to it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote, urldefrag

import toc
from bs4 import BeautifulSoup, Tag

PRINTED = "ganinv.pdf"
USELESS = "a.headerlink, button, script, div.live [data-live], .prev-next-area, .admonition.warning.fast"
PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="_static/favicon.svg">
{styles}
<link rel="stylesheet" href="_static/css/print.css">
</head>
<body class="printed">
<main>
<article class="bd-article">
{note}
{chapters}
</article>
</main>
<script>
// sections are marked to be left alone, and formulas in them to be set, as on the pages
MathJax = {{options: {{enableMenu: false, enableAssistiveMml: false, processHtmlClass: "tex2jax_process|mathjax_process|math|output_area"}}}};
</script>
<script src="_static/vendor/mathjax/tex-mml-chtml.js"></script>
</body>
</html>
"""
NOTE = """<aside class="admonition">
<p class="admonition-title">On paper</p>
<p>This is the book's web pages, printed on {day}. {notice}What moves is missing: live figures stand still, sliders of widgets show nothing,
and there is no search and no copying of code by a button. What is folded on the pages
(code that only draws, solutions, answers to the quizzes) is unfolded here. Slides,
the student edition and Jupyter's notebooks are files of their own.</p>
</aside>"""


def single_page(root: Path, html: Path) -> str:
    """All pages that ``_toc.yml`` lists as one, with links among them that stay inside it."""
    pages = {page: html / f"{page}.html" for page in toc.documents(root)}
    parts, title, styles, notice = [], "", [], ""
    for page, file in pages.items():
        soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        article = soup.select_one("article.bd-article")
        if article is None:
            raise SystemExit(f"{file} holds no article: build the pages again")
        if not parts:
            title = article.find("h1").get_text(strip=True).removesuffix("#")
            found = soup.select('link[rel="stylesheet"]')
            for link in found:
                link["href"] = moved(link["href"], Path(page).parent)
            styles = [str(link) for link in found if "live.css" not in link["href"]]
            announcement = soup.select_one(".bd-header-announcement")
            notice = f"{announcement.get_text(' ', strip=True)} " if announcement else ""
        parts.append(one(article, page, set(pages)))
    note = NOTE.format(day=time.strftime("%d %B %Y"), notice=notice)
    return PAGE.format(title=title, styles="\n".join(styles), note=note, chapters="\n".join(parts))


def moved(address: str, folder: Path) -> str:
    """An address on a page in ``folder``, as seen from the top."""
    if re.match(r"[a-z]+:|#|//", address):
        return address
    return os.path.normpath(folder / address).replace(os.sep, "/")


def one(article: Tag, page: str, pages: set[str]) -> str:
    """A page's article, with names of its own, and with addresses as seen from the top."""
    for useless in article.select(USELESS):
        useless.decompose()
    for fold in article.select("details"):
        fold["open"] = ""
    for solution in article.select(".dropdown, .toggle"):
        solution["class"] = [name for name in solution["class"] if name not in {"dropdown", "toggle", "toggle-hidden"}]
    for part in article.select("[id]"):
        part["id"] = anchor(page, part["id"])
    for link in article.select("a[href]"):
        link["href"] = within(link["href"], page, pages)
    for picture in article.select("[src]"):
        picture["src"] = moved(picture["src"], Path(page).parent)
        picture["loading"] = "eager"
    return f'<section class="page" id="{anchor(page)}">{article.decode_contents()}</section>'


def anchor(page: str, name: str = "") -> str:
    """What a place of a page is called on the one page."""
    return f"{page.replace('/', '-')}--{name}" if name else page.replace("/", "-")


def within(address: str, page: str, pages: set[str]) -> str:
    """Where a link leads from the one page."""
    if re.match(r"[a-z]+:|//", address):
        return address
    target, name = urldefrag(address)
    there = moved(target, Path(page).parent).removesuffix(".html") if target else page
    if unquote(there) not in pages:
        return f"{there}.html" if target.endswith(".html") else moved(address, Path(page).parent)
    return f"#{anchor(there, name)}"


def link_from(front: Path, target: str, pdf: Path, sheets: int) -> None:
    """Let the front page, which says how the file is made, lead to it."""
    soup = BeautifulSoup(front.read_text(encoding="utf-8"), "html.parser")
    place = soup.select_one("p.printed, .printed > p")
    if place is None:
        raise SystemExit(f'{front} has no paragraph of the class "printed", in which the PDF is named')
    link = soup.new_tag("a", href=target)
    link.string = "The whole book as one PDF"
    place.clear()
    place.append(link)
    place.append(f" ({sheets} pages, {pdf.stat().st_size / 1e6:.0f} MB; without what moves).")
    front.write_text(str(soup), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=toc.ROOT, help=argparse.SUPPRESS)
    root = parser.parse_args(arguments).root.resolve()
    html = root / "build" / "html"
    first = toc.documents(root)[0]
    if not (html / f"{first}.html").is_file():
        raise SystemExit("There are no pages yet: run `make book` first")
    (html / "print.html").write_text(single_page(root, html), encoding="utf-8")
    command = ["node", str(toc.ROOT / "tools" / "print_page.mjs"), str(html / "print.html"), str(html / PRINTED)]
    done = subprocess.run(command, cwd=toc.ROOT, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise SystemExit("Chromium could not print it")
    pdf = html / PRINTED
    sheets = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    up = "../" * first.count("/")
    link_from(html / f"{first}.html", f"{up}{PRINTED}", pdf, sheets)
    print(f"{pdf}: {sheets} pages, {pdf.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
