#!/usr/bin/env bash
# Build the images and try each one: docker/build.sh [edge|edge-arm64|demo|train|export]...
#
# With a Docker engine: docker. Without: buildah as root, without any daemon. Where the
# base image cannot be pulled, debootstrap makes it from this machine's Debian mirror.
# An image of another architecture needs that architecture's qemu, see binfmt_misc(5).
#
# Environment:
#   TIEDGE_BUILD_OPTIONS  further options of the builder, for instance
#                         "--volume /srv/index:/srv/index:ro" for an index on a disk
#   TIEDGE_PIP_CONF       pip configuration for the build (default: this machine's)
set -eu
cd "$(dirname "$0")/.."

BASE=debian:bookworm-slim
AUTHORITIES=/etc/ssl/certs/ca-certificates.crt
BUILDAH=(buildah --storage-driver vfs)

main() {
    [ $# -gt 0 ] || set -- edge edge-arm64 demo train export
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    write_pip_conf > "$scratch/pip.conf"
    secrets=(--secret "id=pip,src=$scratch/pip.conf")
    [ ! -r "$AUTHORITIES" ] || secrets+=(--secret "id=ca,src=$AUTHORITIES")
    read -ra further <<< "${TIEDGE_BUILD_OPTIONS:-}"
    if docker info > /dev/null 2>&1; then
        with=docker
    elif command -v buildah > /dev/null; then
        with=buildah
    else
        fail "neither a Docker engine nor buildah; on Debian: apt-get install buildah debootstrap"
    fi
    for name in "$@"; do
        architecture=$(dpkg --print-architecture)
        file=$name
        case $name in
            edge-arm64) architecture=arm64 file=edge ;;
            edge | demo | train | export) ;;
            *) fail "$name: no such image, expected edge, edge-arm64, demo, train or export" ;;
        esac
        "build_with_$with"
        "try_with_$with"
        echo "tiedge-$name: built with $with and tried"
    done
}

fail() {
    echo "docker/build.sh: $1" >&2
    exit 1
}

# What pip is told on this machine, by files and by environment, as one file.
write_pip_conf() {
    if [ -n "${TIEDGE_PIP_CONF:-}" ]; then
        cat "$TIEDGE_PIP_CONF"
        return
    fi
    echo "[global]"
    python3 -m pip config list 2> /dev/null |
        sed -nE "s/^(global|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" |
        sort -u -t= -k1,1 || true
}

build_with_docker() {
    DOCKER_BUILDKIT=1 docker build --platform "linux/$architecture" \
        "${secrets[@]}" "${further[@]}" \
        -f "docker/$file.Dockerfile" -t "tiedge-$name" .
}

build_with_buildah() {
    local base=$BASE
    [ "$architecture" = "$(dpkg --print-architecture)" ] || base=$BASE-$architecture
    "${BUILDAH[@]}" images -q "$base" > /dev/null 2>&1 || make_base "$base"
    "${BUILDAH[@]}" bud --isolation chroot --network host --pull-never --format docker \
        --arch "$architecture" --build-arg "BASE=$base" \
        "${secrets[@]}" "${further[@]}" \
        -f "docker/$file.Dockerfile" -t "tiedge-$name" .
}

make_base() {
    if [ "$1" = "$BASE" ] && timeout 60 "${BUILDAH[@]}" pull -q "$BASE" 2> /dev/null; then
        return
    fi
    command -v debootstrap > /dev/null ||
        fail "$BASE can neither be pulled nor made; on Debian: apt-get install debootstrap"
    echo "Making $1 with debootstrap ..."
    local mirror container
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Codename: bookworm' | sort -u | head -n 1)
    debootstrap --variant=minbase --arch "$architecture" bookworm \
        "$scratch/$architecture" ${mirror:+"$mirror"} > "$scratch/log" ||
        fail "debootstrap failed: $(tail -n 1 "$scratch/log")"
    rm -rf "$scratch/$architecture"/var/cache/apt/archives/*.deb
    container=$("${BUILDAH[@]}" from scratch)
    "${BUILDAH[@]}" config --arch "$architecture" "$container"
    "${BUILDAH[@]}" add -q "$container" "$scratch/$architecture" /
    "${BUILDAH[@]}" commit -q --rm "$container" "$1"
    rm -rf "${scratch:?}/$architecture"
}

# The commands that show that an image works; $1 runs a command in it.
try() {
    "$1" tiedge --version
    [ "$("$1" id -u)" != 0 ] || fail "tiedge-$name runs as root"
    case $file in
        edge | demo) for bundle in edge_runtime/bundles/*/; do
            [ ! -d "$bundle" ] || "$1" tiedge inspect "$(basename "$bundle")"
        done ;;
        train | export) "$1" tiedge "$file" --help ;;
    esac
    [ "$file" != demo ] || "$1" sh -c "$SERVE_AND_ASK"
}

# Serves for a moment and asks as the health check does.
SERVE_AND_ASK='tiedge serve --host 0.0.0.0 --port 8765 & server=$!
for _ in $(seq 60); do
    python3 -c "import urllib.request as u
print(u.urlopen(\"http://127.0.0.1:8765/health\", timeout=4).read().decode())" 2> /dev/null &&
        { kill $server; exit 0; }
    sleep 0.5
done
kill $server; exit 1'

in_docker() {
    docker run --rm --platform "linux/$architecture" --entrypoint "" "tiedge-$name" "$@"
}

try_with_docker() { try in_docker; }

in_buildah() {
    "${BUILDAH[@]}" run --isolation chroot "$container" -- "$@"
}

try_with_buildah() {
    container=$("${BUILDAH[@]}" from --pull-never --arch "$architecture" "tiedge-$name")
    # A trial that fails leaves no container behind, and fails.
    if ! (set -e; try in_buildah); then
        "${BUILDAH[@]}" rm "$container" > /dev/null
        fail "tiedge-$name was built but does not work"
    fi
    "${BUILDAH[@]}" rm "$container" > /dev/null
}

main "$@"
