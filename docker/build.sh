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
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=debian:bookworm-slim
AUTHORITIES=/etc/ssl/certs/ca-certificates.crt
HEALTH='{{index .Healthcheck.Test 1}}'
SERVES='{{range .Entrypoint}}{{.}} {{end}}{{range .Cmd}}{{.}} {{end}}'

main() {
    [ $# -gt 0 ] || set -- edge edge-arm64 demo train export
    check_names "$@"
    choose_engine
    container='' task=''
    scratch=$(mktemp -d)
    trap leave EXIT
    write_pip_conf > "$scratch/pip.conf"
    secrets=(--secret "id=pip,src=$scratch/pip.conf")
    [ ! -r "$AUTHORITIES" ] || secrets+=(--secret "id=ca,src=$AUTHORITIES")
    read -ra further <<< "${TIEDGE_BUILD_OPTIONS:-}"
    for name in "$@"; do
        case $name in
            edge-arm64) architecture=arm64 file=edge ;;
            *) architecture=$(native) file=$name ;;
        esac
        task="building tiedge-$name"
        "build_with_$with"
        task="trying tiedge-$name"
        try
        echo "tiedge-$name: built with $with and tried," \
            "$("${engine[@]}" images --format '{{.Size}}' "tiedge-$name")"
    done
}

fail() {
    echo "docker/build.sh: $1" >&2
    task=
    exit 1
}

# However the script ends.
leave() {
    local status=$?
    [ -z "$container" ] || "${engine[@]}" rm "$container" > /dev/null
    rm -rf "$scratch"
    [ $status -eq 0 ] || [ -z "$task" ] || fail "$task failed"
}

check_names() {
    local name
    for name in "$@"; do
        case $name in
            edge | edge-arm64 | demo | train | export) ;;
            *) fail "$name: no such image, expected edge, edge-arm64, demo, train or export" ;;
        esac
    done
}

choose_engine() {
    if docker info > /dev/null 2>&1; then
        with=docker engine=(docker) configuration=.Config
    elif ! command -v buildah > /dev/null; then
        fail "neither a Docker engine nor buildah; on Debian: apt-get install buildah debootstrap"
    elif [ "$(id -u)" -ne 0 ]; then
        fail "buildah needs root here, and no Docker engine answers"
    else
        with=buildah engine=(buildah --storage-driver vfs) configuration=.Docker.Config
    fi
}

# This machine's architecture, by Debian's name.
native() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) uname -m ;;
    esac
}

# What pip is told on this machine, by files and by environment, as one file.
write_pip_conf() {
    if [ -n "${TIEDGE_PIP_CONF:-}" ]; then
        cat "$TIEDGE_PIP_CONF"
        return
    fi
    echo "[global]"
    { python3 -m pip config list 2> /dev/null || true; } |
        sed -nE "s/^(global|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" |
        sort -u -t= -k1,1
}

build_with_docker() {
    DOCKER_BUILDKIT=1 docker build --platform "linux/$architecture" \
        "${secrets[@]}" "${further[@]}" \
        -f "docker/$file.Dockerfile" -t "tiedge-$name" .
}

build_with_buildah() {
    local base=$BASE
    if [ "$architecture" != "$(native)" ]; then
        base=$BASE-$architecture
        grep -qsx enabled /proc/sys/fs/binfmt_misc/qemu-aarch64 ||
            fail "$architecture programs do not run here; on Debian: apt-get install qemu-user-static"
    fi
    "${engine[@]}" images -q "$base" > /dev/null 2>&1 || make_base "$base"
    "${engine[@]}" bud --isolation chroot --network host --pull-never --format docker \
        --arch "$architecture" --build-arg "BASE=$base" \
        "${secrets[@]}" "${further[@]}" \
        -f "docker/$file.Dockerfile" -t "tiedge-$name" .
}

make_base() {
    if [ "$1" = "$BASE" ] && timeout 60 "${engine[@]}" pull -q "$BASE" 2> /dev/null; then
        return
    fi
    command -v debootstrap > /dev/null ||
        fail "$BASE can neither be pulled nor made; on Debian: apt-get install debootstrap"
    echo "Making $1 with debootstrap ..."
    local mirror
    # shellcheck disable=SC2016 # a field of apt-get's, no variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Codename: bookworm' | sort -u | head -n 1)
    debootstrap --variant=minbase --arch "$architecture" bookworm \
        "$scratch/$architecture" ${mirror:+"$mirror"} > "$scratch/log" ||
        fail "debootstrap failed: $(tail -n 1 "$scratch/log")"
    rm -rf "$scratch/$architecture"/var/cache/apt/archives/*.deb
    container=$("${engine[@]}" from scratch)
    "${engine[@]}" config --arch "$architecture" "$container"
    "${engine[@]}" add -q "$container" "$scratch/$architecture" /
    "${engine[@]}" commit -q --rm "$container" "$1"
    container=
    rm -rf "${scratch:?}/$architecture"
}

# Runs docker/trial.sh in the image; an image for another architecture must restore the
# same picture, to the bit, as this machine's.
try() {
    local arguments=("$file")
    [ "$file" != demo ] || arguments+=("$(configured "$SERVES")" "$(configured "$HEALTH")")
    "run_with_$with" sh -c "$(< docker/trial.sh)" trial.sh "${arguments[@]}" \
        > "$scratch/$name.restored"
    [ "$name" = edge-arm64 ] || return 0
    if [ ! -e "$scratch/edge.restored" ]; then
        echo "tiedge-$name: its picture was compared with no other; name edge before it"
    elif ! cmp "$scratch/edge.restored" "$scratch/$name.restored"; then
        fail "tiedge-$name restores another picture than tiedge-edge"
    fi
}

# A value of the image's configuration: $1 is a Go template.
configured() {
    local kind=(inspect)
    [ "$with" = docker ] || kind+=(--type image)
    "${engine[@]}" "${kind[@]}" --format "{{with $configuration}}$1{{end}}" "tiedge-$name"
}

run_with_docker() {
    local device=()
    if [ "$architecture" != "$(native)" ]; then
        write_raspberry_pi > "$scratch/cpuinfo"
        device=(--env QEMU_CPU=cortex-a76 --volume "$scratch/cpuinfo:/proc/cpuinfo:ro")
    fi
    docker run --rm --platform "linux/$architecture" "${device[@]}" --entrypoint "" \
        "tiedge-$name" "$@"
}

run_with_buildah() {
    local device=() processor=()
    if [ "$architecture" != "$(native)" ]; then
        write_raspberry_pi > "$scratch/cpuinfo"
        # shellcheck disable=SC2016 # for the inner shell
        device=(unshare --mount sh -c 'mount --bind "$0" /proc/cpuinfo && exec "$@"'
            "$scratch/cpuinfo")
        processor=(--env QEMU_CPU=cortex-a76)
    fi
    container=$("${engine[@]}" from --pull-never --arch "$architecture" "tiedge-$name")
    "${device[@]}" "${engine[@]}" run --isolation chroot "${processor[@]}" \
        "$container" -- "$@"
    "${engine[@]}" rm "$container" > /dev/null
    container=
}

# LiteRT under qemu crashes where /proc/cpuinfo tells of another architecture, and qemu's
# default processor computes int8 wrongly: the processor of a Raspberry Pi 5.
write_raspberry_pi() {
    cat << 'END'
processor	: 0
BogoMIPS	: 108.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1
END
}

main "$@"
