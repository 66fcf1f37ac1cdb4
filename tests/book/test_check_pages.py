"""The page check has to find what it is there to find. It needs a browser and node_modules, as `make check-pages` does."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import vendor

ROOT = Path(__file__).parents[2]
BROWSER = os.environ.get("CHROMIUM", "/usr/bin/chromium")
needs_modules = pytest.mark.skipif(
    not (ROOT / "node_modules" / "playwright-core").is_dir(), reason="node_modules is not installed"
)
needs_browser = pytest.mark.skipif(
    not (Path(BROWSER).exists() and shutil.which("node")), reason="no Chromium or no node"
)

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PAGE = '<!doctype html><html lang="en"><head><title>T</title><link rel="icon" href="data:,"></head><body><main><h1>T</h1>{}</main></body></html>'


def check(folder: Path, shots: Path) -> subprocess.CompletedProcess:
    command = ["node", str(ROOT / "tools" / "check_pages.mjs"), str(folder), str(shots)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@needs_modules
@needs_browser
def test_faults_are_found_and_sound_pages_pass(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "dot.png").write_bytes(DOT)
    sound = '<p>Text.</p><img src="dot.png" alt="A red dot."><p><a href="index.html">Start</a></p>'
    (site / "index.html").write_text(PAGE.format(sound), encoding="utf-8")
    good = check(site, tmp_path / "shots")
    assert good.returncode == 0, good.stderr
    assert "1 pages at 1280 and 390 px: no problem(s)" in good.stdout
    assert {path.name for path in (tmp_path / "shots").iterdir()} == {
        "index-1280.png",
        "index-1280-dark.png",
        "index-390.png",
    }

    faults = {
        "image without alt text": '<img src="dot.png">',
        "alt text is a file name": '<img src="dot.png" alt="dot.png">',
        "HTTP 404": '<img src="gone.png" alt="Something gone.">',
        "not typeset": '<span class="math">\\(x^2\\)</span>',
        "raw markup": "<p>As {cite:p} says.</p>",
        "console: on purpose": '<script>console.error("on purpose")</script>',
        "exception: Error: thrown": '<script>throw new Error("thrown")</script>',
        "external request: http://192.0.2.1/a.js": '<script async src="http://192.0.2.1/a.js"></script>',
        "at 390 px: wider than the window": '<div style="width:700px">wide</div>',
        "color-contrast": '<p style="color:#bbb;background:#fff">pale words</p>',
        "link to a missing file: gone.html": '<a href="gone.html">gone</a>',
        "link to a missing anchor: index.html#gone": '<a href="index.html#gone">gone</a>',
    }
    (site / "index.html").write_text(PAGE.format("".join(faults.values())), encoding="utf-8")
    bad = check(site, tmp_path / "shots")
    assert bad.returncode == 1
    assert [fault for fault in faults if fault not in bad.stderr] == []


@needs_modules
@needs_browser
def test_says_what_is_missing(tmp_path):
    result = check(tmp_path, tmp_path / "shots")
    assert result.returncode == 2
    assert "build the book first" in result.stderr


@needs_modules
def test_vendored_files_come_with_their_licences(tmp_path):
    vendor.vendor(ROOT / "node_modules", tmp_path / "vendor")
    for name in (
        "mathjax/tex-mml-chtml.js",
        "mathjax/output/chtml/fonts/woff-v2",
        "mathjax/LICENSE",
        "html-manager/embed.js",
    ):
        assert (tmp_path / "vendor" / name).exists()
    licences = (tmp_path / "vendor/html-manager/LICENSES.txt").read_text(encoding="utf-8")
    for package in ("@jupyter-widgets/html-manager", "@lumino/widgets", "jquery", "underscore"):
        assert f"\n{package} " in licences
    assert "Redistribution and use in source and binary forms" in licences  # BSD, Project Jupyter's
    assert "playwright-core" not in licences
