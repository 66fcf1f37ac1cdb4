"""What stands around a chapter: its card, its quiz and the marks of its exercises, drawn from ``book/course/NAME.yml``.

``NAME`` is the chapter's label without ``chapter-``. All of it is plain HTML: an answer is folded by ``<details>``, and no script is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

FOLDER = Path("book", "course")
DIFFICULTIES = {1: "easy", 2: "middling", 3: "hard"}
logger = logging.getLogger(__name__)


class Fold(nodes.General, nodes.Element):
    """A fold, ``<details>``. Its first child is a :class:`FoldTitle`."""


class FoldTitle(nodes.General, nodes.TextElement):
    """What is seen of a closed fold."""


class Difficulty(nodes.General, nodes.Inline, nodes.Element):
    """Stars behind the title of an exercise; it has no text of its own, so that references to the title do not repeat it."""


class CourseDirective(SphinxDirective):
    """A directive whose argument names a file of ``book/course``."""

    required_arguments = 1

    def data(self) -> dict[str, Any] | None:
        path = Path(self.env.srcdir, FOLDER, f"{self.arguments[0]}.yml")
        if not path.is_file():
            logger.warning(f"{FOLDER / path.name} is missing: every chapter has one", location=self.get_location())
            return None
        self.env.note_dependency(str(path))
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    def markdown(self, text: str, parent: nodes.Element) -> nodes.Element:
        """Append what the MyST ``text`` means to ``parent``, and return the latter."""
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, parent)
        return parent


class ChapterCard(CourseDirective):
    """``{chapter-card} NAME``: level, prerequisites, time, goals, and where to go on for whoever knows it all."""

    def run(self) -> list[nodes.Node]:
        data = self.data()
        if data is None:
            return []
        entries = {
            "Level": data["level"],
            "You need": "\n".join(f"- {line}" for line in data["prerequisites"]),
            "Time": f"about {data['read']} minutes to read, at most {data['run']} to run (full profile, two idle cores)",
            "Afterwards you can": "\n".join(f"- {line}" for line in data["goals"]),
            "Skip it": f"If {data['skip_if']}, go on with {{ref}}`{data['skip_to']}`.",
        }
        card = nodes.admonition("", nodes.title("", "Before you read"), classes=["chapter-card"])
        table = nodes.definition_list(classes=["simple"])
        for term, text in entries.items():
            table += nodes.definition_list_item("", nodes.term("", term), self.markdown(str(text), nodes.definition()))
        return [card.append(table) or card]


class Quiz(CourseDirective):
    """``{quiz} NAME``: the questions, each with its options and a folded answer."""

    def run(self) -> list[nodes.Node]:
        data = self.data()
        if data is None:
            return []
        questions = nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".", classes=["quiz"])
        for entry in data["quiz"]:
            options = nodes.enumerated_list(enumtype="loweralpha", prefix="", suffix=".")
            for option in entry["options"]:
                options += self.markdown(option, nodes.list_item())
            answer = Fold("", FoldTitle("", "Answer"), classes=["quiz-answer"])
            self.markdown(f"**{entry['answer']}.** {entry['why']}", answer)
            item = self.markdown(entry["question"], nodes.list_item())
            item += [options, answer]
            questions += item
        return [questions]


def difficulties(srcdir: str | Path) -> dict[str, int]:
    """How hard each exercise of the book is, by its label."""
    marks: dict[str, int] = {}
    for path in sorted(Path(srcdir, FOLDER).glob("*.yml")):
        marks.update(yaml.safe_load(path.read_text(encoding="utf-8"))["exercises"])
    return marks


def mark_exercises(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the stars behind the title of every exercise of a finished page."""
    marks = difficulties(app.srcdir)
    for node in doctree.findall(lambda node: type(node).__name__ in ("exercise_node", "exercise_enumerable_node")):
        label = node.get("label")
        if label not in marks:
            logger.warning(f"{FOLDER} does not say how hard {label} is", location=docname)
        else:
            node[0] += Difficulty(level=marks[label])


def visit_fold(self: Any, node: Fold) -> None:
    self.body.append(self.starttag(node, "details"))


def depart_fold(self: Any, node: Fold) -> None:
    self.body.append("</details>\n")


def visit_fold_title(self: Any, node: FoldTitle) -> None:
    self.body.append(self.starttag(node, "summary", ""))


def depart_fold_title(self: Any, node: FoldTitle) -> None:
    self.body.append("</summary>\n")


def visit_difficulty(self: Any, node: Difficulty) -> None:
    level = node["level"]
    stars = "★" * level + "☆" * (len(DIFFICULTIES) - level)
    self.body.append(f' <span class="difficulty" role="img" aria-label="{DIFFICULTIES[level]}">{stars}</span>')


def depart_difficulty(self: Any, node: Difficulty) -> None:
    pass


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(Fold, html=(visit_fold, depart_fold))
    app.add_node(FoldTitle, html=(visit_fold_title, depart_fold_title))
    app.add_node(Difficulty, html=(visit_difficulty, depart_difficulty))
    app.add_directive("chapter-card", ChapterCard)
    app.add_directive("quiz", Quiz)
    app.connect("doctree-resolved", mark_exercises)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
