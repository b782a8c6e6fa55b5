# The demo page; docker/README.md shows how to publish it to one machine alone.
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
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv --without-pip /opt/tiedge \
 && python3 -m pip --python /opt/tiedge/bin/python install -qq --no-cache-dir \
    -c constraints.txt '.[demo]'

FROM ${BASE}
ARG DEBIAN_FRONTEND=noninteractive
# Whoever `docker run --user` names may write results, and a cache at home.
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends python3 libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 tiedge \
 && install -d -m 1777 /home/tiedge /files
COPY --from=build /opt/tiedge /opt/tiedge
ENV PATH=/opt/tiedge/bin:$PATH HOME=/home/tiedge PORT=8000
USER tiedge
WORKDIR /files
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD python3 -c \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"
ENTRYPOINT ["tiedge"]
# Inside the container every address; outside, what -p publishes.
CMD ["serve", "--host", "0.0.0.0"]
