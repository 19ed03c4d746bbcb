"""How versions take over from each other, with versions that load at once and answer nothing."""

import threading

import pytest

from serving.server.version_keeper import Retries, State, VersionKeeper


class Loaded:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Loader:
    """Loads versions, except those that are damaged."""

    def __init__(self) -> None:
        self.damaged: set[int] = set()
        self.tried: list[tuple[int, str]] = []

    def __call__(self, model, number, folder) -> Loaded:
        self.tried.append((number, folder))
        if number in self.damaged:
            raise ValueError("damaged")
        return Loaded()


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def keeper(loader) -> VersionKeeper:
    return VersionKeeper("pneumonia", loader, Retries(max_number=0, interval=0.0))


def want(keeper, *numbers) -> None:
    keeper.want({number: f"/{number}" for number in numbers})


def finish(keeper) -> None:
    while keeper.step():
        pass


def states(keeper) -> dict[int, State]:
    return {version.number: version.state for version in keeper.versions()}


def test_the_highest_wanted_version_is_loaded_first(keeper, loader):
    want(keeper, 1, 3, 2)
    finish(keeper)

    assert loader.tried == [(3, "/3"), (2, "/2"), (1, "/1")]
    assert list(states(keeper)) == [3, 2, 1]
    assert keeper.available() == {1, 2, 3}


def test_a_version_that_is_not_wanted_is_unloaded_only_when_a_wanted_one_is_available(keeper):
    want(keeper, 1)
    finish(keeper)
    want(keeper, 2)

    assert keeper.step()  # loads 2
    assert states(keeper) == {2: State.AVAILABLE, 1: State.AVAILABLE}
    assert keeper.step()  # unloads 1
    assert states(keeper) == {2: State.AVAILABLE, 1: State.END}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(keeper, loader):
    loader.damaged = {2}
    want(keeper, 1)
    finish(keeper)
    want(keeper, 2)
    finish(keeper)

    assert states(keeper) == {2: State.END, 1: State.AVAILABLE}
    assert keeper.versions()[0].error.message == "damaged"
    assert keeper.has_finished_loading()


def test_without_a_wanted_version_all_are_unloaded(keeper):
    want(keeper, 1, 2)
    finish(keeper)
    want(keeper)
    finish(keeper)

    assert states(keeper) == {2: State.END, 1: State.END}


def test_a_version_that_is_withdrawn_before_it_is_loaded_ends(keeper, loader):
    want(keeper, 1)
    want(keeper)
    finish(keeper)

    assert states(keeper) == {1: State.END}
    assert not loader.tried


def test_a_failed_load_is_retried_a_limited_number_of_times(loader):
    keeper = VersionKeeper("pneumonia", loader, Retries(max_number=2, interval=0.0))
    loader.damaged = {1}
    want(keeper, 1)
    seen = []
    while keeper.step():
        seen.append(states(keeper)[1])
    want(keeper, 1)
    finish(keeper)

    assert seen == [State.LOADING, State.LOADING, State.END]
    assert len(loader.tried) == 3


def test_a_version_waits_for_its_next_try(loader):
    keeper = VersionKeeper("pneumonia", loader, Retries(max_number=1, interval=3600.0))
    loader.damaged = {1}
    want(keeper, 1)
    finish(keeper)

    assert states(keeper) == {1: State.LOADING}
    assert not keeper.has_finished_loading()


def test_a_version_whose_tries_have_failed_is_tried_again_only_after_it_was_withdrawn(keeper, loader):
    loader.damaged = {1}
    want(keeper, 1)
    finish(keeper)
    loader.damaged = set()
    want(keeper, 1)
    finish(keeper)
    assert states(keeper) == {1: State.END}

    want(keeper)
    want(keeper, 1)
    finish(keeper)
    assert states(keeper) == {1: State.AVAILABLE}


def test_a_request_borrows_the_highest_available_version_or_the_one_that_it_names(keeper):
    want(keeper, 1, 2)
    finish(keeper)

    with keeper.lend(None) as newest, keeper.lend(2) as second, keeper.lend(1) as first:
        assert newest is second
        assert first is not second
    with keeper.lend(3) as missing:
        assert missing is None


def test_a_version_is_not_unloaded_before_its_requests_are_answered(keeper):
    want(keeper, 1)
    finish(keeper)
    with keeper.lend(1) as servable:
        want(keeper)
        finish(keeper)
        assert states(keeper) == {1: State.UNLOADING}
        assert keeper.unloading() == {1}
        with keeper.lend(1) as hidden:
            assert hidden is None
        assert not servable.is_closed
    finish(keeper)

    assert states(keeper) == {1: State.END}
    assert servable.is_closed


def test_a_version_that_is_wanted_again_while_it_is_unloaded_is_loaded_again(keeper, loader):
    want(keeper, 1)
    finish(keeper)
    with keeper.lend(1) as servable:
        want(keeper)
        finish(keeper)
        want(keeper, 1)
        finish(keeper)
        assert states(keeper) == {1: State.UNLOADING}
        assert not keeper.has_finished_loading()
    finish(keeper)

    assert servable.is_closed
    assert states(keeper) == {1: State.AVAILABLE}
    assert loader.tried == [(1, "/1"), (1, "/1")]


def test_no_request_ever_holds_a_closed_version(keeper):
    """Requests of many threads borrow versions, while the owner replaces these as fast as it can."""
    want(keeper, 1)
    finish(keeper)
    ended, closed, borrowed = threading.Event(), [], set()

    def borrow() -> None:
        while not ended.is_set():
            with keeper.lend(None) as servable:
                borrowed.add(servable)
                closed.append(servable.is_closed)

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(2, 60):
        want(keeper, number)
        finish(keeper)
    ended.set()
    for thread in threads:
        thread.join()
    finish(keeper)

    assert len(borrowed) > 1
    assert not any(closed)
    assert keeper.available() == {59}
    assert not keeper.unloading()
