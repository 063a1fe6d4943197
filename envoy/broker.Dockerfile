# The broker. From the repository's root:
#   docker build -f envoy/broker.Dockerfile -t accredit/broker:0.1.0 .

FROM rust:1.95.0-trixie AS build
# The toolchain of the image; rust-toolchain.toml names the same, with components that no build needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY broker-service broker-service
COPY filter filter
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package accredit --bin accredit \
    && cp target/release/accredit /usr/local/bin/accredit

# The binary needs glibc and libgcc of the same Debian.
FROM debian:trixie-slim
# The keys of foreign issuers come over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/accredit /usr/local/bin/accredit
RUN install -d -m 700 -o 65532 -g 65532 /accredit/data
WORKDIR /accredit
USER 65532:65532
ENTRYPOINT ["accredit"]
CMD ["serve", "--config", "/accredit/broker.yaml"]
