"""What the README, the Makefile, .ci/run and the workflow say to each other."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def dry_run(*arguments: str) -> subprocess.CompletedProcess:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "PROFILE", "JOBS")
    }
    return subprocess.run(["make", "-n", "-B", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("profile", ["fast", "full"])
def test_make_book_goes_from_the_environment_to_the_pages(profile):
    commands = dry_run("book", f"PROFILE={profile}").stdout
    steps = [
        "-m venv .venv",
        "pip install --disable-pip-version-check -e '.[book,test]'",
        "npm ci --ignore-scripts",
        "tools/vendor.py",
        f"tools/run_notebooks.py --profile {profile} --jobs 2",
        f"tools/build_book.py --profile {profile}",
        "build/html/index.html",
    ]
    places = [commands.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_make_book_is_full_unless_told_otherwise():
    assert "--profile full" in dry_run("book").stdout
    wrong = dry_run("book", "PROFILE=quick")
    assert wrong.returncode != 0
    assert 'PROFILE is "quick"; choose fast or full' in wrong.stderr


def test_make_test_installs_and_runs_pytest():
    commands = dry_run("test").stdout
    assert 0 <= commands.find("pip install") < commands.find("-m pytest")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "book/index.md", "book/how_to_use.md"])
def test_every_make_command_that_is_named_exists(page):
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    assert {"book"} <= named
    assert sorted(named - targets) == []


def test_the_continuous_integration_runs_the_readmes_commands():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in CI
    lines = CI.splitlines()
    order = [
        lines.index(command) for command in ("make book PROFILE=fast", "make lint", "make check-pages", "make test")
    ]
    assert order == sorted(order)  # the tests come last, so that their summary is the last thing printed
    for tool in ("ruff check", "ruff format --check", "nbstripout --verify", "mypy src"):
        assert tool in MAKEFILE


def test_the_workflow_publishes_what_passed_and_only_from_main():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert any(step.get("run") == ".ci/run" for step in jobs["check"]["steps"])
    assert jobs["build"]["needs"] == "check"
    assert jobs["build"]["if"] == "github.ref == 'refs/heads/main'"
    assert jobs["publish"]["needs"] == "build"
    assert [step["run"] for step in jobs["build"]["steps"] if "run" in step] == ["make book", "make check-pages"]
