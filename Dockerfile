# syntax=docker/dockerfile:1
# All four binaries in one small image that runs as nobody in particular: docker-compose.yml starts
# the producer, the ingest job and the API from it.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The image's gcc, make and perl are all that librdkafka and its OpenSSL need.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bins \
    && install -D -t /out target/release/stockpulse target/release/stockpulse-producer \
        target/release/stockpulse-ingest target/release/stockpulse-api

FROM debian:bookworm-slim
# wget is for the API's health check, the certificates for wss:// feeds.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin stockpulse \
    && install -d -o stockpulse -g stockpulse /app/data
COPY --from=build /out/ /usr/local/bin/
COPY sql /app/sql
COPY LICENSE /app/LICENSE
WORKDIR /app
USER 10001:10001
# Candles, their staging folder and the checkpoint stand on one file system, or renames would not be atomic.
VOLUME /app/data
CMD ["stockpulse", "--help"]
