import os
import time
from pathlib import Path

import nbformat
import pytest
import run_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run_notebooks import (
    cache_key,
    clean,
    fingerprint,
    kernel_environment,
    main,
    merge_streams,
    missing_parameters,
    private_paths,
    problems,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIGURE = {"mystnb": {"figure": {"name": "fig-a", "caption": "A figure."}, "image": {"alt": "A dot."}}}


def image():
    return new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure size 640x480 with 1 Axes>"})


def widget():
    return new_output(
        "display_data", data={run_notebooks.WIDGET_VIEW: {"model_id": "a"}, "text/plain": "IntSlider(value=0)"}
    )


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def executed(*cells):
    """A notebook of code cells, each given as (outputs, metadata)."""
    notebook = new_notebook()
    for number, (outputs, metadata) in enumerate(cells, start=1):
        notebook.cells.append(new_code_cell("x", outputs=outputs, metadata=metadata, execution_count=number))
    return notebook


def test_good_outputs_pass():
    assert (
        problems(executed(([stream("mse 0.01\n")], {}), ([image()], FIGURE), ([widget()], {}), ([image()], FIGURE)))
        == []
    )


@pytest.mark.parametrize(
    ("outputs", "metadata", "complaint"),
    [
        ([new_output("error", ename="ValueError", evalue="no", traceback=[])], {}, "raised ValueError: no"),
        ([stream("UserWarning: old\n", "stderr")], {}, "wrote to stderr: 'UserWarning: old'"),
        ([stream("\r 10%|#   | 1/10")], {}, "progress bar"),
        ([stream("\x1b[1mbold\x1b[0m\n")], {}, "terminal codes"),
        (
            [new_output("execute_result", data={"text/plain": "<matplotlib.legend.Legend at 0x7f31c8b0>"})],
            {},
            "object's address",
        ),
        ([stream("done\n")], FIGURE, "exactly one image, but shows 0"),
        ([image(), image()], FIGURE, "exactly one image, but shows 2"),
        ([image()], {}, "without a caption"),
        ([widget()], {}, "widget without a still image"),
    ],
)
def test_bad_outputs_are_refused(outputs, metadata, complaint):
    found = problems(executed((outputs, metadata)))
    assert len(found) == 1
    assert found[0].startswith("cell 0 ")
    assert complaint in found[0]


def test_missing_outputs_are_refused():
    assert problems(executed(([], {}))) == ["no cell has an output"]
    notebook = executed(([stream("a")], {}), ([], {}))
    notebook.cells[1].execution_count = None
    assert problems(notebook) == ["cell 1 was not executed"]


def test_clean_leaves_only_what_the_reader_should_see():
    notebook = executed(
        ([], {"tags": ["parameters"], "papermill": {"duration": 0.1}}),
        ([], {"tags": ["injected-parameters"]}),
        (
            [stream("/home/me/book/src/"), stream("a.py\n"), stream("warning", "stderr")],
            {"execution": {"iopub.execute_input": "2026"}},
        ),
        ([new_output("execute_result", data={"text/plain": "'/home/me/x'", "image/png": PNG}, execution_count=9)], {}),
    )
    notebook.cells[0].source = 'profile = "full"  # or "fast"'
    notebook.metadata = {
        "papermill": {"output_path": "/home/me/out"},
        "kernelspec": {"name": "my-kernel", "display_name": "mine"},
        "language_info": {"name": "python", "version": "3.11.7"},
        "widgets": {"state": {}},
    }
    cleaned = clean(notebook, "fast", {"/home/me/book/": "", "/home/me": "~"})

    assert [cell.execution_count for cell in cleaned.cells] == [1, 2, 3]
    assert cleaned.cells[0].source == 'profile = "fast"  # or "fast"'
    assert cleaned.cells[0].metadata == {"tags": ["parameters"]}
    assert cleaned.cells[1].metadata == {}
    assert [(output.name, output.text) for output in cleaned.cells[1].outputs] == [
        ("stdout", "src/a.py\n"),
        ("stderr", "warning"),
    ]
    assert cleaned.cells[2].outputs[0].data == {"text/plain": "'~/x'", "image/png": PNG}
    assert cleaned.cells[2].outputs[0].execution_count == 3
    assert cleaned.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "widgets": {"state": {}},
    }
    nbformat.validate(cleaned)


