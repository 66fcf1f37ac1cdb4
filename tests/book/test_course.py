"""What stands around the chapters: every chapter has its data, and the data have their shape."""

import re
from pathlib import Path

import nbformat
import pytest
import toc
import yaml

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "book" / "course"
DATA = sorted(COURSE.glob("*.yml"))
CHAPTERS = [ROOT / path for path in toc.notebooks(ROOT)]
each_file = pytest.mark.parametrize("path", DATA, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize(
    "path", [*CHAPTERS, ROOT / "notebooks" / "_template.ipynb"], ids=lambda path: path.stem
)
LEVELS = ("introductory", "intermediate", "advanced")
KEYS = {"level", "prerequisites", "read", "run", "goals", "skip_if", "skip_to", "exercises", "quiz"}


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name(notebook) -> str:
    return re.match(r"\(chapter-([a-z0-9-]+)\)=", notebook.cells[0].source)[1]


def text(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@each_chapter
def test_a_chapter_shows_its_card_and_its_quiz(path):
    notebook = nbformat.read(path, as_version=4)
    label = name(notebook)
    assert (COURSE / f"{label}.yml").is_file(), f"{path.name} needs book/course/{label}.yml"
    assert notebook.cells[0].source.endswith(f"\n\n:::{{chapter-card}} {label}\n:::"), (
        f"{path.name} needs its card in cell 0"
    )
    assert notebook.cells[-2].source.startswith("### Quiz\n"), f"{path.name} needs its quiz before the references"
    assert notebook.cells[-2].source.endswith(f":::{{quiz}} {label}\n:::")


@each_chapter
def test_imports_and_settings_are_folded(path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert re.search(r"^(import|from) ", code[2].source, flags=re.MULTILINE)
    assert "hide-input" in code[2].metadata.get("tags", []), (
        f"{path.name}: the cell after the setup needs the tag hide-input"
    )


@each_chapter
def test_every_exercise_of_a_chapter_has_its_difficulty(path):
    notebook = nbformat.read(path, as_version=4)
    labels = re.findall(r"^:::+\{exercise\}[^\n]*\n:label: (\S+)", text(notebook), flags=re.MULTILINE)
    marks = load(COURSE / f"{name(notebook)}.yml")["exercises"]
    assert sorted(marks) == sorted(labels), f"book/course/{name(notebook)}.yml: exercises"
    assert set(marks.values()) <= {1, 2, 3}


@each_chapter
def test_times_are_those_of_the_chapter(path):
    notebook = nbformat.read(path, as_version=4)
    data = load(COURSE / f"{name(notebook)}.yml")
    words = len(text(notebook).split())
    assert (
        words / 150 <= data["read"] <= max(5, words / 40)
    )  # 40 to 150 words a minute, with their equations and figures
    assert 1 <= data["run"] <= 3


@each_file
def test_data_have_their_shape(path):
    data = load(path)
    assert set(data) == KEYS
    assert data["level"] in LEVELS
    assert 1 <= len(data["prerequisites"]) <= 4
    assert len(data["goals"]) == 3
    for line in [*data["prerequisites"], *data["goals"], data["skip_if"]]:
        assert isinstance(line, str)
        assert not line.endswith(".")
    assert re.fullmatch(r"[a-z0-9-]+", data["skip_to"])


@each_file
def test_a_quiz_has_four_to_six_questions_with_explained_answers(path):
    quiz = load(path)["quiz"]
    assert 4 <= len(quiz) <= 6
    for entry in quiz:
        assert set(entry) == {"question", "options", "answer", "why"}
        assert entry["question"].rstrip().endswith("?")
        assert 3 <= len(entry["options"]) <= 4
        assert all(isinstance(option, str) for option in entry["options"])
        assert len(set(entry["options"])) == len(entry["options"])
        assert entry["answer"] in "abcd"[: len(entry["options"])]
        assert len(entry["why"].split()) >= 8
        assert not entry["why"].startswith(tuple(f"{letter}." for letter in "abcd"))
    assert len({entry["question"] for entry in quiz}) == len(quiz)


def test_right_answers_stand_in_all_places():
    answers = [entry["answer"] for path in DATA for entry in load(path)["quiz"]]
    for letter in "abc":
        assert answers.count(letter) >= len(answers) / 5


def test_no_quiz_quotes_a_number_of_a_run():
    for path in DATA:
        assert "glue" not in path.read_text(encoding="utf-8")


def test_no_data_without_a_chapter():
    labels = {name(nbformat.read(path, as_version=4)) for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert sorted({path.stem for path in DATA} - labels) == []
