# Three images with one static binary each and nothing else: no shell, no libc, no
# package manager. `docker compose build` makes server and signer,
# `docker build --target guard .` the gate.
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# No cgo: none of them needs a card or a C library.
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/ ./cmd/signet-server ./cmd/signet-signer ./cmd/signet-guard \
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

FROM scratch AS guard
COPY --from=build /out/signet-guard /signet-guard
# For trust servers and registries whose certificates are by public authorities.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /out/data /var/lib/signet-guard
USER 65532:65532
VOLUME /var/lib/signet-guard
EXPOSE 4460
ENTRYPOINT ["/signet-guard"]
CMD ["serve", "--config", "/etc/signet-guard/guard.yaml"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 CMD ["/signet-guard", "health"]
