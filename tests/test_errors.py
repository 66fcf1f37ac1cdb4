"""What files say, as a terminal may show it."""

import json

import pytest

from ganinv.errors import printable, shown


@pytest.mark.parametrize("text", ["", "plain", "é ☃ 漢字", "[bold]no markup here[/bold]", "→ …"])
def test_printable_text_is_left_alone(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred", r"\u001b[31mred"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b2J", r"\u009b2J"),  # the control sequence introducer in one character
        ("\u202eexe.gpj", r"\u202eexe.gpj"),  # writes from right to left
        ("\ud800", r"\ud800"),  # cannot be encoded
        ("\U000e0041", r"\udb40\udc41"),
        ("\x07\x00", r"\u0007\u0000"),
    ],
)
def test_what_a_terminal_would_act_on_is_spelt(text, expected):
    assert printable(text) == expected
    assert printable(text).isprintable()
    assert json.loads(f'"{printable(text)}"') == text


def test_json_stays_the_same_json():
    value = {"a\x1b": ["\x9b", "é", "\u2028", '"', "\\"]}
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value


def test_long_text_is_cut():
    assert printable("x" * 100, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10


def test_values_in_messages():
    assert [shown(value) for value in (3, 0.5, True, None, "a\x1b")] == ["3", "0.5", "True", "None", r"'a\u001b'"]
    endless = []
    endless.append(endless)
    assert shown(endless) == "a value of type list"
    assert shown(10**5000) == "a value of type int"
    assert len(shown("x" * 10**6)) < 100
