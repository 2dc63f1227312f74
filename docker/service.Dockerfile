# The service on a CPU: numpy and ONNX Runtime, no torch. From the project's root:
#
#   docker build -f docker/service.Dockerfile -t breast-cascade-service:0.1.0 .
#
# A package index of your own: --build-arg PIP_INDEX_URL=...   (it stays in the image's history: no password in it)

ARG BASE_IMAGE=python:3.11.17-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
# pip lives in a venv of its own and stays behind in this stage.
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/breast-cascade
WORKDIR /src
# First what changes seldom: a new line of our own code does not download everything again.
COPY pyproject.toml constraints.txt ./
COPY docker/requirements.py docker/healthcheck.py docker/
RUN /tools/bin/python docker/requirements.py > requirements.txt \
 && /tools/bin/pip --python /opt/breast-cascade/bin/python install --no-cache-dir -c constraints.txt -r requirements.txt \
 && /tools/bin/pip install --no-cache-dir -c constraints.txt hatchling
COPY LICENSE ./
COPY service service
# The command that trains has no code here.
RUN /tools/bin/python -m hatchling build -t wheel -d /wheels \
 && /tools/bin/pip --python /opt/breast-cascade/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && install -m 0644 docker/healthcheck.py /opt/breast-cascade/ \
 && rm /opt/breast-cascade/bin/breast-cascade-train

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Breast Cascade" \
      org.opencontainers.image.description="Two-stage breast-image segmentation. Research use only; not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cascade \
 && install -d -m 0750 -o 10001 -g 10001 /data \
 && install -d /pipelines
COPY --from=build /opt/breast-cascade /opt/breast-cascade
ENV PATH=/opt/breast-cascade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BREAST_CASCADE_DATA_DIR=/data \
    BREAST_CASCADE_PIPELINES_DIR=/pipelines \
    BREAST_CASCADE_DEVICE=cpu
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/breast-cascade/healthcheck.py"]
# Listening beyond loopback it refuses to start until BREAST_CASCADE_ACCESS says that everybody who reaches the port may
# ask. That is for whoever publishes the port to say (docs/deploy.md), not for the image.
ENTRYPOINT ["breast-cascade"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
