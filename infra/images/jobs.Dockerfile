# What jobs run in, from the repository's root:
#   docker build -f infra/images/jobs.Dockerfile --target training -t mlops-dev-training .
# Training and loading features bring their code with them (workflows/…/source.tar.gz): these images
# hold what that code needs, and `features` beside it the command, for what runs all the time.
# BASE and the secret `index` are as in serving.Dockerfile.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
# The toolkit of SageMaker's script mode has an extension in C, and no wheel.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/image.txt requirements/pipelines.txt requirements/
RUN --mount=type=secret,id=index \
    index="$(cat /run/secrets/index 2>/dev/null || true)" \
    && export PIP_INDEX_URL="$index" UV_INDEX_URL="$index" \
    && python -m venv /tools \
    && /tools/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/image.txt \
    && python -m venv --without-pip /app \
    && /tools/bin/uv pip install --python /app/bin/python --no-cache --require-hashes \
        -r requirements/image.txt
RUN --mount=type=secret,id=index \
    index="$(cat /run/secrets/index 2>/dev/null || true)" \
    && export PIP_INDEX_URL="$index" UV_INDEX_URL="$index" \
    && /tools/bin/uv pip install --python /app/bin/python --no-cache --no-build-isolation \
        --require-hashes -r requirements/pipelines.txt \
    && /tools/bin/uv pip uninstall --python /app/bin/python uv

FROM ${BASE} AS runtime
# LightGBM and XGBoost want OpenMP's library; the base's own installer goes, as in serving.Dockerfile.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip \
        /usr/local/lib/python3.*/site-packages \
    && groupadd --gid 10001 mlops \
    && useradd --uid 10001 --gid mlops --create-home --shell /usr/sbin/nologin mlops \
    && install --directory --owner=mlops --group=mlops /opt/ml
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/mlops
USER 10001:10001
# A job ends by itself; SageMaker and Batch say for how long it may run.
HEALTHCHECK NONE

FROM runtime AS training
COPY --from=build /app /app
CMD ["python3", "-m", "sagemaker_training.cli.train"]

FROM build AS package
COPY pyproject.toml README.md ./
COPY mlops mlops
COPY pipelines pipelines
RUN /tools/bin/uv build --wheel --no-build-isolation --python /tools/bin/python --out-dir dist . \
    && /tools/bin/uv pip install --python /app/bin/python --no-cache --no-index --no-deps dist/*.whl
COPY feature_repo /app/feature_repo

FROM runtime AS features
COPY --from=package /app /app
ENV MLOPS_FEATURE_REPO=/app/feature_repo
CMD ["mlops", "features", "--help"]
