# Two targets. Track videos on a CPU, without torch:
#   docker build --target cpu -t tracking:cpu .
#   docker run --rm -v "$PWD":/data tracking:cpu tracking/track.py /data/video.mp4 --box 10,20,100,80 --out /data/tracked
# Train and test on GPUs:
#   docker build --target cuda -t tracking:cuda .
#   docker run --rm --gpus all --shm-size 8g -v /datasets:/datasets -v "$PWD/output":/app/output tracking:cuda tracking/train.py --config grm_vitb
FROM python:3.11-slim-bookworm AS cpu
WORKDIR /app
COPY requirements-track.txt setup.py README.md ./
RUN pip install --no-cache-dir -r requirements-track.txt
COPY . .
RUN pip install --no-cache-dir --no-deps -e .
ENTRYPOINT ["python"]

# PyPI's torch brings the CUDA libraries; the host needs the driver alone.
FROM python:3.11-slim-bookworm AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends libturbojpeg0 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt setup.py README.md ./
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps -e .
ENTRYPOINT ["python"]
