# One image for every machine of a cluster, with exactly the versions of requirements.lock. From the root of a checkout:
#
#   docker build --tag weightflow:cpu .
#   docker build --tag weightflow:cuda --build-arg DEVICE=cuda --build-arg COMMIT=$(git rev-parse HEAD) .
#   docker run --rm --shm-size 2g --volume "$PWD/runs:/work/runs" weightflow:cpu weightflow tune --time-budget 5m
#
# A job that launch/submit.py sends brings its own code, which comes before the package that is installed here.
FROM python:3.11.13-slim-bookworm

# cpu, or cuda: the same torch, which then brings its own CUDA; the machine needs NVIDIA's driver and container toolkit.
ARG DEVICE=cpu

# `ray up` copies files with rsync, and its head reaches workers by ssh; KubeRay asks with wget whether a pod is well.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements.lock ./

# By far the largest layer, which changes with the version of torch alone. The index for CPUs is asked for nothing else.
RUN case "$DEVICE" in \
        cpu) index=https://download.pytorch.org/whl/cpu ;; \
        cuda) index=https://pypi.org/simple ;; \
        *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 2 ;; \
    esac \
    && pip install --no-cache-dir --no-deps --index-url "$index" "$(grep '^torch==' requirements.lock)" \
    && pip install --no-cache-dir --constraint requirements.lock torch

COPY pyproject.toml README.md LICENSE mlflow.yml ./
COPY search_spaces search_spaces
COPY weightflow weightflow

# Settings with a password would stay readable in the image for ever; they belong into MLFLOW_TRACKING_URI.
RUN if grep -E '^[^#]*://[^#]*:[^#]*@' mlflow.yml; then echo "mlflow.yml holds a password" >&2; exit 2; fi \
    && PIP_CONSTRAINT=requirements.lock pip install --no-cache-dir '.[all]'

# 1000 owns the shared folder of launch/cluster.yaml and launch/rayjob.yaml. A token is mounted into .ray, which would
# belong to root if it came with the mount.
RUN useradd --uid 1000 --create-home --shell /bin/bash weightflow \
    && install -d -o 1000 -g 1000 /work \
    && install -d -o 1000 -g 1000 -m 700 /home/weightflow/.ray
WORKDIR /work
USER 1000:1000

# Authentication on every side of a cluster, and nothing calls home. `ray up` mounts files below HOME, and takes /root
# where an image does not name it. NVIDIA's two let the container see the GPU.
ARG COMMIT=unknown
ENV HOME=/home/weightflow \
    WEIGHTFLOW_GIT_COMMIT=$COMMIT \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    MLFLOW_DISABLE_TELEMETRY=true \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# No entry point: `ray up` and KubeRay start a shell of their own.
CMD ["weightflow", "--help"]
