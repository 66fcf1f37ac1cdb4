"""Write the student edition of the notebooks: solutions taken out, checks left in.

    python tools/student_edition.py [--out build/student] [notebook ...]

A solution goes from ``{solution}`` or ``{solution-start}`` to its end, over cells if need be. In its place there is room for an answer: functions
without their bodies where a cell of the solution carries the tag ``answer``, an empty cell elsewhere. Cells with the tag ``check`` stand behind a
solution and stay. A card and a quiz, which only the built pages can draw, are written out; the quiz comes without its answers.
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import toc
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PLACEHOLDER = 'raise NotImplementedError("your turn")'
OPTIONS = r"(?::[^:\n][^\n]*\n)*"
SOLUTION = re.compile(r"^(:{3,})\{solution\} \S+\n.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
GATE = re.compile(rf"^(:{{3,}}\{{solution-(?:start|end)\}}[^\n]*\n{OPTIONS}:{{3,}})[ \t]*$", re.MULTILINE)
EXERCISE = re.compile(r"^(:{3,}\{exercise\} [^\n]*)\n:label: (\S+)$", re.MULTILINE)
CARD = re.compile(r"^:::\{chapter-card\} \S+\n:::$", re.MULTILINE)
QUIZ = re.compile(r"^:::\{quiz\} \S+\n:::$", re.MULTILINE)


def student_edition(notebook: NotebookNode, course: Path) -> NotebookNode:
    """A copy of a chapter without its solutions; ``course`` is the folder of the chapters' data."""
    label = re.match(r"\(chapter-([a-z0-9-]+)\)=", notebook.cells[0].source)
    if label is None:
        raise SystemExit("a chapter begins with its label, (chapter-NAME)=")
    data = yaml.safe_load((course / f"{label[1]}.yml").read_text(encoding="utf-8"))
    cells: list[NotebookNode] = []
    solution: list[NotebookNode] | None = None  # the answers found in the solution that is being left out
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if solution is None:
                cells.append(new_code_cell(cell.source, metadata=cell.metadata))
            elif "answer" in cell.metadata.get("tags", []):
                solution.append(new_code_cell(blank(cell.source), metadata=cell.metadata))
            continue
        for piece in GATE.split(cell.source):
            if "{solution-start}" in piece and GATE.match(piece):
                solution = []
            elif "{solution-end}" in piece and GATE.match(piece):
                cells += solution or [new_code_cell("# your answer")]
                solution = None
            elif solution is None and piece.strip():
                cells.append(new_markdown_cell(written_out(piece.strip(), data)))
    if solution is not None:
        raise SystemExit(f"a solution of chapter-{label[1]} has no end")
    for number, cell in enumerate(cells):
        cell.id = str(number)
    return new_notebook(cells=cells, metadata=notebook.metadata)


def blank(source: str) -> str:
    """The code with every function of its top level reduced to signature, docstring and a placeholder."""
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            kept = first.end_lineno if ast.get_docstring(node) else first.lineno - 1
            lines[kept : node.end_lineno] = [" " * first.col_offset + PLACEHOLDER]
    return "\n".join(lines)


def written_out(text: str, data: dict[str, Any]) -> str:
    """Markdown without folded solutions, with the difficulty of its exercises, and with card and quiz in words."""
    stars = {name: "★" * level + "☆" * (3 - level) for name, level in data["exercises"].items()}
    text = SOLUTION.sub("*Your answer:*", text)
    text = EXERCISE.sub(lambda found: f"{found[1]} {stars[found[2]]}\n:label: {found[2]}", text)
    text = CARD.sub(lambda _: card(data), text)
    return QUIZ.sub(lambda _: quiz(data), text)


def card(data: dict[str, Any]) -> str:
    goals = "\n".join(f"- {goal}" for goal in data["goals"])
    needs = "; ".join(data["prerequisites"])
    return (
        f"**Level** {data['level']}. **You need** {needs}. **Time** about {data['read']} minutes to read, at most {data['run']} to run.\n\n"
        f"Afterwards you can\n\n{goals}"
    )


def quiz(data: dict[str, Any]) -> str:
    lines = []
    for number, entry in enumerate(data["quiz"], start=1):
        lines.append(f"{number}. {entry['question'].strip()}\n")
        lines += [f"   - {letter}. {option}" for letter, option in zip("abcd", entry["options"], strict=False)]
        lines.append("")
    return "\n".join(lines).strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder to write to (default build/student)")
    parser.add_argument("--root", type=Path, default=toc.ROOT, help=argparse.SUPPRESS)
    parser.add_argument("notebooks", nargs="*", type=Path, help="only these (default: all that _toc.yml lists)")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    out = options.out or root / "build" / "student"
    out.mkdir(parents=True, exist_ok=True)
    chosen = options.notebooks or [root / path for path in toc.notebooks(root)]
    for path in chosen:
        edition = student_edition(nbformat.read(path, as_version=4), root / "book" / "course")
        nbformat.write(edition, out / path.name)
    print(f"{len(chosen)} notebook(s) without solutions in {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
