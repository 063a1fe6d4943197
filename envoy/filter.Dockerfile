# The filter as an image that holds /plugin.wasm and nothing else: Istio and Envoy Gateway load that form, and
# Kubernetes mounts it as an image volume. From the repository's root:
#   docker build -f envoy/filter.Dockerfile -t accredit/filter:0.1.0 .
# With `--target envoy` it is Envoy with the filter in place, for docker-compose.yml.

FROM rust:1.95.0-trixie AS build
# The toolchain of the image; rust-toolchain.toml names the same, with components that no build needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN rustup target add wasm32-wasip1
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY broker-service broker-service
COPY filter filter
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --profile wasm --target wasm32-wasip1 --package accredit-filter \
    && cp target/wasm32-wasip1/wasm/accredit_filter.wasm /plugin.wasm

FROM envoyproxy/envoy:v1.40.0 AS envoy
WORKDIR /accredit
# Where envoy.yaml names it.
COPY --from=build --chmod=444 /plugin.wasm target/wasm32-wasip1/wasm/accredit_filter.wasm
USER envoy

FROM scratch
COPY --from=build --chmod=444 /plugin.wasm /plugin.wasm
# Nothing runs in it.
USER 65532:65532
