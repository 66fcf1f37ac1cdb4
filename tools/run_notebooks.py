"""Execute the book's notebooks and leave clean copies in build/executed, ready for Jupyter Book.

    python tools/run_notebooks.py --profile fast --jobs 2

papermill runs every notebook that _toc.yml lists, in an empty folder of its own. What comes back loses times, paths of
this machine and papermill's own cell; a notebook that failed, that printed to stderr or that misses an output is refused.
A finished notebook is kept in build/cache under a key made of everything it depends on, so a second run costs nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import toc
from nbformat import NotebookNode

PROFILES = ("fast", "full")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_LANGUAGE_INFO = ("name", "file_extension", "mimetype", "pygments_lexer")


@dataclass
class Result:
    """One notebook's run: how long it took, and what is wrong with it (nothing, when it is fit to print)."""

    notebook: Path
    seconds: float
    cached: bool
    problems: list[str]


def fingerprint(root: Path) -> str:
    """A hash of what every notebook depends on: the package with its assets, this runner, Python and all installed versions."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*(root / "src").rglob("*"), Path(__file__)]):
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
            name = path.relative_to(root / "src") if path.is_relative_to(root / "src") else path.name
            digest.update(str(name).encode() + path.read_bytes())
    versions = {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}
    digest.update("\n".join(sorted(versions)).encode())
    return digest.hexdigest()


def cache_key(notebook: NotebookNode, profile: str, dependencies: str) -> str:
    content = [[cell.cell_type, cell.source, cell.metadata] for cell in notebook.cells]
    return hashlib.sha256(json.dumps([content, profile, dependencies], sort_keys=True).encode()).hexdigest()[:32]


def clean(notebook: NotebookNode, profile: str, private_paths: dict[str, str]) -> NotebookNode:
    """Strip what differs from run to run and from machine to machine; show the profile that really ran.

    ``private_paths`` maps each folder of this machine to what the book prints in its place.
    """
    cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    number = 0
    for cell in cells:
        for key in ("papermill", "execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = re.sub(
                r"^profile\s*=\s*(['\"]).*?\1", f'profile = "{profile}"', cell.source, flags=re.MULTILINE
            )
        if cell.execution_count is not None:
            number += 1
            cell.execution_count = number
        cell.outputs = [hide_paths(output, private_paths) for output in merge_streams(cell.outputs)]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    notebook.cells = cells
    language = notebook.metadata.get("language_info", {})
    kept = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    kept["language_info"] = {key: language[key] for key in KEPT_LANGUAGE_INFO if key in language}
    if "widgets" in notebook.metadata:
        kept["widgets"] = notebook.metadata["widgets"]
    notebook.metadata = NotebookNode(kept)
    return notebook


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join pieces of the same stream with nothing to see between them: a kernel cuts a long print wherever it happened to flush, and at every value
    that is glued for the prose."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = next((o for o in reversed(merged) if not is_glued(o)), None)
        if last is not None and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def is_glued(output: NotebookNode) -> bool:
    """Whether it is a value that was glued without being shown."""
    return any(mime.startswith("application/papermill.record/") for mime in output.get("data", {}))


def hide_paths(output: NotebookNode, private_paths: dict[str, str]) -> NotebookNode:
    def hide(text: str) -> str:
        for path in sorted(private_paths, key=len, reverse=True):
            text = text.replace(path, private_paths[path])
        return text

    if output.output_type == "stream":
        output.text = hide(output.text)
    for mime, value in output.get("data", {}).items():
        if mime.startswith("text/") and isinstance(value, str):
            output.data[mime] = hide(value)
    return output


def private_paths(root: Path) -> dict[str, str]:
    """The folders of this machine that the book does not show, and what it prints in their place; ``/``, a home without a person, is none."""
    home = os.path.expanduser("~")
    homes = {home: "~"} if os.path.isabs(home) and Path(home) != Path(home).parent else {}
    return {**homes, tempfile.gettempdir(): "<temporary folder>", f"{root}{os.sep}": "", str(root): "."}


def kernel_environment(root: Path, jobs: int) -> dict[str, str]:
    """What a notebook's kernel finds in its environment: its share of the cores, and of the user's own nothing that would change a figure.

    A notebook that runs alone is told of no share: it takes all cores by itself, and processes that it starts would take its number for theirs.
    """
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    share = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} if jobs > 1 else {}
    # figures are drawn inline, for the page
    user = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    return {
        **user,
        **share,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "MPLCONFIGDIR": str(
            root / "build" / "matplotlib"
        ),  # not the user's matplotlibrc; and the list of fonts is made once
        "PYTHONUTF8": "1",  # notebooks are UTF-8
    }


def problems(notebook: NotebookNode) -> list[str]:
    """What keeps an executed notebook out of the book, one sentence each."""
    found = []
    code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    if not any(cell.outputs for _, cell in code):
        found.append("no cell has an output")
    for position, (i, cell) in enumerate(code):
        where = f"cell {i}"
        if cell.execution_count is None and cell.source.strip():
            found.append(f"{where} was not executed")
        images = 0
        for output in cell.outputs:
            images += has_image(output)
            data = output.get("data", {})
            if output.output_type == "error":
                found.append(f"{where} raised {output.ename}: {output.evalue}")
            elif output.output_type == "stream" and output.name == "stderr":
                found.append(f"{where} wrote to stderr: {first_line(output.text)}")
            elif output.output_type == "stream" and re.search(r"\r(?!\n)|\x1b\[|\d+%\|", output.text):
                found.append(f"{where} printed a progress bar or terminal codes: {first_line(output.text)}")
            text = output.get("text", "") + "".join(
                v for m, v in data.items() if m == "text/plain" and isinstance(v, str)
            )
            if re.search(r"<[\w.]+ .*\bat 0x[0-9a-f]+>", text) and WIDGET_VIEW not in data:
                found.append(
                    f"{where} printed an object's address (end its last line with a semicolon): {first_line(text)}"
                )
        is_figure = "figure" in cell.metadata.get("mystnb", {})
        if is_figure and images != 1:
            found.append(f"{where} is a figure and should show exactly one image, but shows {images}")
        if images and not is_figure and "remove-cell" not in cell.metadata.get("tags", []):
            found.append(f"{where} shows an image without a caption and alternative text in its metadata")
        shows_widget = any(WIDGET_VIEW in output.get("data", {}) for output in cell.outputs)
        next_is_figure = position + 1 < len(code) and any(has_image(o) for o in code[position + 1][1].outputs)
        if shows_widget and not images and not next_is_figure:
            found.append(f"{where} shows a widget without a still image in it or in the next code cell")
    return found


def has_image(output: NotebookNode) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))


def first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return repr(lines[0][:120])


def missing_parameters(path: Path) -> list[str]:
    """papermill ignores a parameter that the notebook does not declare, so look before running."""
    declared = papermill.inspect_notebook(str(path))
    return [] if "profile" in declared else ['no cell tagged "parameters" declares `profile`']


def execute(source: Path, target: Path, profile: str, timeout: float, environment: dict[str, str]) -> str | None:
    """Run one notebook in an empty folder. Returns None, or what papermill said when it failed."""
    with tempfile.TemporaryDirectory(prefix="ganinv-notebook-") as folder:
        command = [sys.executable, "-m", "papermill", str(source), str(target), "-p", "profile", profile]
        command += ["-k", "python3", "--cwd", folder, "--no-progress-bar", "--no-log-output"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
        try:
            _, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the kernel watches its parent and follows it
            process.communicate()
            return f"ran longer than {timeout:.0f} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return None if process.returncode == 0 else (errors.strip()[-3000:] or f"papermill exited {process.returncode}")


def run_notebook(root: Path, notebook: Path, profile: str, timeout: float, jobs: int, dependencies: str) -> Result:
    start = time.perf_counter()
    source, target = root / notebook, root / "build" / "executed" / notebook
    target.parent.mkdir(parents=True, exist_ok=True)
    cached = root / "build" / "cache" / f"{cache_key(nbformat.read(source, as_version=4), profile, dependencies)}.ipynb"
    if cached.is_file():
        shutil.copyfile(cached, target)
        return Result(notebook, time.perf_counter() - start, True, [])

    target.unlink(missing_ok=True)
    found = missing_parameters(source)
    if not found:
        raw = target.with_suffix(".raw.ipynb")
        failure = execute(source, raw, profile, timeout, kernel_environment(root, jobs))
        if failure is None:
            finished = clean(nbformat.read(raw, as_version=4), profile, private_paths(root))
            found = problems(finished)
            if not found:
                nbformat.write(finished, target)
                cached.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(target, cached)
                raw.unlink()
        else:
            found = [failure]
    return Result(notebook, time.perf_counter() - start, False, found)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, default="full")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default 2)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one notebook may take (default 900)")
    parser.add_argument("--root", type=Path, default=toc.ROOT, help=argparse.SUPPRESS)
    parser.add_argument("notebooks", nargs="*", type=Path, help="run only these (default: all that _toc.yml lists)")
    options = parser.parse_args(arguments)

    root = options.root.resolve()
    chosen = [path.resolve().relative_to(root) for path in options.notebooks] or toc.notebooks(root)
    dependencies = fingerprint(root)
    print(f"Running {len(chosen)} notebook(s), {options.profile} profile, {options.jobs} at a time", flush=True)

    def run(notebook: Path) -> Result:
        result = run_notebook(root, notebook, options.profile, options.timeout, options.jobs, dependencies)
        state = "refused" if result.problems else "unchanged, reused" if result.cached else f"{result.seconds:.1f} s"
        print(f"  {notebook}: {state}", flush=True)
        return result

    # Matplotlib lists the fonts once, and says so on stderr where that takes long: not in a notebook.
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.font_manager"], env=kernel_environment(root, 1), capture_output=True
    )
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(run, chosen))
    for result in results:
        for problem in result.problems:
            print(f"{result.notebook}: {problem}", file=sys.stderr)
    return 1 if any(result.problems for result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
