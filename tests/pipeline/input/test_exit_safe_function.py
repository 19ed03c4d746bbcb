import gc
import subprocess
import sys
import threading
import time

import pytest

from pipeline.input.exit_safe_function import ExitSafeFunction

ENDS_WHILE_BATCHES_ARE_PREPARED = """
import sys
from pipeline.dataset import make_dataset

raw, jpeg = sys.argv[1:]
iterators = [
    iter(make_dataset(records, "train", batch_size=1, training=True, reader=reader, epochs=epochs))
    for records, reader in [(raw, "mapped"), (jpeg, "mapped"), (raw, "streamed")]
    for epochs in [None, 1] * 2
]
for iterator in iterators:
    next(iterator)
print("end")
"""


def test_it_calls_and_returns():
    called = ExitSafeFunction(lambda first, second: first + second)

    assert called(1, 2) == 3


def test_an_error_of_the_function_is_passed_on():
    called = ExitSafeFunction(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        called()
    assert called._running._count == 0


def test_at_the_end_a_running_call_returns_and_a_further_one_fails():
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(10)
        return "done"

    called, answers = ExitSafeFunction(work), []
    caller = threading.Thread(target=lambda: answers.append(called()))
    caller.start()
    begun.wait(10)
    ending = threading.Thread(target=called._running.end)
    ending.start()
    time.sleep(0.2)

    assert ending.is_alive()
    go_on.set()
    ending.join(10)
    caller.join(10)
    assert answers == ["done"]
    with pytest.raises(InterruptedError):
        called()


def test_it_ends_when_nobody_holds_it():
    called = ExitSafeFunction(int)
    running = called._running
    del called
    gc.collect()

    assert running._ended


@pytest.mark.slow
def test_a_script_ends_while_batches_are_prepared(write_records):
    folders = [write_records({"train": 64}, encoding=encoding) for encoding in ("raw", "jpeg")]

    done = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_BATCHES_ARE_PREPARED, *folders],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
