"""Link every term of the glossary where a page first uses it, and enter the place in the index. A chapter need do nothing for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

GLOSSARY = "book/glossary"
# what is no running text: names, code, equations, links, and what stands around a chapter
SKIPPED = (
    nodes.title,
    nodes.rubric,
    nodes.caption,
    nodes.table,
    nodes.term,
    nodes.literal,
    nodes.math,
    nodes.reference,
    nodes.raw,
)
SKIPPED += (nodes.literal_block, nodes.FixedTextElement, addnodes.pending_xref, nodes.citation)
SKIPPED_CLASSES = {"chapter-card", "quiz", "cell"}


def read_terms(page: Path) -> list[str]:
    """The terms of the page's ``{glossary}``: its lines that are not indented."""
    block = re.search(
        r"^(`{3,}|:{3,})\{glossary\}[^\n]*\n(.*?)^\1\s*$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = block[2].splitlines() if block else []
    return [line.strip() for line in lines if line.strip() and not line[0].isspace() and not line.startswith(":")]


def pattern(terms: list[str]) -> re.Pattern[str]:
    """Any of the terms as a word of its own, or its plural; the longest that fits."""
    longest_first = sorted(terms, key=len, reverse=True)
    words = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
    return re.compile(rf"(?<![\w-])({words})(?:s|es)?(?![\w-])", re.IGNORECASE)


class LinkFirstUses(SphinxTransform):
    default_priority = 840  # before the domains collect the entries of the index

    def apply(self, **kwargs: Any) -> None:
        docname = self.env.docname
        if docname == GLOSSARY or GLOSSARY not in self.env.found_docs:
            return
        page = Path(self.env.doc2path(GLOSSARY))
        self.env.note_dependency(str(page))
        terms = {term.lower(): term for term in read_terms(page)}
        unused = dict(terms)
        join_texts(self.document)
        for text in list(self.document.findall(nodes.Text)):
            if not unused:
                return
            if in_running_text(text):
                text.parent.replace(text, list(self.linked(text, pattern(list(terms.values())), unused, docname)))

    def linked(self, text: nodes.Text, any_term: re.Pattern[str], unused: dict[str, str], docname: str) -> Any:
        """The pieces of ``text``; a term that is still unused becomes an index entry and a link, and is taken out of ``unused``."""
        words, start = text.astext(), 0
        for found in any_term.finditer(words):
            term = unused.pop(re.sub(r"\s+", " ", found[1]).lower(), None)
            if term is None:
                continue
            place = nodes.make_id(f"use-{docname}-{term}")
            target = nodes.target("", "", ids=[place])
            entry = addnodes.index(entries=[("single", term, place, "", None)])
            link = addnodes.pending_xref(
                "", nodes.inline("", found[0], classes=["xref", "std", "std-term"]),
                refdomain="std", reftype="term", reftarget=term, refexplicit=True, refwarn=True, refdoc=docname,
            )  # fmt: skip
            yield from (nodes.Text(words[start : found.start()]), entry, target, link)
            start = found.end()
        yield nodes.Text(words[start:])


def join_texts(document: nodes.document) -> None:
    """One node for text that MyST cuts at the ends of lines, so that a term may stand on two of them."""
    for parent in list(document.findall(nodes.TextElement)):
        joined: list[nodes.Node] = []
        for child in parent.children:
            if joined and isinstance(child, nodes.Text) and isinstance(joined[-1], nodes.Text):
                joined[-1] = nodes.Text(joined[-1].astext() + child.astext())
            else:
                joined.append(child)
        if len(joined) < len(parent.children):
            parent[:] = joined


def in_running_text(text: nodes.Text) -> bool:
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, SKIPPED) or SKIPPED_CLASSES & set(node.get("classes", [])):
            return False
        in_paragraph = in_paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(LinkFirstUses)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
