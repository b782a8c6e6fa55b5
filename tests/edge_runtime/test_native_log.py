import os
import re

import pytest

from edge_runtime.native_log import LIBTIFF_LINE, LITERT_LINE, MPG123_LINE, silenced


@pytest.mark.parametrize(
    ("chatter", "line"),
    [
        (LITERT_LINE, b"INFO: [environment.cc:36] Creating\n"),
        (LIBTIFF_LINE, b"ZIPDecode: Decoding error at scanline 0, bad data.\n"),
        (MPG123_LINE, b"[src/libmpg123/parse.c:1260] error: Giving up searching\n"),
        (MPG123_LINE, b"Note: Trying to resync...\n\n"),
    ],
)
def test_silence_passes_other_lines_on(
    chatter: re.Pattern[bytes], line: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only log lines of native code are dropped, not what others say meanwhile."""
    with silenced(chatter):
        os.write(2, line + b"Error: disk full\n")

    assert ("", "Error: disk full\n") == capfd.readouterr()
