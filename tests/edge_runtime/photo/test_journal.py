"""What a folder's journal does where the disk takes no more."""

import resource
from pathlib import Path

import pytest

from edge_runtime.errors import SettingError
from edge_runtime.photo.journal import NAME, open_journal
from edge_runtime.photo.plan import Job


def test_a_line_that_does_not_fit_is_told(tmp_path: Path) -> None:
    """The lines before it stay what they are."""
    jobs = [Job(Path("in") / name, tmp_path / name) for name in ("a.png", "b.png")]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    with pytest.raises(SettingError) as caught, open_journal(tmp_path, {}, jobs) as j:
        j.add(jobs[0], "0" * 64)
        whole = (tmp_path / NAME).read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole), limits[1]))
        try:
            j.add(jobs[1], "1" * 64)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert f"{tmp_path / NAME}: cannot be written: File too large" == str(caught.value)
    assert whole == (tmp_path / NAME).read_bytes()
    with open_journal(tmp_path, {}, jobs) as journal:
        assert [True, False] == [
            journal.is_done(job, digit * 64)
            for job, digit in zip(jobs, "01", strict=True)
        ]
