import gc
import subprocess
import sys
import threading
import time

import pytest

from pipeline.input.called_until_exit import CalledUntilExit

ENDS_WHILE_BATCHES_ARE_PREPARED = """
import sys
from pipeline.dataset import make_dataset

iterators = [
    iter(make_dataset(sys.argv[1], "train", batch_size=1, training=True, cache="none", epochs=None))
    for _ in range(16)
]
for iterator in iterators:
    next(iterator)
print("end")
"""


def test_it_calls_and_returns():
    called = CalledUntilExit(lambda first, second: first + second)

    assert called(1, 2) == 3


def test_a_failure_is_the_functions_own():
    called = CalledUntilExit(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        called()
    assert called._calls._under_way == 0


def test_what_is_under_way_comes_to_its_end_and_nothing_more_begins():
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(10)
        return "done"

    called, answers = CalledUntilExit(work), []
    caller = threading.Thread(target=lambda: answers.append(called()))
    caller.start()
    begun.wait(10)
    ending = threading.Thread(target=called._calls.end)
    ending.start()
    time.sleep(0.2)

    assert ending.is_alive()
    go_on.set()
    ending.join(10)
    caller.join(10)
    assert answers == ["done"]
    with pytest.raises(InterruptedError):
        called()


def test_what_nobody_can_call_any_more_is_let_go():
    called = CalledUntilExit(int)
    calls = called._calls
    del called
    gc.collect()

    assert calls._ended


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_script_ends_while_batches_are_prepared(write_records, encoding):
    records = write_records({"train": 64}, encoding=encoding)

    done = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_BATCHES_ARE_PREPARED, records],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
