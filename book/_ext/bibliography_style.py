"""The bibliography's style: entries sorted by author and year, without the bracketed key, as the text cites them by author."""

from __future__ import annotations

from typing import Any

import pybtex.plugin
from pybtex.style.formatting.unsrt import Style as UnsrtStyle
from pybtex.style.sorting.author_year_title import SortingStyle


class BookStyle(UnsrtStyle):
    default_sorting_style = SortingStyle


def setup(app: Any) -> dict[str, Any]:
    pybtex.plugin.register_plugin("pybtex.style.formatting", "book", BookStyle)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
