#!/bin/sh
# Shows from inside that an image works, without data and without a network:
#   sh trial.sh edge|demo|train|export [SERVE_COMMAND HEALTH_CHECK]
# stdout is the hash of the picture that was restored, to compare images by; stderr all
# else.
set -eu
exec 3>&1 >&2

main() {
    [ "$(id -u)" -ne 0 ] || fail "it runs as root"
    cd "$(mktemp -d)"
    trap leave EXIT
    tiedge --version
    case $1 in
        edge) run_bundles ;;
        demo)
            run_bundles
            serve "$2" "$3"
            ;;
        train)
            espeak-ng --version
            flite --version
            train
            ;;
        export)
            train
            export_run
            ;;
    esac
}

fail() {
    echo "docker/trial.sh: $1" >&2
    exit 1
}

leave() {
    [ -z "${server:-}" ] || kill "$server"
    rm -rf "$PWD"
}

run_bundles() {
    tiedge inspect denoise | head -n 3
    tiedge inspect digits | head -n 3
    python3 -c "$NOISY_PICTURE"
    tiedge filter denoise noisy.bmp restored.bmp
    python3 -c "$IS_RESTORED" || fail "the filtered picture is no better than the noisy"
    sha256sum restored.bmp >&3
    python3 -c "$CLIPS"
    tiedge transcribe data/speech/free-spoken-digit/0.wav
}

# Starts what the image starts, and asks what its health check asks.
serve() {
    export PORT=8765
    ! sh -c "$2" 2> /dev/null || fail "it is healthy before anything is served"
    sh -c "exec $1" &
    server=$!
    for _ in $(seq 60); do
        if sh -c "$2" 2> /dev/null; then
            echo "healthy: $2"
            return
        fi
        sleep 0.5
    done
    fail "it serves for 30 seconds and is not healthy: $2"
}

train() {
    python3 -c "$CLIPS"
    tiedge train digits --data data/speech/free-spoken-digit --output run \
        steps=2 batch=4 validate_steps=2
}

export_run() {
    TIEDGE_DATA=$PWD/data tiedge export run -o exported
    tiedge inspect exported | head -n 3
}

# A slope under noise of sigma 25; whole numbers only, alike on every machine.
NOISY_PICTURE='
import numpy as np
from PIL import Image
slope = np.add.outer(np.arange(64), np.arange(64))[..., None].repeat(3, 2) + 60
noise = np.random.default_rng(0).integers(-43, 44, slope.shape)
Image.fromarray(slope.astype(np.uint8)).save("slope.bmp")
Image.fromarray((slope + noise).astype(np.uint8)).save("noisy.bmp")
'

IS_RESTORED='
import sys
import numpy as np
from PIL import Image
slope, noisy, restored = (
    np.asarray(Image.open(f"{name}.bmp"), int) for name in ("slope", "noisy", "restored")
)
sys.exit(int(((restored - slope) ** 2).mean() > ((noisy - slope) ** 2).mean() / 10))
'

# Half seconds of noise, said to be digits, where the recipe looks for its recordings.
CLIPS='
import wave
from pathlib import Path
import numpy as np
folder = Path("data/speech/free-spoken-digit")
folder.mkdir(parents=True)
random = np.random.default_rng(0)
rows = ["path\ttext\tspeaker\tsplit_speaker_disjoint"]
for number in range(20):
    with wave.open(str(folder / f"{number}.wav"), "wb") as clip:
        clip.setparams((1, 2, 8000, 0, "NONE", ""))
        clip.writeframes(random.integers(-3000, 3000, 4000, np.int16).tobytes())
    split = "train" if number < 10 else "dev"
    rows.append(f"{number}.wav\tone\tsomebody\t{split}")
(folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")
'

main "$@"
