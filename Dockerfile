# docker build --target test .      runs all tests
# docker build -t mosquitto-go .    makes a small image with the programs tour, sub and pub
ARG BUILD_BASE=golang:1.26-bookworm
ARG RUN_BASE=debian:bookworm-slim

FROM ${BUILD_BASE} AS base
WORKDIR /src
COPY .ci/need .ci/need
RUN .ci/need compiler pkg-config library
COPY go.mod go.sum ./
RUN go mod download
COPY . .

FROM base AS test
RUN make test

FROM base AS build
RUN mkdir /programs && for name in tour sub pub; do go build -o /programs/$name ./examples/$name; done

FROM ${RUN_BASE}
RUN dpkg -s libmosquitto1 mosquitto >/dev/null 2>&1 || { \
        apt-get update && \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libmosquitto1 mosquitto && \
        rm -rf /var/lib/apt/lists/*; }
COPY --from=build /programs/ /usr/local/bin/
USER nobody
CMD ["tour"]
