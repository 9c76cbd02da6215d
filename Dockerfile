# The image of `diptych serve`, `worker` and `backup`: docker build --tag diptych:0.1.0 .
# Its steps run in a plain folder, too (tests/deploy/test_image.py): nothing here needs more than a Python.

FROM python:3.13.15-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/diptych
COPY deploy/image/requirements.lock deploy/image/requirements.lock
RUN /opt/diptych/bin/pip install --quiet --only-binary :all: --require-hashes --requirement deploy/image/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY persistence persistence
COPY sync sync
COPY api api
RUN /opt/diptych/bin/pip install --quiet --no-deps .
# It installs nothing any more.
RUN /opt/diptych/bin/pip uninstall --quiet --yes pip

# With the source from outside: docker-compose.dev.yml.
FROM build AS dev
RUN useradd --create-home --uid 10001 diptych && install --directory --owner 10001 --group 10001 /var/lib/diptych
ENV PATH=/opt/diptych/bin:$PATH PYTHONPATH=/source PYTHONDONTWRITEBYTECODE=1 DIPTYCH_HOME=/var/lib/diptych
USER 10001:10001
WORKDIR /source
EXPOSE 8765
CMD ["diptych", "serve"]

FROM python:3.13.15-slim-bookworm AS runtime
LABEL org.opencontainers.image.title="diptych" \
      org.opencontainers.image.description="A persistence coordinator that makes a vector store and a graph store behave as one" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --no-create-home --uid 10001 diptych \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/diptych /var/lib/diptych/keys /backups
COPY --from=build /opt/diptych /opt/diptych
ENV PATH=/opt/diptych/bin:$PATH PYTHONDONTWRITEBYTECODE=1 DIPTYCH_HOME=/var/lib/diptych
USER 10001:10001
WORKDIR /var/lib/diptych
EXPOSE 8765
# Whether both stores are as they should be; docker-compose.production.yml asks the API itself.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s --retries=3 CMD ["diptych", "doctor"]
ENTRYPOINT ["diptych"]
CMD ["serve"]
