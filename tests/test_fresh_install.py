"""What Colab and Binder type, run as written: the network's place is taken by a clone of this repository and by the packages installed here."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = "https://github.com/ganinv/ganinv"
OWN = ("ganinv", "__editable__", "_editable")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone, which pip could be given"),
]


def run(command: list[str], env: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """An environment with everything that is installed here, but without ganinv: what Colab has, and what the index would give."""
    folder = tmp_path_factory.mktemp("bare")
    packages = folder / "packages"
    packages.mkdir()
    for site in {Path(path) for path in sys.path if path.endswith("site-packages")}:
        for entry in site.iterdir():
            if (
                not entry.name.lower().startswith(OWN)
                and entry.suffix != ".pth"
                and not (packages / entry.name).exists()
            ):
                (packages / entry.name).symlink_to(entry)
    venv.create(folder / "venv", with_pip=False)
    site = next((folder / "venv").glob("lib*/python*/site-packages"))
    (site / "installed_here.pth").write_text(f"{packages}\n", encoding="utf-8")
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """Nothing is fetched: pip has no index, and git finds this repository where it looks for the one on the web."""
    here = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "GIT_"))}
    return here | {
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is none
        "PIP_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": PAGES,
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
        "OMP_NUM_THREADS": "1",
    }


WHERE = "import ganinv; print(ganinv.__file__); print(ganinv.load('faces64').resolution)"


def test_the_first_cell_installs_the_book_on_colab(bare, env, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / "_template.ipynb", as_version=4)
    (cell,) = (cell.source for cell in notebook.cells if cell.cell_type == "code" and "%pip install" in cell.source)
    assert PAGES in cell
    (tmp_path / "cell.ipy").write_text(f"{cell}\n{WHERE}\n", encoding="utf-8")
    said = run([str(bare), "-m", "IPython", "cell.ipy"], env, tmp_path)
    file, resolution = said.splitlines()[-2:]
    assert Path(file).is_relative_to(bare.parents[1])  # installed there, not found here
    assert resolution == "64"


def test_binder_installs_what_the_environment_names(bare, env, tmp_path):
    clone = tmp_path / "clone"
    run(["git", "clone", "-q", "--depth", "1", PAGES, str(clone)], env, tmp_path)
    *_, wanted = yaml.safe_load((clone / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (clone / "from_environment.txt").write_text(
        "\n".join(wanted["pip"]) + "\n", encoding="utf-8"
    )  # as conda hands it to pip
    run([str(bare), "-m", "pip", "install", "-q", "-r", "from_environment.txt"], env, clone)
    file, resolution = run([str(bare), "-c", WHERE], env, tmp_path).splitlines()[-2:]
    assert Path(file).is_relative_to(clone)
    assert resolution == "64"
    run([str(bare), "-c", "import jupyterlab_myst, myst_nb, papermill"], env, tmp_path)
