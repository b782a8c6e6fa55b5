import os
from pathlib import Path

import httpx
import numpy as np
import pytest

from demo_app.settings import Settings, ready_made
from edge_runtime.audio import read_audio
from edge_runtime.bundle import BUNDLES
from tests.demo_app.conftest import serving
from tests.demo_app.served import events_of

DATA = Path(os.environ.get("TIEDGE_DATA", "../shared/data"))
DIGITS = DATA / "speech" / "free-spoken-digit"
PHOTOS = DATA / "photos"
N_CLIPS = 10


def missing(*paths: Path) -> str:
    return ", ".join(str(path) for path in paths if not path.exists())


@pytest.mark.skipif(
    bool(missing(BUNDLES / "denoise", PHOTOS)),
    reason=f"not there: {missing(BUNDLES / 'denoise', PHOTOS)}",
)
def test_photograph_comes_back_restored() -> None:
    """A real photograph with noise of 25 gains at least 7 dB by the shipped bundle."""
    photo = PHOTOS / (PHOTOS / "dev_32.txt").read_text().splitlines()[0]
    with serving(Settings(port=0, bundles=ready_made(BUNDLES))) as served:
        answer = httpx.post(
            f"{served.address}/picture",
            content=photo.read_bytes(),
            params={"noise": True, "sigma": 25},
            timeout=60,
        ).json()

    assert answer["psnr_db"] > answer["noisy_psnr_db"] + 7


@pytest.mark.skipif(
    bool(missing(BUNDLES / "digits", DIGITS)),
    reason=f"not there: {missing(BUNDLES / 'digits', DIGITS)}",
)
def test_spoken_digits_come_back_as_words() -> None:
    """Of ten digits by a speaker that training never heard, nine come back right."""
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    rows = [
        line.split("\t")
        for line in (DIGITS / "transcripts.tsv").read_text().splitlines()[1:]
    ]
    unseen = [row for row in rows if row[4] == "dev"]
    chosen = unseen[:: len(unseen) // N_CLIPS][:N_CLIPS]
    n_right = 0
    with serving(Settings(port=0, bundles=ready_made(BUNDLES))) as served:
        for path, _, text, *_ in chosen:
            samples, rate_hz = read_audio(DIGITS / path)
            with served.transcription(
                sample_rate_hz=rate_hz, bundle="digits", precision="int8"
            ) as client:
                for piece in np.array_split(samples, 7):
                    client.send(piece.tobytes())
                client.send("end")
                finals = [e["text"] for e in events_of(client) if e["kind"] == "final"]
                n_right += " ".join(finals).split() == [text]

    assert n_right >= 9
