# The service on an NVIDIA GPU: onnxruntime-gpu with CUDA 13 and cuDNN 9, no torch. From the project's root:
#
#   docker build -f docker/service-gpu.Dockerfile -t breast-cascade-service-gpu:0.1.0 .
#
# The host needs an NVIDIA driver of version 580 or later and the NVIDIA Container Toolkit.
# A package index of your own: --build-arg PIP_INDEX_URL=...   (it stays in the image's history: no password in it)

# CUDA's maths libraries and cuDNN come as wheels, in the versions that this ONNX Runtime was built for. The larger
# flavours of this base hold the same libraries once more.
ARG BASE_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
# Ubuntu keeps only the newest version of a package: a pin would soon fail to build.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
# pip lives in a venv of its own and stays behind in this stage.
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/breast-cascade
WORKDIR /src
# First what changes seldom: a new line of our own code does not download everything again.
COPY pyproject.toml constraints.txt ./
COPY docker/requirements.py docker/healthcheck.py docker/constraints-gpu.txt docker/
RUN /tools/bin/python docker/requirements.py --gpu > requirements.txt \
 && /tools/bin/pip --python /opt/breast-cascade/bin/python install --no-cache-dir \
      -c constraints.txt -c docker/constraints-gpu.txt -r requirements.txt \
 && /tools/bin/pip install --no-cache-dir -c constraints.txt hatchling
COPY LICENSE ./
COPY service service
# The command that trains has no code here. An image whose ONNX Runtime knows no CUDA must not come to be.
RUN /tools/bin/python -m hatchling build -t wheel -d /wheels \
 && /tools/bin/pip --python /opt/breast-cascade/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && install -m 0644 docker/healthcheck.py /opt/breast-cascade/ \
 && rm /opt/breast-cascade/bin/breast-cascade-train \
 && /opt/breast-cascade/bin/python -c \
      "from service.network import CUDA, installed_runtimes, onnxruntime as runtime; \
       found = (list(installed_runtimes()), CUDA in runtime.get_available_providers()); \
       raise SystemExit(None if found == (['onnxruntime-gpu'], True) else f'Found {found}; wanted onnxruntime-gpu alone.')"

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Breast Cascade on a GPU" \
      org.opencontainers.image.description="Two-stage breast-image segmentation. Research use only; not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cascade \
 && install -d -m 0750 -o 10001 -g 10001 /data \
 && install -d /pipelines
COPY --from=build /opt/breast-cascade /opt/breast-cascade
# DEVICE: with `cuda` the service does not start unless every network really runs on the GPU.
ENV PATH=/opt/breast-cascade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    BREAST_CASCADE_DATA_DIR=/data \
    BREAST_CASCADE_PIPELINES_DIR=/pipelines \
    BREAST_CASCADE_DEVICE=cuda
USER 10001:10001
EXPOSE 8000
# CUDA's first start takes its time: kernels are chosen for every network and batch size.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "/opt/breast-cascade/healthcheck.py"]
# Listening beyond loopback it refuses to start until BREAST_CASCADE_ACCESS says that everybody who reaches the port may
# ask. That is for whoever publishes the port to say (docs/deploy.md), not for the image.
ENTRYPOINT ["breast-cascade"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
