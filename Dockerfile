# Two images with one static binary each and nothing else: no shell, no libc, no
# package manager. Build with `docker compose build`.
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# No cgo: the server and the signer need no card and no C library.
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/ ./cmd/signet-server ./cmd/signet-signer \
 && mkdir -p /out/data && chmod 700 /out/data

FROM scratch AS server
COPY --from=build /out/signet-server /signet-server
COPY --from=build --chown=65532:65532 /out/data /var/lib/signet
USER 65532:65532
VOLUME /var/lib/signet
EXPOSE 4443
ENTRYPOINT ["/signet-server"]
CMD ["serve", "--config", "/run/secrets/server.yaml"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 CMD ["/signet-server", "health"]

FROM scratch AS signer
COPY --from=build /out/signet-signer /signet-signer
COPY --from=build --chown=65533:65533 /out/data /var/lib/signet-signer
USER 65533:65533
VOLUME /var/lib/signet-signer
ENTRYPOINT ["/signet-signer"]
CMD ["serve", "--config", "/run/secrets/signer.yaml"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 CMD ["/signet-signer", "health"]
