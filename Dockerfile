# A static binary built on Alpine, in an image that holds nothing else of the build.
FROM rust:1-alpine AS build
RUN apk add --no-cache gcc musl-dev
WORKDIR /build
COPY . .
RUN mkdir -p tests/it && touch tests/it/main.rs && cargo build --release --locked --bin opencode

FROM alpine:3
# What agents most often call; the program itself needs none of it.
RUN apk add --no-cache bash git
# No name is made for the user: any uid may run the program, and `docker run --user` another one.
RUN mkdir -p /project /data /home/opencode && chown 10001:10001 /project /data /home/opencode
COPY --from=build /build/target/release/opencode /usr/bin/opencode
USER 10001:10001
WORKDIR /project
ENV OPENCODE_HOSTNAME=0.0.0.0 OPENCODE_DATA_DIR=/data HOME=/home/opencode
EXPOSE 4096
HEALTHCHECK --interval=30s --timeout=5s --start-period=2s CMD ["opencode", "status"]
# The password is given at run time, never in the image:
#   docker run -d -p 4096:4096 -e OPENCODE_SERVER_PASSWORD -v "$PWD:/project" opencode-server
CMD ["opencode", "serve"]
