# The three images: operator, worker, kafka. `make images`, or see docs/guides/images.md for docker and buildah.
# Wherever production is meant, name BASE with its digest: python:3.13-slim-trixie@sha256:...
ARG BASE=docker.io/library/python:3.13-slim-trixie
# cuda: the wheels of the lock. cpu: the wheel that TORCH_WHEEL names. stubs: for tests on machines without a GPU.
ARG ACCELERATOR=cuda

# What builds, and is in no image: uv, and scripts that use it.
FROM ${BASE} AS tools
COPY requirements-uv.lock /build/
COPY scripts/images/inside/networked /tools/bin/
RUN --mount=type=secret,id=network --mount=type=secret,id=ca \
    python3 -m venv /tools && \
    /tools/bin/networked /tools/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: --requirement /build/requirements-uv.lock
COPY scripts/images/inside/install-locked scripts/images/inside/harden /tools/bin/
ENV PATH=/tools/bin:$PATH

# requirements.lock, cut into the lists of the layers below. Whatever changes here, a layer is built anew only when its
# own list is another.
FROM tools AS locks
WORKDIR /build
COPY pyproject.toml requirements.lock scripts/images/inside/locks.py ./
RUN --mount=type=secret,id=network --mount=type=secret,id=ca \
    networked python3 locks.py /locks

# The project as it is installed: our own files and nothing else.
FROM tools AS project
WORKDIR /build
COPY --from=locks /locks/build.txt /locks/
RUN --mount=type=secret,id=network --mount=type=secret,id=ca \
    python3 -m venv --without-pip /opt/consilia \
    && networked uv pip install --quiet --no-cache --no-deps --require-hashes --python /tools/bin/python \
       --requirements /locks/build.txt
COPY . .
# uv notes the time in a file of its own.
RUN SOURCE_DATE_EPOCH=315532800 python -m hatchling build --target wheel --directory /wheel \
    && PYC_INVALIDATION_MODE=UNCHECKED_HASH uv pip install --quiet --no-cache --no-deps --no-index --find-links /wheel \
       --compile-bytecode --python /opt/consilia/bin/python --prefix /project consilia \
    && rm /project/lib/python3*/site-packages/consilia-*.dist-info/uv_cache.json \
    && sed -i '/uv_cache.json/d' /project/lib/python3*/site-packages/consilia-*.dist-info/RECORD

# Kafka's jars, each checked against the sha256 in our list. Only what fetches them is copied, so that a change of ours
# elsewhere does not fetch them again.
FROM tools AS jars
WORKDIR /build
COPY --from=locks /locks/jars.txt /locks/
RUN --mount=type=secret,id=network --mount=type=secret,id=ca \
    networked uv pip install --quiet --no-cache --no-deps --require-hashes --python /tools/bin/python \
    --requirements /locks/jars.txt
COPY consilia/__init__.py consilia/errors.py consilia/
COPY consilia/broker/__init__.py consilia/broker/jars.py consilia/broker/kafka-*.lock consilia/broker/
RUN --mount=type=secret,id=network --mount=type=secret,id=ca \
    networked python -c 'from pathlib import Path; from consilia.broker.jars import KAFKA, jars; jars(Path(f"/jars/kafka-{KAFKA}"))'

# What all three have in common: a Python, our user, and no way to become another or to install anything.
FROM ${BASE} AS runtime
# buildah keeps a layer when a mounted script has changed: whoever builds with it names the scripts' digest here.
ARG SCRIPTS
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    /tools/bin/harden && python3 -m venv --without-pip /opt/consilia
# HOME is where every pod has a small writable volume; nothing else is writable.
ENV PATH=/opt/consilia/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
LABEL org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.vendor="The Consilia developers"
WORKDIR /

