import threading

import pytest

from edge_runtime.errors import VideoError
from edge_runtime.live.mailbox import Mailbox


def test_the_newest_replaces_what_waits() -> None:
    """Of three items put one after another, the last is taken and two are counted."""
    mailbox: Mailbox[int] = Mailbox()

    for item in (1, 2, 3):
        mailbox.put(item)

    assert 3 == mailbox.take()
    assert 2 == mailbox.n_dropped
    assert mailbox.take(timeout_s=0) is None


def test_keep_all_waits_for_the_place() -> None:
    """Nothing is dropped: whoever puts waits until the one before is taken."""
    mailbox: Mailbox[int] = Mailbox(keep_all=True)
    thread = threading.Thread(target=lambda: [mailbox.put(i) for i in range(100)])
    thread.start()

    taken = [mailbox.take() for _ in range(100)]

    thread.join()
    assert list(range(100)) == taken
    assert 0 == mailbox.n_dropped


def test_the_last_item_outlives_the_end() -> None:
    """What lies there when it is closed is still taken; then it is over."""
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(7)

    mailbox.close()

    assert not mailbox.put(8)
    assert not mailbox.is_over
    assert 7 == mailbox.take()
    assert mailbox.is_over
    assert mailbox.take() is None


def test_an_error_comes_after_the_last_item() -> None:
    """The side that takes gets the item first, then the error of the side that put."""
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(7)

    mailbox.close(VideoError("gone"))
    mailbox.close()

    assert 7 == mailbox.take()
    assert not mailbox.is_over
    with pytest.raises(VideoError, match="gone"):
        mailbox.take()


def test_closing_wakes_whoever_waits() -> None:
    """A thread that waits for an item gets None when there will be none."""
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()

    mailbox.close()

    thread.join()
    assert [None] == taken
