# Training: torch (the index's own build, with CUDA), recipes, and every method. From the project's root:
#
#   docker build -f docker/training.Dockerfile -t breast-cascade-training:0.1.0 .
#   docker run --rm --gpus all --shm-size 4g -v $DATA:/data:ro -v $PWD/runs:/runs -u "$(id -u):$(id -g)" \
#       breast-cascade-training:0.1.0 fit training/recipes/ultrasound_localiser.yaml --data /data -o /runs/localiser
#
# YOLO too, which is AGPL-3.0:  --build-arg EXTRA=yolo
# A package index of your own:  --build-arg UV_DEFAULT_INDEX=... and PIP_INDEX_URL=...   (no password in them)

ARG BASE_IMAGE=python:3.11.17-slim-bookworm

FROM ${BASE_IMAGE}
ARG EXTRA=train
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
LABEL org.opencontainers.image.title="Breast Cascade training" \
      org.opencontainers.image.description="Trains and exports what the service runs. Research use only; not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
# The full OpenCV, which a package added later may bring along, needs both libraries; ours, the headless one, does not.
# Debian keeps only the newest version of a package: a pin would soon fail to build.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cascade \
 && install -d -o 10001 -g 10001 /runs
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# uv, unlike pip, can leave out the second OpenCV that ultralytics asks for (tool.uv in pyproject.toml).
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/breast-cascade \
 && /tools/bin/pip install --no-cache-dir -c constraints.txt uv hatchling \
 && /tools/bin/uv pip install --no-cache --compile-bytecode --python /opt/breast-cascade/bin/python \
      -c constraints.txt -r pyproject.toml --extra train --extra "${EXTRA}"
COPY LICENSE ./
COPY service service
COPY models models
COPY training training
# Whoever runs it may read it, however the checkout is kept.
RUN chmod -R a+rX /src \
 && /tools/bin/python -m hatchling build -t wheel -d /wheels \
 && /tools/bin/uv pip install --no-cache --compile-bytecode --python /opt/breast-cascade/bin/python --no-deps /wheels/*.whl
ENV PATH=/opt/breast-cascade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
ENTRYPOINT ["breast-cascade-train"]
CMD ["--help"]
