"""The loop by itself: every kind of state, every way to leave it."""

import signal
import threading

import pytest
import torch

from ganinv import GanInvError
from ganinv.inversion import Loop, Resume
from ganinv.losses.global_cohesion import RealImages


@pytest.fixture(autouse=True)
def the_handler_is_restored():
    handler = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is handler


class Walk:
    """A small optimisation that uses every kind of state a stage may have."""

    def __init__(self, path, callback=None, steps=8):
        torch.manual_seed(0)
        self.model = torch.nn.Linear(3, 3)
        self.point = torch.zeros(3, requires_grad=True)
        self.maps = {"a": torch.zeros(2), "b": torch.ones(2)}
        self.adam = torch.optim.Adam([*self.model.parameters(), self.point], lr=0.1)
        self.random = torch.Generator().manual_seed(0)
        self.reals = RealImages(torch.arange(5 * 3 * 4, dtype=torch.uint8).reshape(5, 3, 2, 2), seed=1)
        self.history = []
        self.resume = Resume(path, "walk")
        state = {key: value for key, value in vars(self).items() if key != "resume"}
        self.loop = Loop("walk", steps, callback, self.resume, **state)

    def run(self, body=lambda step: None):
        for step in self.loop:
            x = torch.randn(4, 3, generator=self.random) + self.reals.batch(2).mean()
            loss = (self.model(x) + self.point).square().mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            self.maps["a"] += loss.item()
            self.maps["b"] *= 1.1
            self.history.append({"step": step, "loss": loss.item()})
            self.loop.report(loss=loss)
            body(step)
        return self

    def outcome(self):
        return [
            *(p.detach().tolist() for p in (*self.model.parameters(), self.point, *self.maps.values())),
            self.history,
            self.random.get_state().tolist(),
            self.reals.get_state(),
        ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return Walk(tmp_path_factory.mktemp("walk") / "run.pt").run().outcome()


def ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("at", range(8))
def test_every_kind_of_state_comes_back(tmp_path, undisturbed, at):
    with pytest.raises(KeyboardInterrupt):
        Walk(tmp_path / "run.pt").run(lambda step: ctrl_c() if step == at else None)
    again = Walk(tmp_path / "run.pt").run()
    assert again.outcome() == undisturbed
    assert again.loop.step == 8


def test_ctrl_c_lets_the_step_finish(tmp_path):
    done = []
    with pytest.raises(KeyboardInterrupt):
        Walk(tmp_path / "run.pt", callback=done.append).run(lambda step: ctrl_c() if step == 2 else None)
    assert [progress.step for progress in done] == [1, 2, 3]


def test_a_second_ctrl_c_is_immediate(tmp_path):
    reached = []

    def body(step):
        ctrl_c()
        reached.append("first")
        ctrl_c()
        reached.append("second")

    with pytest.raises(KeyboardInterrupt):
        Walk(tmp_path / "run.pt").run(body)
    assert reached == ["first"]


def test_ctrl_c_in_the_last_step_is_not_lost(tmp_path, undisturbed):
    with pytest.raises(KeyboardInterrupt):
        Walk(tmp_path / "run.pt", callback=lambda p: ctrl_c() if p.step == p.steps else None).run()
    again = Walk(tmp_path / "run.pt").run(lambda step: pytest.fail("the stage was finished"))
    assert again.outcome() == undisturbed


def run(loop, body):
    for step in loop:
        body(step)


def test_without_a_file_ctrl_c_still_ends_the_run():
    with pytest.raises(KeyboardInterrupt):
        run(Loop("stage", 3), ctrl_c)


def test_an_error_in_the_body_passes_through_and_restores_the_handler():
    ours = signal.getsignal(signal.SIGINT)

    def fail(step):
        assert signal.getsignal(signal.SIGINT) is not ours
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Loop("stage", 3), fail)
    assert signal.getsignal(signal.SIGINT) is ours


def test_an_error_in_the_callback_passes_through_and_restores_the_handler():
    def fail(progress):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Loop("stage", 3, fail))


def test_a_break_restores_the_handler():
    ours = signal.getsignal(signal.SIGINT)
    for _ in Loop("stage", 3):
        break
    assert signal.getsignal(signal.SIGINT) is ours


def test_a_handler_of_the_program_comes_back():
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    try:
        for _ in Loop("stage", 2):
            pass
        ctrl_c()
        assert caught == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_signals_are_left_alone():
    seen, ours = [], signal.getsignal(signal.SIGINT)

    def work():
        for step in Loop("stage", 3):
            seen.append((step, signal.getsignal(signal.SIGINT) is ours))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, True), (1, True), (2, True)]


def test_stop_ends_the_stage_for_good(tmp_path):
    done = []
    first = Walk(tmp_path / "run.pt", callback=done.append)
    first.run(lambda step: first.loop.stop() if step == 3 else None)
    assert [progress.step for progress in done] == [1, 2, 3, 4]
    assert done[-1].steps == 4
    again = Walk(tmp_path / "run.pt").run(lambda step: pytest.fail("the stage was finished"))
    assert again.outcome() == first.outcome()


