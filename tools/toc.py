"""What ``_toc.yml`` lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def documents(root: Path = ROOT) -> list[str]:
    """Every document of the book, in reading order, without its suffix."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, list):
            for child in node:
                yield from walk(child)
        elif isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    yield str(node[key]).removesuffix(".ipynb").removesuffix(".md")
            for key in ("parts", "chapters", "sections"):
                yield from walk(node.get(key, []))

    return list(walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def notebooks(root: Path = ROOT) -> list[Path]:
    """The documents that are notebooks, as paths relative to ``root``."""
    return [Path(f"{name}.ipynb") for name in documents(root) if (root / f"{name}.ipynb").is_file()]
