# The command `multi-llm` in an image of its own; by itself it serves the simulated providers. See docs/container.md.

FROM python:3.12-slim-bookworm AS base
ENV PATH="/app/.venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
RUN useradd --uid 10001 --create-home app

FROM base AS build
ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock LICENSE ./
# what changes rarely, in a layer of its own
RUN uv sync --locked --no-cache --no-install-project --no-default-groups --extra cli --compile-bytecode
COPY src src
RUN uv sync --locked --no-cache --no-editable --no-default-groups --extra cli --compile-bytecode

# The test suite: docker build --target test --tag multi-llm-test .
FROM build AS test
RUN uv sync --locked --no-cache
COPY Makefile README.md CHANGELOG.md Dockerfile .dockerignore ./
COPY docs docs
COPY benchmarks benchmarks
COPY tests tests
RUN chown app /app
USER 10001
CMD ["python", "-m", "pytest", "-n", "2", "-q", "-m", "not slow and not live"]

FROM base
COPY --from=build /app/.venv .venv
USER 10001
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8700/health', timeout=2)"]
ENTRYPOINT ["multi-llm"]
CMD ["sim", "--host", "0.0.0.0"]
