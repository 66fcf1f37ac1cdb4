"""The student edition: no solution is left, the checks are; with a solution a check passes, with its blank it fails."""

import ast
import contextlib
import io
import re
from pathlib import Path

import nbformat
import pytest
import student_edition
import toc
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "book" / "course"
CHAPTERS = [*(ROOT / path for path in toc.notebooks(ROOT)), ROOT / "notebooks" / "_template.ipynb"]
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag: str) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "code" and tag in c.metadata.get("tags", [])]


def imports(notebook) -> str:
    """The import statements of the cell of imports and settings: what an answer and its check may use besides themselves."""
    source = [cell for cell in notebook.cells if cell.cell_type == "code"][2].source
    found = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in found)


def run(*sources: str) -> str:
    """What the cells print, run one after another in a namespace of their own."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        namespace: dict = {"__name__": "chapter"}
        for source in sources:
            exec(compile(source, "cell", "exec"), namespace)
    return printed.getvalue()


@each_chapter
def test_solutions_are_out_and_everything_else_is_left(path):
    notebook = read(path)
    edition = student_edition.student_edition(notebook, COURSE)
    nbformat.validate(edition)
    text = "\n\n".join(cell.source for cell in edition.cells)
    assert "{solution" not in text
    assert ":label: sol-" not in text
    assert "{chapter-card}" not in text
    assert "{quiz}" not in text
    exercises = re.findall(r":label: (ex-\S+)", "\n".join(cell.source for cell in notebook.cells))
    assert re.findall(r"\{exercise\} \w+ [★☆]{3}\n:label: (ex-\S+)", text) == exercises
    assert tagged(edition, "check") == tagged(notebook, "check")
    assert edition.cells[-1].source == notebook.cells[-1].source


@each_chapter
def test_solutions_pass_their_checks_and_blanks_fail_them(path):
    notebook = read(path)
    edition = student_edition.student_edition(notebook, COURSE)
    answers, checks, blanks = tagged(notebook, "answer"), tagged(notebook, "check"), tagged(edition, "answer")
    assert len(answers) == len(checks) == len(blanks) >= 1
    start = imports(notebook)
    for answer, check, blank in zip(answers, checks, blanks, strict=True):
        assert run(start, answer, check).endswith("All checks passed.\n")
        with pytest.raises(NotImplementedError, match="your turn"):
            run(start, blank, check)
        with pytest.raises((AssertionError, AttributeError, TypeError, ValueError)):  # a body that does nothing
            run(start, blank.replace(student_edition.PLACEHOLDER, "return None"), check)


def test_a_blank_keeps_signature_and_docstring():
    source = 'limit = 3\n\n\ndef f(x):\n    """Twice."""\n    y = 2 * x\n    return y\n\n\ndef g(x):\n    return (\n        x\n    )\n'
    assert student_edition.blank(source) == (
        'limit = 3\n\n\ndef f(x):\n    """Twice."""\n    raise NotImplementedError("your turn")\n\n\n'
        'def g(x):\n    raise NotImplementedError("your turn")'
    )


FIRST = "(chapter-nearest-point)=\n# Title\n\n:::{chapter-card} nearest-point\n:::"
TASK = ":::{exercise} Pencil\n:label: ex-nearest-normal\n\nA task.\n:::"
START = ":::{solution-start} ex-nearest-normal\n:label: sol-x\n:class: dropdown\n:::"
END = ":::{solution-end}\n:::"


@pytest.mark.parametrize(
    ("cells", "left"),
    [
        ([f"{TASK}\n\n:::{{solution}} ex-nearest-normal\n:label: sol-x\n\nSecret.\n:::\n\nAfter."], ["*Your answer:*\n\nAfter."]),
        ([TASK, f"{START}\n\nSecret.", "# secret", f"Secret.\n\n{END}\n\nAfter."], ["# your answer", "After."]),
        ([TASK, START, "# secret", f"{END}\n\n{START}", "Secret.", END], ["# your answer", "# your answer"]),
        ([f"{TASK}\n\n{START}\n\nSecret.\n\n{END}"], ["# your answer"]),
    ],
)  # fmt: skip
def test_a_solution_may_be_spread_over_cells(cells, left):
    made = [new_code_cell(text) if text.startswith("# ") else new_markdown_cell(text) for text in [FIRST, *cells]]
    edition = student_edition.student_edition(new_notebook(cells=made), COURSE)
    text = "\n\n".join(cell.source for cell in edition.cells)
    assert "ecret" not in text
    assert text.endswith("A task.\n:::\n\n" + "\n\n".join(left))


def test_a_solution_without_an_end_is_refused():
    cells = [new_markdown_cell(FIRST), new_markdown_cell(TASK), new_markdown_cell(START)]
    with pytest.raises(SystemExit, match="no end"):
        student_edition.student_edition(new_notebook(cells=cells), COURSE)


def test_the_command_writes_all_chapters(tmp_path, capsys):
    assert student_edition.main(["--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in toc.notebooks(ROOT))
    assert "without solutions" in capsys.readouterr().out
