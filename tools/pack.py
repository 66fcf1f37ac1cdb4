"""Pack files as JavaScript: a page opened from a disk (file://) may load scripts, but may not read any other file.

``deliver("name", {"file": "base64 of gzip"})`` is what a packed file says; ``book/_static/live/live.js`` unpacks it. A server that compresses what
it sends makes the base64 as small again as the gzip it holds.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping

FUNCTION = "ganinvLive.deliver"


def packed(name: str, files: Mapping[str, bytes]) -> str:
    """JavaScript that delivers ``files`` under ``name``; the same bytes give the same text."""
    texts = {file: base64.b64encode(gzip.compress(data, 9, mtime=0)).decode() for file, data in files.items()}
    return f"{FUNCTION}({json.dumps(name)}, {json.dumps(texts)});\n"


def unpacked(script: str) -> dict[str, bytes]:
    """What :func:`packed` was given."""
    name_and_files = json.loads(f"[{script.strip().removeprefix(f'{FUNCTION}(').removesuffix(');')}]")
    return {file: gzip.decompress(base64.b64decode(text)) for file, text in name_and_files[1].items()}
