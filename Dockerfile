# The HTTP service (docs/service.md).
#   CPU: docker build -t emotalker .
#   GPU: docker build --build-arg TORCH=cu128 --build-arg DEVICE=cuda -t emotalker:gpu .
#   docker run -p 8000:8000 -v emotalker:/data -e EMOTALKER_TOKEN=... emotalker        (GPU: with --gpus all)
FROM python:3.12-slim
# The build of PyTorch: cpu, or one for CUDA such as cu128, which brings CUDA's libraries.
ARG TORCH=cpu
ARG DEVICE=cpu
ENV DEVICE=${DEVICE} PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir uv==0.13.9 \
 && uv pip install --system --no-cache --compile-bytecode --torch-backend ${TORCH} --editable ".[serve,redis]" \
 && useradd --create-home emotalker && mkdir /data && chown -R emotalker /data
USER emotalker
# The files of the face landmarker and the segmenter, so that the container needs no network.
RUN python -m emotalker.core.registry
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v1/health')"]
# exec: the service itself gets SIGTERM, and finishes the running jobs; give it time with docker stop --time 600.
CMD exec python scripts/serve.py --host 0.0.0.0 --folder /data --device ${DEVICE}