def test_ctrl_c_in_the_step_that_stops_is_not_lost(tmp_path):
    walk = Walk(tmp_path / "run.pt")

    def body(step):
        if step == 3:
            walk.loop.stop()
            ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        walk.run(body)
    assert len(Walk(tmp_path / "run.pt").run(lambda step: pytest.fail("the stage was finished")).history) == 4


def test_the_state_is_saved_every_few_seconds(tmp_path, undisturbed, monkeypatch):
    clock = iter(range(0, 1000, 7))
    # seven seconds a step: every third is saved
    monkeypatch.setattr("ganinv.run.loop.time.monotonic", lambda: next(clock))

    def crash(step):
        if step == 5:
            raise MemoryError

    with pytest.raises(MemoryError):
        Walk(tmp_path / "run.pt").run(crash)
    steps = []
    again = Walk(tmp_path / "run.pt").run(steps.append)
    assert 0 < steps[0] < 5
    assert again.outcome() == undisturbed


def test_what_was_saved_does_not_change_with_the_run(tmp_path, undisturbed):
    """One Resume object for both runs: the second starts from the saved state, not from where the first has gone since."""
    first = Walk(tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):
        first.run(lambda step: ctrl_c() if step == 3 else None)
    first.model.weight.data.fill_(9)
    for state in first.adam.state.values():
        state["exp_avg"].fill_(9)
    second = Walk(tmp_path / "run.pt")
    second.resume.stages = first.resume.stages
    second.run()
    assert second.outcome() == undisturbed


def test_stages_are_kept_apart(tmp_path):
    resume = Resume(tmp_path / "run.pt", "two stages")
    a, b = torch.zeros(1), torch.zeros(1)
    for _ in Loop("a", 3, None, resume, x=a):
        a += 1

    def body(step):
        b.add_(10)
        if step == 1:
            ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        run(Loop("b", 3, None, resume, x=b), body)
    resume, a, b = Resume(tmp_path / "run.pt", "two stages"), torch.zeros(1), torch.zeros(1)
    assert list(Loop("a", 3, None, resume, x=a)) == []
    assert list(Loop("b", 3, None, resume, x=b)) == [2]
    assert (a.item(), b.item()) == (3, 20)


def test_a_finished_stage_keeps_no_optimiser(tmp_path):
    walk = Walk(tmp_path / "run.pt").run()
    saved = torch.load(tmp_path / "run.pt", weights_only=True)["stages"]["walk"]
    assert "adam" not in saved
    assert {"model", "point", "maps", "history", "step"} < saved.keys()
    assert Walk(tmp_path / "run.pt").run().outcome() == walk.outcome()


def test_each_progress_has_values_of_its_own():
    seen = []
    loop = Loop("stage", 3, seen.append)
    for step in loop:
        loop.report(loss=float(step), tensor=torch.tensor(step * 2.0))
    assert [progress.values for progress in seen] == [{"loss": s, "tensor": 2 * s} for s in (0.0, 1.0, 2.0)]
    assert [(p.stage, p.step, p.steps) for p in seen] == [("stage", 1, 3), ("stage", 2, 3), ("stage", 3, 3)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_a_loss_that_is_not_finite_ends_the_run_with_one_sentence(value):
    loop = Loop("projection into w", 3)
    with pytest.raises(
        GanInvError, match=r"^projection into w diverged at step 0 \(mse is (nan|inf)\): lower its learning rate\.$"
    ):
        run(loop, lambda step: loop.report(loss=1.0, mse=value))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 truncated"])
def test_a_damaged_file_is_named_with_the_cure(tmp_path, content):
    path = tmp_path / "run.pt"
    path.write_bytes(content)
    with pytest.raises(GanInvError, match=r"run\.pt is not the state of an interrupted run: delete it"):
        Resume(path, "x")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [[1, 2], {"fingerprint": "x"}, {"stages": {}}, "text"])
def test_another_torch_file_is_no_state(tmp_path, content):
    torch.save(content, tmp_path / "run.pt")
    with pytest.raises(GanInvError, match="delete it"):
        Resume(tmp_path / "run.pt", "x")


def test_a_hostile_file_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    torch.save({"fingerprint": "x", "stages": Trap(), "seconds": 0.0}, tmp_path / "run.pt")
    with pytest.raises(GanInvError, match="delete it"):
        Resume(tmp_path / "run.pt", "x")
    assert not (tmp_path / "executed").exists()


def test_a_folder_is_refused_before_the_work(tmp_path):
    with pytest.raises(GanInvError, match="is a folder"):
        Resume(tmp_path, "x")


def test_a_state_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    resume = Resume(tmp_path / "file" / "run.pt", "x")
    with pytest.raises(GanInvError, match=r"run\.pt, the state of this run, cannot be written"):
        list(Loop("stage", 1, None, resume, x=torch.zeros(1)))


def test_seconds_add_up_over_the_runs(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("ganinv.run.loop.time.perf_counter", lambda: clock[0])
    for total in (5.0, 10.0):
        resume = Resume(tmp_path / "run.pt", "x")
        assert resume.seconds == total - 5
        clock[0] += 5
        resume.save()
    assert Resume(tmp_path / "run.pt", "x").seconds == 10
    assert Resume(tmp_path / "run.pt", "another run").seconds == 0
    resume.remove()
    resume.remove()  # gone already
    assert not (tmp_path / "run.pt").exists()
