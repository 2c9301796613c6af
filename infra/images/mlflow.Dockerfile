# The MLflow server, from the repository's root:
#   docker build -f infra/images/mlflow.Dockerfile --target mlflow -t mlops-dev-mlflow .
# It holds MLflow, a PostgreSQL client and what starts them; nothing of the platform.
# BASE and the secret `index` are as in serving.Dockerfile.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/image.txt requirements/mlflow.txt requirements/
RUN --mount=type=secret,id=index \
    index="$(cat /run/secrets/index 2>/dev/null || true)" \
    && export PIP_INDEX_URL="$index" UV_INDEX_URL="$index" \
    && python -m venv /tools \
    && /tools/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/image.txt \
    && python -m venv --without-pip /app
RUN --mount=type=secret,id=index \
    index="$(cat /run/secrets/index 2>/dev/null || true)" \
    && export PIP_INDEX_URL="$index" UV_INDEX_URL="$index" \
    && /tools/bin/uv pip install --python /app/bin/python --no-cache --only-binary :all: \
        --require-hashes -r requirements/mlflow.txt
COPY infra/mlflow/server.py /app/mlflow_server.py

FROM ${BASE} AS mlflow
# The base's own installer, and what it brings with it.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip \
        /usr/local/lib/python3.*/site-packages \
    && groupadd --gid 10001 mlops \
    && useradd --uid 10001 --gid mlops --create-home --shell /usr/sbin/nologin mlops
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/mlops
# Where the root file system cannot be written to, this can.
VOLUME ["/tmp"]
USER 10001:10001
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/health', timeout=2)"]
CMD ["python", "/app/mlflow_server.py", "--host", "0.0.0.0", "--port", "5000"]