@pytest.fixture
def book(tmp_path):
    """A book folder, and a function that adds a notebook of the given code cells to it."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "module.py").write_text("answer = 42\n", encoding="utf-8")
    (tmp_path / "notebooks").mkdir()
    chapters = []

    def add(name, *sources, parameters='profile = "full"'):
        notebook = new_notebook(
            cells=[new_markdown_cell("# Title"), new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        )
        notebook.cells += [new_code_cell(source) for source in sources]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
        chapters.append(f"  - file: notebooks/{name}\n")
        (tmp_path / "_toc.yml").write_text(
            "format: jb-book\nroot: index\nchapters:\n" + "".join(chapters), encoding="utf-8"
        )
        return tmp_path

    return add


def test_lines_between_which_values_are_glued_are_one_print():
    glued = [
        new_output(
            "display_data", data={"application/papermill.record/text/plain": "1"}, metadata={"scrapbook": {"name": n}}
        )
        for n in "ab"
    ]
    outputs = [stream("one\n"), glued[0], stream("two\n"), glued[1], image(), stream("three\n"), stream("!", "stderr")]
    merged = merge_streams(outputs)
    assert [output.get("text", "") for output in merged] == ["one\ntwo\n", "", "", "", "three\n", "!"]
    assert merged[1:3] == glued


def test_runs_what_the_table_of_contents_lists_and_reuses_it(book, capsys):
    book("01_good", "import os; print(profile, os.listdir('.'), os.environ['OMP_NUM_THREADS'])")
    root = book("02_bad", "print('first')", "raise RuntimeError('on purpose')")
    arguments = ["--profile", "fast", "--root", str(root)]

    assert main([*arguments, "--jobs", str(max(2, os.cpu_count() or 1))]) == 1
    output = capsys.readouterr()
    assert "notebooks/02_bad.ipynb: refused" in output.out
    assert "RuntimeError" in output.err
    assert "on purpose" in output.err
    assert not (root / "build/executed/notebooks/02_bad.ipynb").exists()
    good = nbformat.read(root / "build/executed/notebooks/01_good.ipynb", as_version=4)
    assert good.cells[2].outputs[0].text == "fast [] 1\n"  # in an empty folder, one thread for each of two
    assert str(root) not in nbformat.writes(good)

    only_good = [*arguments, str(root / "notebooks/01_good.ipynb")]
    assert main(only_good) == 0
    assert "01_good.ipynb: unchanged, reused" in capsys.readouterr().out


def test_only_notebooks_that_run_beside_others_are_given_a_share_of_the_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert kernel_environment(tmp_path, 4)["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in kernel_environment(tmp_path, 1)


def test_the_users_environment_changes_no_figure(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mine"))
    environment = kernel_environment(tmp_path, 2)
    assert "MPLBACKEND" not in environment
    assert environment["MPLCONFIGDIR"] == str(tmp_path / "build" / "matplotlib")
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(("home", "shown"), [("/", None), ("", None), ("/home/me", "~")])
def test_a_home_that_is_the_root_is_not_replaced(tmp_path, monkeypatch, home, shown):
    monkeypatch.setenv("HOME", home)
    paths = private_paths(tmp_path)
    assert paths.get(home) == shown
    assert not {"", "/"} & set(paths)
    assert (paths[str(tmp_path)], paths[f"{tmp_path}/"]) == (".", "")


def test_a_notebook_that_takes_too_long_is_stopped_with_its_kernel(book, tmp_path, capsys):
    mark = tmp_path / "pid"
    root = book("01_slow", f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(900)")
    for limit in (5, 20, 80, 320):  # the kernel has to be up before the limit, and a busy machine is slow to start it
        assert main(["--root", str(root), "--timeout", str(limit)]) == 1
        assert f"ran longer than {limit} s" in capsys.readouterr().err
        if mark.exists():
            break
    kernel = int(mark.read_text(encoding="utf-8"))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and is_running(kernel):
        time.sleep(0.1)
    assert not is_running(kernel)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # a zombie is not running
    return not (status.exists() and status.read_text(encoding="utf-8").split(")")[-1].split()[0] == "Z")


def test_a_notebook_without_the_parameter_is_not_run(book, capsys):
    root = book("01_none", "print(1)", parameters="speed = 1")
    assert missing_parameters(root / "notebooks/01_none.ipynb") == ['no cell tagged "parameters" declares `profile`']
    assert main(["--root", str(root)]) == 1
    assert "declares `profile`" in capsys.readouterr().err


def test_cache_key_follows_source_profile_and_package(book):
    root = book("01_a", "print(1)")
    notebook = nbformat.read(root / "notebooks/01_a.ipynb", as_version=4)
    before = fingerprint(root)
    keys = {cache_key(notebook, "fast", before), cache_key(notebook, "full", before)}
    (root / "src/module.py").write_text("answer = 43\n", encoding="utf-8")
    keys.add(cache_key(notebook, "fast", fingerprint(root)))
    notebook.cells[-1].source = "print(2)"
    keys.add(cache_key(notebook, "fast", before))
    notebook.cells[-1].metadata["mystnb"] = FIGURE["mystnb"]
    keys.add(cache_key(notebook, "fast", before))
    assert len(keys) == 5
