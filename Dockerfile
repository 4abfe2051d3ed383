# Base images can be replaced (a mirror, a digest): --build-arg RUST_IMAGE=… --build-arg RUNTIME_IMAGE=…
ARG RUST_IMAGE=rust:1.95-alpine
ARG RUNTIME_IMAGE=alpine:3.22
ARG POSTGRES_IMAGE=postgres:17-alpine

FROM ${RUST_IMAGE} AS build
# What the C parts of SQLite and of the TLS library need.
RUN apk add --no-cache build-base cmake perl linux-headers
WORKDIR /build
# The C compiler's idea of now, which mimalloc writes into the program: without it no two builds are the same.
ENV SOURCE_DATE_EPOCH=0
# On Alpine Rust links statically by itself (musl), so the runtime image needs no libraries.

# The dependency layer: manifests and empty sources. It is rebuilt only when a manifest or the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY migration/Cargo.toml migration/
COPY src/domain/Cargo.toml src/domain/
COPY src/application/Cargo.toml src/application/
COPY src/adapters/outbound/database/Cargo.toml src/adapters/outbound/database/
RUN mkdir -p migration/src \
    && touch src/lib.rs migration/src/lib.rs src/domain/lib.rs src/application/lib.rs src/adapters/outbound/database/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --locked --profile dist --bin dlc

# The program. Its own crates are newer than the empty ones, so they are built again, and nothing else is.
COPY migration migration
COPY src src
RUN find src migration -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile dist --bin dlc \
    && mkdir -p /out/data \
    && cp target/dist/dlc /out/dlc

# For `dlc db backup`, `verify` and `restore` of PostgreSQL, which need its programs, of the server's major: --target backup
FROM ${POSTGRES_IMAGE} AS backup
COPY --from=build /out/dlc /usr/local/bin/dlc
COPY --from=build --chown=10001:10001 /out/data /backups
WORKDIR /backups
USER 10001:10001
ENV DLC_PROFILE=production
STOPSIGNAL SIGTERM
ENTRYPOINT ["dlc"]
CMD ["db", "backup"]

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="dlc" \
      org.opencontainers.image.description="A database-backed service and the operations tool that looks after its database" \
      org.opencontainers.image.licenses="MIT"
# For TLS to a database whose certificate a public authority signed.
RUN apk add --no-cache ca-certificates
COPY --from=build /out/dlc /usr/local/bin/dlc
# Volumes that are mounted here are born with this owner.
COPY --from=build --chown=10001:10001 /out/data /app/data
COPY --from=build --chown=10001:10001 /out/data /backups
WORKDIR /app
USER 10001:10001
# Strict: without a configured database and secret it says so and ends. The Compose files for development say otherwise.
ENV DLC_PROFILE=production
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["dlc", "health"]
ENTRYPOINT ["dlc"]
CMD ["serve"]
# Last: they change with each commit, and what stands below a change is built again.
ARG DLC_VERSION=unknown
ARG DLC_REVISION=unknown
LABEL org.opencontainers.image.version="${DLC_VERSION}" \
      org.opencontainers.image.revision="${DLC_REVISION}"
