# One image for every process: node, sentinel, target. The command says which.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md ./
COPY ha_stress ha_stress
COPY sentinel sentinel
COPY chaos chaos
RUN python -m venv /opt/ha-stress \
 && /opt/ha-stress/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[postgresql]'

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /data --uid 10001 ha-stress
COPY --from=build /opt/ha-stress /opt/ha-stress
ENV PATH=/opt/ha-stress/bin:$PATH PYTHONUNBUFFERED=1
USER ha-stress
WORKDIR /data
VOLUME /data
# What each service has to answer differs: docker-compose.yml asks for it.
HEALTHCHECK NONE
ENTRYPOINT ["ha-stress"]
