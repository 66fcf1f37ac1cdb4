"""The stored notebooks keep the form that CONTRIBUTING.md describes, before anything is run."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import toc  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell) -> list:
    return cell.metadata.get("tags", [])


def text(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def headings(notebook) -> list[str]:
    without_fences = re.sub(r"^(`{3,})[^\n]*\n.*?^\1\s*$", "", text(notebook), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^##\s+(.+?)\s*$", without_fences, flags=re.MULTILINE)


def test_every_document_of_the_table_of_contents_exists():
    missing = [
        name
        for name in toc.documents()
        if not any((ROOT / f"{name}{suffix}").is_file() for suffix in (".md", ".ipynb"))
    ]
    assert missing == []


def test_every_notebook_is_in_the_table_of_contents():
    stored = {path for path in (ROOT / "notebooks").glob("*.ipynb") if not path.name.startswith("_")}
    assert stored == {ROOT / path for path in toc.notebooks() if path.parent.name == "notebooks"}


@each_notebook
def test_is_valid_and_stripped(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))
    assert "papermill" not in notebook.metadata
    verified = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", str(path)], capture_output=True, text=True
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


@each_notebook
def test_parameters_cell_declares_the_profile(path):
    tagged = [cell for cell in code_cells(read(path)) if "parameters" in tags(cell)]
    assert len(tagged) == 1
    assert re.match(r'profile = "full"', tagged[0].source)
    assert set(papermill.inspect_notebook(str(path))) == {"profile"}


@each_notebook
def test_setup_cell_installs_from_the_repository_of_the_book(path):
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    setup = [cell for cell in code_cells(read(path)) if "%pip install" in cell.source]
    assert len(setup) == 1
    assert "remove-cell" in tags(setup[0])
    assert f"git+{url}" in setup[0].source


@each_notebook
def test_uses_the_package_and_both_profiles(path):
    source = "\n".join(cell.source for cell in code_cells(read(path)))
    assert re.search(r"^(import ganinv|from ganinv)", source, flags=re.MULTILINE)
    assert len(re.findall(r"\bprofile\b", source)) >= 2  # declared, and used


@each_notebook
def test_opens_with_a_question_and_a_figure(path):
    notebook = read(path)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"\(chapter-[a-z0-9-]+\)=\n# \S", first.source)
    question = re.search(r":::\{admonition\} The question\n:class: question\n(.+?)\n:::", first.source, flags=re.DOTALL)
    assert question
    assert question[1].rstrip().endswith("?")
    section = next(
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE)
    )
    assert any("figure" in cell.metadata.get("mystnb", {}) for cell in notebook.cells[:section])


@each_notebook
def test_closes_with_summary_exercises_and_references(path):
    notebook = read(path)
    assert headings(notebook)[-3:] == ["Summary", "Exercises", "References"]
    last = notebook.cells[-1].source
    assert last.startswith("## References")
    assert "{bibliography}\n:filter: docname in docnames\n:list: bullet" in last
    assert re.search(r"\{cite:[tp]s?\}`", text(notebook))


@each_notebook
def test_every_exercise_has_a_folded_solution(path):
    content = text(read(path))
    exercises = re.findall(r"^:::+\{exercise\}[^\n]*\n:label: (\S+)", content, flags=re.MULTILINE)
    assert len(exercises) >= 2
    solutions = re.findall(r"^:::+\{solution(?:-start)?\} (\S+)\n((?::[^\n]+\n)+)", content, flags=re.MULTILINE)
    assert sorted(exercises) == sorted(label for label, _ in solutions)
    assert all(":class: dropdown" in options for _, options in solutions)
    assert content.count("{solution-start}") == content.count("{solution-end}")


@each_notebook
def test_every_figure_has_a_name_a_caption_and_alternative_text(path):
    figures = [cell.metadata["mystnb"] for cell in code_cells(read(path)) if "mystnb" in cell.metadata]
    assert figures
    for metadata in figures:
        figure, alt = metadata["figure"], metadata["image"]["alt"]
        assert re.fullmatch(r"fig-[a-z0-9]+(-[a-z0-9]+)+", figure["name"])
        assert len(figure["caption"].split()) >= 4
        assert len(alt.split()) >= 4
        assert alt != figure["caption"]
        assert not re.search(r"[{}`$]", alt)  # no roles: a screen reader would read them out


@each_notebook
def test_no_notebook_decides_by_itself_what_is_held(path):
    own = [
        cell.source
        for cell in code_cells(read(path))
        if re.search(r"""["'](?:not )?held["'] (?:if|else)""", cell.source)
    ]
    assert own == []  # ganinv.study decides: held, together, correlated, within


@each_notebook
def test_widgets_are_followed_by_a_figure(path):
    cells = code_cells(read(path))
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if "widget" in tags(cell):
            assert following is not None
            assert "figure" in following.metadata.get("mystnb", {})


@each_notebook
def test_labels_are_spelled_for_sphinx(path):
    content = text(read(path))
    labels = re.findall(r"^:label: (\S+)", content, flags=re.MULTILINE) + re.findall(
        r"^\((\S+)\)=$", content, flags=re.MULTILINE
    )
    wrong = [
        label for label in labels if not re.fullmatch(r"(chapter|sec|fig|eq|ex|sol|alg|tab|def|thm)-[a-z0-9-]+", label)
    ]
    assert wrong == []


def test_labels_and_figure_names_are_unique_in_the_book():
    names = []
    for path in NOTEBOOKS:
        notebook = read(path)
        names += re.findall(r"^:label: (\S+)", text(notebook), flags=re.MULTILINE)
        names += re.findall(r"^\((\S+)\)=$", text(notebook), flags=re.MULTILINE)
        names += [
            cell.metadata["mystnb"]["figure"]["name"] for cell in code_cells(notebook) if "mystnb" in cell.metadata
        ]
    assert sorted({name for name in names if names.count(name) > 1}) == []
