"""Copy the JavaScript that pages need from node_modules into book/_static/vendor, with its licences.

The book loads nothing from the network: MathJax typesets its equations, html-manager draws its widgets, reveal.js its slides, and onnxruntime-web
runs the networks of the live figures from these files.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from pack import packed

ROOT = Path(__file__).resolve().parents[1]

# what a page can ask for: the combined component, its fonts, TeX extensions loaded on demand, the accessibility explorer
MATHJAX = [
    "tex-mml-chtml.js",
    "output/chtml",
    "input/tex/extensions",
    "a11y",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
]

# the smallest build of onnxruntime-web that has every operator: one thread, on the processor
RUNTIME = {
    "ort.js": "ort.wasm.min.js",
    "glue.mjs": "ort-wasm-simd-threaded.mjs",
    "ort.wasm": "ort-wasm-simd-threaded.wasm",
}


def vendor(modules: Path, target: Path) -> None:
    """Fill ``target`` from ``modules``; on failure the old folder stays as it was."""
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name in MATHJAX:
        copy(modules / "mathjax" / "es5" / name, fresh / "mathjax" / name)
    copy(modules / "mathjax" / "LICENSE", fresh / "mathjax" / "LICENSE")
    manager = modules / "@jupyter-widgets" / "html-manager" / "dist"
    for file in [manager / "embed.js", manager / "embed.js.LICENSE.txt", *manager.glob("*.woff2")]:
        copy(file, fresh / "html-manager" / file.name)
    for name in ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE"):
        copy(modules / "reveal.js" / name, fresh / "reveal" / Path(name).name)
    (fresh / "html-manager" / "LICENSES.txt").write_text(bundled_licences(modules), encoding="utf-8")
    dist = modules / "onnxruntime-web" / "dist"
    copy(Path(__file__).parent / "licences" / "onnxruntime", fresh / "onnxruntime")  # its npm package has no texts
    runtime = packed("onnxruntime", {name: (dist / file).read_bytes() for name, file in RUNTIME.items()})
    (fresh / "onnxruntime" / "runtime.js").write_text(runtime, encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def bundled_licences(modules: Path) -> str:
    """Name, version, licence and licence text of every package that embed.js was bundled from."""
    lock = json.loads((modules.parent / "package-lock.json").read_text(encoding="utf-8"))
    parts = [
        "embed.js, and ../onnxruntime/runtime.js, are built from these packages; those of Project Jupyter share the BSD licence printed under"
        " @jupyter-widgets/schema.\n"
    ]
    for path, entry in sorted(lock["packages"].items()):
        folder = modules.parent / path
        if (
            not path
            or entry.get("dev")
            or path in ("node_modules/mathjax", "node_modules/reveal.js")
            or not folder.is_dir()
        ):
            continue
        texts = [
            file
            for file in sorted(folder.iterdir())
            if file.name.lower().startswith(("licen", "copying")) and file.is_file()
        ]
        name = path.rpartition("node_modules/")[2]
        parts.append(f"{'=' * 80}\n{name} {entry['version']}: {entry.get('license', 'licence not stated')}\n")
        parts += [text.read_text(encoding="utf-8", errors="replace") for text in texts]
    return "\n".join(parts)


if __name__ == "__main__":
    if not (ROOT / "node_modules" / "mathjax").is_dir():
        sys.exit("node_modules is missing: run `make book`, or `npm ci` first")
    vendor(ROOT / "node_modules", ROOT / "book" / "_static" / "vendor")
