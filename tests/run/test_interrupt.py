import signal
import threading

import pytest

from ganinv.run import Interrupt


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def the_handler_is_restored():
    handler = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_waits_to_be_seen():
    done = []

    def work():
        with Interrupt() as interrupt:
            assert not interrupt.pending
            ctrl_c()
            done.append("the rest of the step")
            assert interrupt.pending
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_one_that_nobody_saw_is_raised_at_the_end():
    done = []

    def work():
        with Interrupt():
            ctrl_c()
            done.append("everything")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_a_second_one_is_immediate():
    done = []

    def work():
        with Interrupt():
            ctrl_c()
            ctrl_c()
            done.append("too late")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not done


def test_an_error_wins_over_one_that_is_pending():
    def work():
        with Interrupt():
            ctrl_c()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_without_one_nothing_happens():
    with Interrupt() as interrupt:
        pass
    assert not interrupt.pending


def test_other_threads_are_left_alone():
    seen, ours = [], signal.getsignal(signal.SIGINT)

    def work():
        with Interrupt() as interrupt:
            seen.append((signal.getsignal(signal.SIGINT) is ours, interrupt.pending))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(True, False)]
