# One image for the server, the workers and the migrations; compose.yaml shows the commands.
# torch is the CPU build, whatever the machine that builds the image has (deploy/torch_index.py is for make).
# With CUDA: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .

FROM python:3.12-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# The dependencies are a layer of their own: it lasts until they change.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; \
        project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
        telemetry = project["optional-dependencies"]["telemetry"]; \
        print("setuptools", *project["dependencies"], *telemetry, sep="\n")' > requirements.txt \
    && pip install --extra-index-url "$TORCH_INDEX" \
        --constraint constraints.txt --requirement requirements.txt

COPY . .
RUN pip install --no-build-isolation --no-deps --editable . \
    && python -m compileall -q .


FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /app twin
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 ENVIRONMENT=production
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["uvicorn", "--factory", "graph.app:create_app", "--host", "0.0.0.0", "--port", "8000", \
    "--timeout-graceful-shutdown", "10", "--ws", "websockets-sansio", "--ws-max-size", "1048576", \
    "--ws-ping-interval", "0", "--ws-per-message-deflate", "false"]
