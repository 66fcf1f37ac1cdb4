"""Build the HTML book from the executed notebooks: build/stage is what Sphinx reads, build/html what a reader opens."""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import slides
import toc
import yaml
from run_notebooks import PROFILES, problems

FAST_NOTICE = "Built with the fast profile: the runs are short and the numbers rough."


def stage(root: Path, target: Path, profile: str) -> None:
    """Gather the configuration, the pages and the executed notebooks in ``target``, with the same relative paths."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = repository_url(root) or config["repository"]["url"]
    if profile == "fast":
        config["html"]["announcement"] = FAST_NOTICE
    (target / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    shutil.copy(root / "_toc.yml", target)
    if (root / "CITATION.cff").is_file():
        shutil.copy(root / "CITATION.cff", target)
    shutil.copytree(root / "book", target / "book", ignore=shutil.ignore_patterns("__pycache__"))
    if (root / "build" / "live").is_dir():  # what tools/export_web.py made for the live figures
        shutil.copytree(root / "build" / "live", target / "book" / "_static" / "live" / "networks")
    for notebook in toc.notebooks(root):
        executed = root / "build" / "executed" / notebook
        if not executed.is_file():
            raise SystemExit(f"{notebook} has not been executed: run tools/run_notebooks.py first")
        content = nbformat.read(executed, as_version=4)
        found = problems(content)
        if found:
            raise SystemExit(f"{executed.relative_to(root)}: {'; '.join(found)}")
        (target / notebook).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(executed, target / notebook)
        save_figures(content, target / "book" / "figures")


def save_figures(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Write every figure of a chapter as ``<its name>.png``, so that any page can show it."""
    folder.mkdir(parents=True, exist_ok=True)
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            if name and "image/png" in output.get("data", {}):
                (folder / f"{name}.png").write_bytes(base64.b64decode(output.data["image/png"]))


def repository_url(root: Path) -> str | None:
    """The address that the book's links point to: GitHub's own variable in a workflow, else the clone's remote."""
    if os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    git = subprocess.run(
        ["git", "-C", str(root), "remote", "get-url", "origin"], capture_output=True, encoding="utf-8", errors="replace"
    )
    found = re.fullmatch(
        r"(?:https://(?:[^@/]*@)?|git@|ssh://git@)(github\.com)[:/](.+?)(?:\.git)?/?", git.stdout.strip()
    )
    return f"https://{found[1]}/{found[2]}" if found else None


def build(staged: Path, html: Path) -> None:
    """Run Jupyter Book with every warning an error; ``html`` is replaced only when the build has passed."""
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(staged),
        "--all",
        "-W",
        "-n",
        "--keep-going",
    ]
    if subprocess.run(command).returncode:
        raise SystemExit("The book did not build: the warnings above say where")
    shutil.rmtree(html, ignore_errors=True)
    shutil.copytree(staged / "_build" / "html", html, ignore=shutil.ignore_patterns(".buildinfo", ".doctrees"))
    (html / ".nojekyll").touch()  # GitHub Pages would drop the folders that begin with an underscore


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--root", type=Path, default=toc.ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    stage(root, root / "build" / "stage", options.profile)
    build(root / "build" / "stage", root / "build" / "html")
    slides.write(root, root / "build" / "html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
