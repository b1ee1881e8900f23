# Two images from one file:
#   docker build --target api    -t distillery-api .
#   docker build --target worker -t distillery-worker .
#   docker build --target worker -t distillery-worker-gpu \
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .
# The API image has no torch. Both run as an account without rights and need only /data and /tmp to be writable.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build-api
WORKDIR /src
RUN python -m venv /opt/distillery
ENV PATH=/opt/distillery/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE ./
COPY distillery distillery
COPY app app
COPY worker worker
COPY migrations migrations
RUN --mount=type=cache,target=/root/.cache/pip pip install ".[server]"

FROM build-api AS build-worker
# Only torch comes from here: the builds for the processor alone by default, those for CUDA with the build argument.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip pip install --index-url "${TORCH_INDEX}" "torch>=2.6,<2.14"
RUN --mount=type=cache,target=/root/.cache/pip pip install ".[worker]"

FROM python:${PYTHON_VERSION}-slim AS runtime
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
