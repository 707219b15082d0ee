# Debian's Redis and nothing else. BASE_IMAGE: Debian with the package redis-server.
ARG BASE_IMAGE=skywire-base
FROM ${BASE_IMAGE} AS build
COPY collect.sh /collect.sh
RUN sh /collect.sh /image /usr/bin/redis-server /usr/bin/redis-server \
    && sh /collect.sh /image /usr/bin/redis-cli /usr/bin/redis-cli \
    && mkdir -p /image/etc /own/data \
    && echo 'redis:x:65533:65533:redis:/data:/usr/sbin/nologin' >/image/etc/passwd \
    && echo 'redis:x:65533:' >/image/etc/group

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65533:65533 /own/ /
ENV PATH=/usr/bin
USER 65533:65533
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=3s --retries=3 CMD ["/usr/bin/redis-cli", "ping"]
ENTRYPOINT ["/usr/bin/redis-server"]
# Whoever reaches it may do everything: it belongs into a network of its own.
CMD ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data", "--save", "", "--appendonly", "yes"]
