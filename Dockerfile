# pgusher as an image.
#
#     docker build -t pgusher .
#     docker run --init -p 6432:6432 -v /srv/pgusher:/etc/pgusher:ro pgusher
#
# The configuration comes by the volume: /etc/pgusher/pgusher.ini and what it names (userlist.txt; the
# monitor's password in pgpass, mode 600 and owned by uid 6432, or libpq does not look at it). After a
# change: docker kill -s HUP CONTAINER.

FROM debian:12-slim AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libc-ares-dev libhiredis-dev libpq-dev libssl-dev libidn-dev \
        libinih-dev libldap-dev libpam0g-dev libpg-query-dev libprotobuf-c-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY CMakeLists.txt ./
COPY src src
COPY bench bench
COPY scripts scripts
RUN scripts/build-release build \
    && strip build/src/pgusher

FROM debian:12-slim
# postgresql-client is for the health check, and for whoever has to look at the console
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libuv1 libc-ares2 libhiredis0.14 libpq5 libssl3 libidn12 libinih1 libldap-2.5-0 libpam0g libprotobuf-c1 postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 6432 pgusher \
    && useradd --system --uid 6432 --gid pgusher --home-dir /nonexistent --shell /usr/sbin/nologin pgusher \
    && install -d -o pgusher -g pgusher /run/pgusher
COPY --from=build /source/build/src/pgusher /usr/bin/pgusher
COPY LICENSE /usr/share/doc/pgusher/LICENSE

USER pgusher
ENV PGPASSFILE=/etc/pgusher/pgpass
VOLUME /etc/pgusher
EXPOSE 6432

# Healthy: it answers on its port. pg_isready asks as any client would, and needs no password. A port
# other than 6432 is told with -e PGUSHER_PORT=…
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["sh", "-c", "exec pg_isready -q -h 127.0.0.1 -p ${PGUSHER_PORT:-6432} -d pgusher"]

# SIGTERM drains: no new clients, open transactions finish
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/pgusher"]
CMD ["/etc/pgusher/pgusher.ini"]
