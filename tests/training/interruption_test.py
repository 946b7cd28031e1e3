"""The first signal is noted, the second one acts as ever; a run that one ends has its status."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from keras_vit.training.interruption import Interruption, TrainingInterrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_said(number, capfd):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.received is None
        os.kill(os.getpid(), number)
        assert interruption.received == number
    assert signal.getsignal(number) is before
    assert f"{number.name}: finishing the step and saving." in capfd.readouterr().err


def test_the_second_signal_acts_as_before_the_block():
    # A process in the background of a shell starts with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OSError, match="disk"), Interruption():
        raise OSError("disk")
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with Interruption() as interruption:
            seen.append((signal.getsignal(signal.SIGINT), interruption.received))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_is_not_caught_ends_the_process_with_the_status_of_the_signal(number, status):
    code = (
        "import importlib.util, pathlib\n"
        "spec = importlib.util.spec_from_file_location('interruption', {path!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "raise module.TrainingInterrupted({number}, 3, pathlib.Path('c/step_3'))\n"
    )
    path = pathlib.Path(sys.modules[Interruption.__module__].__file__)
    result = subprocess.run(
        [sys.executable, "-c", code.format(path=str(path), number=int(number))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == status
    assert "Traceback" not in result.stderr


def test_the_message_says_step_and_file():
    error = TrainingInterrupted(signal.SIGTERM, 12, pathlib.Path("c/step_12"))
    assert str(error) == "SIGTERM: stopped after step 12, saved in c/step_12."
    assert "nothing to save yet" in str(TrainingInterrupted(signal.SIGINT, 0, None))
