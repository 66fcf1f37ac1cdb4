"""The bibliography: complete entries, and no citation without one."""

import re
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[2]
ENTRIES = parse_file(str(ROOT / "book" / "references.bib")).entries
VENUE = {"inproceedings": "booktitle", "article": "journal", "book": "publisher", "misc": "eprint"}


@pytest.mark.parametrize("key", list(ENTRIES))
def test_entry_is_complete(key):
    entry = ENTRIES[key]
    fields = {name.lower(): value for name, value in entry.fields.items()}
    assert fields["title"]
    assert entry.persons["author"]
    assert fields[VENUE[entry.type]]
    assert re.fullmatch(r"(19|20)\d\d", fields["year"])
    assert fields["year"] in key
    assert key.startswith(
        re.sub(r"[^a-z]", "", re.sub(r"\{\\.(\w)\}", r"\1", entry.persons["author"][0].last_names[-1].lower()))
    )
    assert "eprint" in fields or "doi" in fields or "url" in fields
    if "eprint" in fields:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", fields["eprint"])
        assert fields["archiveprefix"] == "arXiv"
        assert int(fields["eprint"][:2]) + 2000 <= int(fields["year"])  # an arXiv number begins with its year
    if "doi" in fields:
        assert re.fullmatch(r"10\.\d{4,}/\S+", fields["doi"])
    if entry.type == "article":
        assert fields["volume"]
    if "pages" in fields:
        first, last = map(int, fields["pages"].split("--"))
        assert first < last


def test_entries_are_sorted_and_each_work_is_there_once():
    assert list(ENTRIES) == sorted(ENTRIES)
    titles = [re.sub(r"\W", "", entry.fields["title"]).lower() for entry in ENTRIES.values()]
    assert len(set(titles)) == len(titles)


def test_citations_and_entries_belong_together():
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
        texts[path] = "\n".join([cell.source for cell in cells if cell.cell_type == "markdown"] + captions)
    cited = {
        (path.name, key.strip())
        for path, text in texts.items()
        for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert cited
    assert sorted(item for item in cited if item[1] not in ENTRIES) == []
    assert sorted(set(ENTRIES) - {key for _, key in cited}) == []


def test_works_that_a_notebooks_code_names_are_cited_there():
    """A figure that is made of papers, such as a timeline, takes its years from their keys."""
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        named = set(re.findall(r'"([a-z]{2,}(?:19|20)\d\d[a-z0-9]+)"', code))
        assert sorted(key for key in named if key not in ENTRIES or not re.search(rf"[`,]{key}[`,]", text)) == [], path
