# The bridge and the reference deployment (celeryconfig.py, tasks/) in one image.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app
RUN useradd --system --create-home bridge
WORKDIR /app
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY bridge bridge
RUN python3 -m pip install --no-cache-dir ".[metrics]"
COPY celeryconfig.py ./
COPY tasks tasks
USER bridge

CMD ["celery", "-A", "bridge", "worker", "--queues", "bridge", "--loglevel", "INFO"]
