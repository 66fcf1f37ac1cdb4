"""A table of words and numbers as the value of a notebook's cell: HTML on a page, aligned text in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

NUMERIC = frozenset("0123456789-+−±.,×%–∞ /e")


class Sheet:
    """A table.

    Args:
        head: names of the columns; the first column names the rows.
        rows: the cells, as they are to be shown; more come by :meth:`add`.
        caption: what the table shows and how its numbers were measured, plain text.

    Raises:
        ValueError: a row is not as long as ``head``.
    """

    def __init__(self, head: Sequence[str], rows: Iterable[Sequence[str]] = (), caption: str = ""):
        self.head, self.caption = list(head), caption
        self.rows: list[list[str]] = []
        for row in rows:
            self.add(*row)

    def add(self, *row: str) -> None:
        """Add a row. Raises ``ValueError`` unless it is as long as the head."""
        if len(row) != len(self.head):
            raise ValueError(f"a row has {len(row)} cells for {len(self.head)} columns: {list(row)}")
        self.rows.append(list(row))

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold nothing but numbers (or nothing); never the first."""
        return [j > 0 and all(set(row[j]) <= NUMERIC for row in self.rows) for j in range(len(self.head))]

    def _repr_html_(self) -> str:
        sides = ["right" if numeric else "left" for numeric in self.numeric]

        def line(row: Sequence[str], tags: Sequence[str]) -> str:
            cells = zip(tags, sides, row, strict=True)
            filled = [f'<{tag} style="text-align: {side}">{escape(cell)}</{tag[:2]}>' for tag, side, cell in cells]
            return f"<tr>{''.join(filled)}</tr>"

        head = line(self.head, ['th scope="col"' if cell else "td" for cell in self.head])  # an empty header is none
        tags = ['th scope="row"', *["td"] * (len(self.head) - 1)]
        body = "".join(line(row, tags) for row in self.rows)
        caption = escape(self.caption)
        # what scrolls on a phone has to be within the keyboard's reach
        return (
            f'<div role="region" tabindex="0" aria-label="{caption}" style="overflow-x: auto"><table class="table">'
            f"<caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        lines, table = [self.caption], [self.head, *self.rows]
        widths = [max(len(row[j]) for row in table) for j in range(len(self.head))]
        for row in table:
            cells = zip(row, widths, self.numeric, strict=True)
            lines.append("  ".join(c.rjust(width) if right else c.ljust(width) for c, width, right in cells).rstrip())
        return "\n".join(lines)
