# Two images from one file, every package and every base by its hash:
#   make images-digests && . deploy/images.env
#   docker build --build-arg PYTHON_IMAGE="$PYTHON_IMAGE" --target api    -t distillery-api .
#   docker build --build-arg PYTHON_IMAGE="$PYTHON_IMAGE" --target worker -t distillery-worker .
#   docker build --build-arg PYTHON_IMAGE="$PYTHON_IMAGE" --target worker -t distillery-worker-gpu --build-arg TORCH=cuda .
# The API image has no torch. Both run as an account without rights and need only /data and /tmp to be writable.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS build-api
WORKDIR /src
RUN python -m venv /opt/build && python -m venv /opt/distillery
ENV PATH=/opt/distillery/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
COPY deploy/lock deploy/lock
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r deploy/lock/api.txt \
    && /opt/build/bin/pip install --require-hashes --no-deps -r deploy/lock/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY distillery distillery
COPY app app
COPY worker worker
COPY migrations migrations
# Ours has no hash to be held against: it is built here, from what was copied, by what the lock names.
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /dist . \
    && pip install --no-index --no-deps /dist/*.whl

FROM build-api AS build-worker
# `cpu`: the builds for the processor alone, from torch's own index; `cuda`: those of the package index.
ARG TORCH=cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps --extra-index-url https://download.pytorch.org/whl/cpu \
    -r "deploy/lock/torch-${TORCH}.txt"
RUN --mount=type=cache,target=/root/.cache/pip pip install --require-hashes --no-deps -r deploy/lock/worker.txt

FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 distillery \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin distillery \
    && install -d -m 0750 -o 10001 -g 10001 /data
ENV PATH=/opt/distillery/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    DISTILLERY_BLOB_DIR=/data/blobs \
    DISTILLERY_STAGING_DIR=/data/staging
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM

FROM runtime AS api
COPY --from=build-api /opt/distillery /opt/distillery
USER 10001:10001
ENV DISTILLERY_HOST=0.0.0.0 DISTILLERY_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-m", "app.health", "http://127.0.0.1:8080/healthz"]
CMD ["python", "-m", "app.main"]

FROM runtime AS worker
COPY --from=build-worker /opt/distillery /opt/distillery
USER 10001:10001
ENV DISTILLERY_ALIVE_FILE=/tmp/distillery.alive
HEALTHCHECK --interval=20s --timeout=5s --start-period=120s CMD ["python", "-m", "app.health"]
CMD ["python", "-m", "worker.main"]
