# The proxy and the inference endpoint, from the repository's root:
#   docker build -f infra/images/serving.Dockerfile --target proxy -t mlops-dev-proxy .
# BASE may name a mirror, and a digest; a package index that is not the public one is a secret, the
# text of which is its URL: --secret id=index,src=FILE. BuildKit's own frontend is enough.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/image.txt requirements/serving.txt requirements/
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
        --require-hashes -r requirements/serving.txt
COPY pyproject.toml README.md ./
COPY mlops mlops
COPY serving serving
RUN /tools/bin/uv build --wheel --no-build-isolation --python /tools/bin/python --out-dir dist . \
    && /tools/bin/uv pip install --python /app/bin/python --no-cache --no-index --no-deps dist/*.whl
COPY feature_repo /app/feature_repo
# What SageMaker's hosting runs in a container.
RUN printf '#!/bin/sh\nexec mlops serve inference --host 0.0.0.0 --port 8080\n' > /app/bin/serve \
    && chmod 755 /app/bin/serve

FROM ${BASE} AS runtime
# The base's own installer, and what it brings with it.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip \
        /usr/local/lib/python3.*/site-packages \
    && groupadd --gid 10001 mlops \
    && useradd --uid 10001 --gid mlops --create-home --shell /usr/sbin/nologin mlops
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MLOPS_FEATURE_REPO=/app/feature_repo
WORKDIR /home/mlops
# Where the root file system cannot be written to, this can.
VOLUME ["/tmp"]
USER 10001:10001

FROM runtime AS proxy
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
CMD ["mlops", "serve", "proxy", "--host", "0.0.0.0", "--port", "8080"]

FROM runtime AS inference
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
CMD ["mlops", "serve", "inference", "--host", "0.0.0.0", "--port", "8081"]
