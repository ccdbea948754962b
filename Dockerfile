# Two stages: the first builds the wheel and a virtual environment around it, the second runs it.
FROM python:3.11-slim AS build

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY streamer streamer
COPY twisted twisted
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
    && python -m venv /opt/pulp-streamer \
    && /opt/pulp-streamer/bin/pip install --no-cache-dir /wheel/*.whl


FROM python:3.11-slim

COPY --from=build /opt/pulp-streamer /opt/pulp-streamer
ENV PATH=/opt/pulp-streamer/bin:$PATH PYTHONUNBUFFERED=1

# Inside a container loopback reaches nobody. Publish 8751 to clients, and 8752 to operators only.
# These are settings in a file, not in the environment, so that a file mounted in its place counts.
RUN mkdir /etc/pulp-streamer && printf '%s\n' \
    'catalog.url = "sqlite:////var/lib/pulp-streamer/catalog.db"' \
    'content.listen = ["tcp:8751"]' \
    'admin.listen = "tcp:8752"' \
    > /etc/pulp-streamer/streamer.toml
EXPOSE 8751 8752

# Writes twistd's cache of plugins, which the user below may not.
RUN twistd --help > /dev/null

RUN useradd --system --uid 751 --home-dir /var/lib/pulp-streamer --create-home pulp-streamer
USER pulp-streamer
WORKDIR /var/lib/pulp-streamer
VOLUME /var/lib/pulp-streamer

HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8752/healthz', timeout=4)"]

# Running transfers get delivery.drain (60 s) to end: `docker stop --time 90`.
STOPSIGNAL SIGTERM
CMD ["twistd", "-n", "--pidfile=", "pulp-streamer"]
