# The tool server of the demo. From the repository's root:
#   docker build -f envoy/tools.Dockerfile -t accredit/demo-tools:0.1.0 .

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
    cargo build --locked --release --package accredit-tests --bin demo-tools \
    && cp target/release/demo-tools /usr/local/bin/demo-tools

# The binary needs glibc and libgcc of the same Debian.
FROM debian:trixie-slim
# Its HTTP client does not start without certificates, although the demo's keys come in the clear.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/demo-tools /usr/local/bin/demo-tools
USER 65532:65532
ENTRYPOINT ["demo-tools"]