FROM runtime AS operator
COPY --from=locks /locks/operator.txt /opt/consilia/share/locks/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=secret,id=network --mount=type=secret,id=ca \
    /tools/bin/install-locked /opt/consilia/share/locks/operator.txt
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title=consilia-operator \
      org.opencontainers.image.description="Reconciles federated jobs of hospitals on Kubernetes" \
      org.opencontainers.image.version=${VERSION} org.opencontainers.image.revision=${REVISION}
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["python", "-m", "consilia_operator"]
COPY --from=project /project /opt/consilia

# Torch, in one of three ways. It is by far the largest layer and changes least often.
FROM runtime AS torch-cuda
COPY --from=locks /locks/torch-cuda.txt /opt/consilia/share/locks/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=secret,id=network --mount=type=secret,id=ca \
    /tools/bin/install-locked /opt/consilia/share/locks/torch-cuda.txt

# TORCH_WHEEL: the address of a wheel without CUDA, of the version in the lock, followed by #sha256=...
FROM runtime AS torch-cpu
ARG TORCH_WHEEL
COPY --from=locks /locks/torch-beside.txt /opt/consilia/share/locks/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=secret,id=network --mount=type=secret,id=ca \
    echo "torch @ ${TORCH_WHEEL%%#*} --hash=sha256:${TORCH_WHEEL##*#sha256=}" > /opt/consilia/share/locks/torch-cpu.txt \
    && /tools/bin/install-locked /opt/consilia/share/locks/torch-beside.txt \
    && /tools/bin/install-locked /opt/consilia/share/locks/torch-cpu.txt

# For tests without a GPU, where only PyPI can be reached: scripts/images/inside/cuda_stubs.py says how.
FROM tools AS stubbed
RUN apt-get update -q && apt-get install -yq --no-install-recommends gcc libc6-dev \
    && python3 -m venv --without-pip /opt/consilia
COPY scripts/images/inside/cuda_stubs.py scripts/images/inside/hollow.py /build/
COPY --from=locks /locks/torch-stubs.txt /opt/consilia/share/locks/
RUN --mount=type=secret,id=network --mount=type=secret,id=ca \
    install-locked /opt/consilia/share/locks/torch-stubs.txt \
    && python3 /build/cuda_stubs.py /opt/consilia/lib/python3*/site-packages

FROM runtime AS torch-stubs
COPY --from=stubbed /opt/consilia /opt/consilia

FROM torch-${ACCELERATOR} AS worker
COPY --from=locks /locks/worker.txt /opt/consilia/share/locks/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=secret,id=network --mount=type=secret,id=ca \
    /tools/bin/install-locked /opt/consilia/share/locks/worker.txt
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title=consilia-worker \
      org.opencontainers.image.description="Aggregators and trainers of federated jobs" \
      org.opencontainers.image.version=${VERSION} org.opencontainers.image.revision=${REVISION}
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["python", "-m", "consilia_workers"]
COPY --from=project /project /opt/consilia

FROM runtime AS java
COPY --from=locks /locks/kafka.txt /opt/consilia/share/locks/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=secret,id=network --mount=type=secret,id=ca \
    /tools/bin/install-locked /opt/consilia/share/locks/kafka.txt
# Where consilia.broker looks for the jars and for what a formatted folder begins with.
ENV CONSILIA_CACHE=/opt/kafka

# A folder that Kafka's own tool formatted: with it a new broker starts a Java process earlier.
FROM java AS formatted
COPY --from=jars /jars /opt/kafka
WORKDIR /build
COPY consilia/__init__.py consilia/certificates.py consilia/errors.py consilia/
COPY consilia/broker consilia/broker
RUN PYTHONPATH=/build python -m consilia.broker.node --image && chmod -R a+rX /opt/kafka

FROM java AS kafka
COPY --from=formatted /opt/kafka /opt/kafka
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title=consilia-kafka \
      org.opencontainers.image.description="A broker of Consilia's managed Kafka" \
      org.opencontainers.image.version=${VERSION} org.opencontainers.image.revision=${REVISION}
USER 10001:10001
EXPOSE 9093 9094 9095
ENTRYPOINT ["python", "-m", "consilia.broker.node"]
COPY --from=project /project /opt/consilia
