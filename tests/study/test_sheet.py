"""Tables on a page: what a screen reader, a phone and a terminal get."""

from xml.etree import ElementTree

import pytest

from ganinv.study.sheet import Sheet

SHEET = Sheet(
    ["method", "MSE", "needs D"],
    [["near-perfect", "0.0041 ± 0.0001", "yes"], ["a <b> & c", "–", "no"]],
    'Errors & "needs".',
)


def test_the_page_gets_a_table_with_headers_and_escaped_text():
    page = ElementTree.fromstring(SHEET._repr_html_())
    assert (page.tag, page.get("tabindex"), page.get("aria-label")) == ("div", "0", 'Errors & "needs".')
    table = page[0]
    assert table.find("caption").text == 'Errors & "needs".'
    assert [th.text for th in table.iter("th") if th.get("scope") == "col"] == ["method", "MSE", "needs D"]
    assert [th.text for th in table.iter("th") if th.get("scope") == "row"] == ["near-perfect", "a <b> & c"]
    assert [td.text for td in table.iter("td")] == ["0.0041 ± 0.0001", "yes", "–", "no"]
    sides = [td.get("style") for td in table.iter("td")]
    assert sides == ["text-align: right", "text-align: left"] * 2  # numbers stand under each other


def test_the_terminal_gets_columns():
    assert repr(SHEET).splitlines() == [
        'Errors & "needs".',
        "method                    MSE  needs D",
        "near-perfect  0.0041 ± 0.0001  yes",
        "a <b> & c                   –  no",
    ]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        Sheet(["a", "b", "c"], [["1", "2"]], "")


def test_rows_come_one_after_the_other():
    sheet = Sheet(["", "MSE"], caption="Errors.")
    sheet.add("W", "0.1")
    sheet.add("W+", "0.02")
    assert sheet.rows == [["W", "0.1"], ["W+", "0.02"]]
    with pytest.raises(ValueError, match="3 cells for 2 columns"):
        sheet.add("S", "0.3", "0.4")
    page = ElementTree.fromstring(sheet._repr_html_())
    assert [th.text for th in page.iter("th") if th.get("scope") == "col"] == ["MSE"]  # no header without words
