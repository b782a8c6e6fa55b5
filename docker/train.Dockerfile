# Training on the CPU; docker/README.md shows how to run it.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends \
    ca-certificates python3-pip python3-venv
WORKDIR /source
COPY . .
# The secrets are this machine's pip configuration and certificate authorities, where it
# has its own; they stay out of the layers.
# torch comes first: as a requirement of others, its newest CUDA build would come.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv --without-pip /opt/tiedge \
 && install() { python3 -m pip --python /opt/tiedge/bin/python install -qq \
    --no-cache-dir -c constraints.txt "$@"; } \
 && install "$(grep '^torch==' constraints.txt)" \
 && install '.[train,evaluate]'

FROM ${BASE}
ARG DEBIAN_FRONTEND=noninteractive
# Whoever `docker run --user` names may write results, and a cache at home.
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends python3 libstdc++6 espeak-ng flite \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 tiedge \
 && install -d -m 1777 /home/tiedge /files
COPY --from=build /opt/tiedge /opt/tiedge
ENV PATH=/opt/tiedge/bin:$PATH HOME=/home/tiedge TIEDGE_DATA=/data
USER tiedge
WORKDIR /files
ENTRYPOINT ["tiedge"]
CMD ["train", "--help"]
