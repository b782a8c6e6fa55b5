from __future__ import annotations

from training.opencv import library, opencv_threads


def test_threads_are_as_many_as_asked_for_meanwhile() -> None:
    """What was before comes back."""
    cv2 = library()
    before = cv2.getNumThreads()

    with opencv_threads(1):
        meanwhile = cv2.getNumThreads()

    assert (1, before) == (meanwhile, cv2.getNumThreads())
