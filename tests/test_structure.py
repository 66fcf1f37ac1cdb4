"""The package's modules: none imports itself in a circle, and help is printed without the heavy ones."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import ganinv

PACKAGE = Path(ganinv.__file__).parent
PROJECT = Path(__file__).parents[1]


def statements(body):
    """What runs when a module is imported: all but the insides of functions, and what only type checkers see."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            for part in ("body", "orelse", "finalbody", "handlers"):
                yield from statements(getattr(node, part, []))


def imports(package):
    """``{module: modules of the same package that it imports}``, by their dotted names."""
    files = {}
    for path in package.rglob("*.py"):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found = {}
    for module, path in files.items():
        home = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        wanted = set()
        for node in statements(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(
                    [
                        *(home[: len(home) - node.level + 1] if node.level else []),
                        *([node.module] if node.module else []),
                    ]
                )
                wanted |= {name if (name := f"{base}.{alias.name}") in files else base for alias in node.names}
        parents = {".".join(parts[:i]) for parts in (name.split(".") for name in wanted) for i in range(1, len(parts))}
        outer = {".".join(home[:i]) for i in range(1, len(home) + 1)}  # these are imported before the module itself
        found[module] = {name for name in wanted | (parents - outer) if name in files and name != module}
    return found


def circle(package):
    """The modules of an import circle, or none."""
    try:
        graphlib.TopologicalSorter(imports(package)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_in_a_circle():
    assert len(imports(PACKAGE)) > 50
    assert circle(PACKAGE) == []


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("from .b import y", "from . import a", True),
        ("import loop.sub.b", "from ..a import x", True),
        ("from . import sub", "if True:\n    from .. import a", True),
        ("from .b import y", "def f():\n    from . import a", False),
        ("from .b import y", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a", False),
    ],
)
def test_a_circle_is_found(tmp_path, a, b, found):
    package = tmp_path / "loop"
    where = package / "sub" if "sub" in a else package
    where.mkdir(parents=True)
    for folder in {package, where}:
        (folder / "__init__.py").write_text("from . import b\n" if folder.name == "sub" else "", encoding="utf-8")
    (package / "a.py").write_text(a, encoding="utf-8")
    (where / "b.py").write_text(b, encoding="utf-8")
    assert bool(circle(package)) is found


def without_encoding(tree):
    """Calls that read or write text in whatever encoding the locale has. (Ruff's PLW1514 misses those on expressions such as ``folder / name``.)"""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in {keyword.arg for keyword in node.keywords}:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute):
            found = (name, len(node.args)) in {("read_text", 0), ("write_text", 1)}
        else:
            modes = [argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)]
            found = name == "open" and "b" not in "".join(modes)
        if found:
            yield ast.unparse(node)


def test_no_text_is_in_the_encoding_of_the_locale():
    files = [
        path for name in ("src", "tests", "tools", "benchmarks", "book") for path in (PROJECT / name).rglob("*.py")
    ]
    assert len(files) > 150
    found = {
        str(path.relative_to(PROJECT)): list(without_encoding(ast.parse(path.read_text(encoding="utf-8"))))
        for path in files
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_a_text_in_the_encoding_of_the_locale_is_found():
    code = "(a / 'b').read_text(); (a / 'b').write_text(t); open('a'); open('a', 'w'); open('a', 'rb'); open('a', encoding='utf-8'); write_text(a, t)"
    assert list(without_encoding(ast.parse(code))) == [
        "(a / 'b').read_text()",
        "(a / 'b').write_text(t)",
        "open('a')",
        "open('a', 'w')",
    ]


def test_help_needs_nothing_heavy():
    code = """
import sys
from typer.testing import CliRunner
from ganinv.cli import app

for command in ([], ["invert"], ["train", "encoder"]):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output, result.output
print(*sorted({"torch", "numpy", "matplotlib", "PIL", "safetensors", "ganinv.cli"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["ganinv.cli"]


def test_names_are_there_without_an_import_of_their_own():
    code = "import ganinv; print(*(getattr(ganinv, name).__name__ for name in ('invert', 'load', 'Inversion', 'photos', 'plots')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["invert", "load", "Inversion", "ganinv.photos", "ganinv.plots"], run.stderr
    assert set(ganinv.__all__) <= set(dir(ganinv))
    with pytest.raises(AttributeError, match="has no attribute 'nobody'"):
        _ = ganinv.nobody
