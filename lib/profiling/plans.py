"""All measurements of a machine in one command: `make gpu` and `make speed`."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from xml.etree import ElementTree

import torch

from lib.config.paths import REPOSITORY
from lib.profiling.forms import Form, check_here, parse_forms
from lib.profiling.profile import Measurements, profile_models
from lib.profiling.report import ModelReport
from lib.runtime.files import write_text

logger = logging.getLogger(__name__)

TESTS = REPOSITORY / "tests" / "gpu"
_TESTS_AT_ONCE, _TESTS_SECONDS = 4, 200


class Part(NamedTuple):
    """A table of a plan: the experiments and the measurements of each."""

    title: str
    experiments: tuple[str, ...]
    wanted: Measurements


class Plan(NamedTuple):
    """``parts`` in order of importance; after ``minutes`` no further experiment is begun. Where it is ``tested``, the
    checks of ``tests/gpu`` come first."""

    parts: tuple[Part, ...]
    minutes: float
    tested: bool


_LARGE = ("grm_vitb", "ostrack_vitb_256_ce", "simtrack_b16", "transt", "stark_sv_b16")
_TWINS = ("grm_tiny", "ostrack_tiny", "simtrack_tiny", "stark_tiny", "transt_tiny")
_EXPORTED = "onnx:fp32,onnx:int8,openvino:fp32,openvino:bf16"

PLANS = {
    "gpu": Plan(
        (
            Part(
                "Forms",
                _LARGE,
                Measurements(parse_forms("eager:fp32,eager:bf16,captured:fp32,captured:bf16"), batches=(1, 16)),
            ),
            Part("Training", ("grm_vitb",), Measurements(frames=0, training=40)),
            Part(
                "Engine",
                ("grm_vitb",),
                Measurements(
                    parse_forms("captured:bf16"), frames=0, engine=(1, 2, 4, 8, 16, 32, 64, 128), engine_threads=16
                ),
            ),
            Part("Compiled", ("grm_vitb",), Measurements(parse_forms("eager:fp32,compiled:bf16"), batches=(1, 16))),
            Part(
                "Engine, elimination",
                ("ostrack_vitb_256_ce",),
                Measurements(parse_forms("captured:bf16"), frames=0, engine=(1, 16, 128), engine_threads=16),
            ),
        ),
        minutes=5.5,
        tested=True,
    ),
    "cpu": Plan(
        (
            Part(
                "Engine",
                ("grm_tiny",),
                Measurements(parse_forms("eager:fp32,openvino:fp32"), frames=0, engine=(1, 8, 16), engine_frames=1600),
            ),
            Part(
                "Batches, one thread",
                _TWINS,
                Measurements(
                    parse_forms("eager:fp32,eager:bf16,onnx:fp32,openvino:fp32"),
                    batches=(1, 8, 16), frames=160, threads=1,
                ),
            ),
            Part("Training, one thread", ("grm_vitb",), Measurements(frames=0, training=8, threads=1)),
            Part(
                "Forms, one thread",
                (*_LARGE, "ostrack_vitb_256"),
                Measurements(parse_forms(f"eager:fp32,eager:bf16,{_EXPORTED}"), frames=20, warmup=2, threads=1),
            ),
            Part(
                "All threads",
                ("grm_vitb", "transt"),
                Measurements(parse_forms("eager:fp32,eager:bf16,openvino:bf16"), frames=20, warmup=2),
            ),
            Part(
                "Compiled, one thread",
                ("grm_vitb", "transt"),
                Measurements(
                    parse_forms("eager:fp32,compiled:fp32,compiled:bf16"), frames=20, warmup=2, threads=1
                ),
            ),
        ),
        minutes=90,
        tested=False,
    ),
}  # fmt: skip


def toy(plan: Plan) -> Plan:
    """The same steps at toy size, for any device: a twin, two forms, a few frames, and nothing compiled or captured."""

    def small(part: Part) -> Part:
        wanted = part.wanted
        forms = tuple(
            Form("eager", form.precision) if form.kind in ("compiled", "captured") else form
            for form in (*wanted.forms[:1], *wanted.forms[1:][-1:])
        )
        return part._replace(
            experiments=_TWINS[:1],
            wanted=replace(
                wanted, forms=forms, batches=wanted.batches[:1], frames=min(wanted.frames, 2), warmup=1,
                engine=wanted.engine[:1], engine_frames=1, training=min(wanted.training, 2),
            ),
        )  # fmt: skip

    return plan._replace(parts=tuple(map(small, plan.parts)))


@dataclass
class PlanReport:
    """``tests`` by outcome; a report for each part; the experiments that failed, each with its reason; what was left
    out, for lack of time or since this machine cannot do it."""

    tests: dict[str, int] = field(default_factory=dict)
    parts: dict[str, ModelReport] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        parts = {title: report.to_json() for title, report in self.parts.items()}
        return {"tests": self.tests, "parts": parts, "failed": self.failed, "left_out": self.left_out}

    def text(self) -> str:
        """Every table."""
        lines = ["checks: " + ", ".join(f"{count} {name}" for name, count in self.tests.items())] if self.tests else []
        for title, report in self.parts.items():
            lines += ["", f"# {title}", "", report.text(counts=False)]
        lines += [f"FAILED {line}" for line in self.failed]
        lines += [f"left out: {line}" for line in self.left_out]
        return "\n".join(lines)


def run_plan(plan: Plan, device: str, output: Path) -> PlanReport:
    """Check and measure; ``report.json`` and ``report.txt`` in ``output`` are written anew after each experiment.

    What fails is noted, and the rest goes on.
    """
    begun, report = monotonic(), PlanReport()
    if plan.tested:
        _test(device, report)
    for part in plan.parts:
        wanted = replace(part.wanted, forms=tuple(form for form in part.wanted.forms if _is_here(form, part, report)))
        for name in part.experiments:
            if monotonic() - begun > 60 * plan.minutes:
                report.left_out.append(f"{part.title}, {name}: {plan.minutes:g} minutes have passed")
            else:
                _measure(part.title, name, device, wanted, report)
            write_text(output / "report.json", json.dumps(report.to_json(), indent=1) + "\n")
            write_text(output / "report.txt", report.text() + "\n")
    return report


def _measure(title: str, name: str, device: str, wanted: Measurements, report: PlanReport) -> None:
    try:
        measured = profile_models([name], [], device, wanted)
    except Exception as error:  # of this experiment alone, after minutes of others
        logger.exception("%s, %s", title, name)
        report.failed.append(f"{title}, {name}: {type(error).__name__}: {error}")
    else:
        if title in report.parts:
            report.parts[title].rows += measured.rows
        else:
            report.parts[title] = measured
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_here(form: Form, part: Part, report: PlanReport) -> bool:
    try:
        check_here(form)
    except ValueError as error:
        report.left_out.append(f"{part.title}, {form}: {error}")
        return False
    return True


def _test(device: str, report: PlanReport) -> None:
    """Run the checks in a process of their own; on a GPU for a bounded time, as a plan's is."""
    logger.info("the checks of %s on %s", TESTS, device)
    with tempfile.TemporaryDirectory(prefix="gpu_tests_") as folder:
        file = Path(folder) / "outcomes.xml"
        words = ["-q", "-m", "gpu", "-n", str(_TESTS_AT_ONCE), f"--junitxml={file}", str(TESTS)]
        try:
            variables = {**os.environ, "TRACKING_GPU_TESTS_ON": device}
            command = [sys.executable, "-m", "pytest", *words]
            limit = None if device == "cpu" else _TESTS_SECONDS
            ended = subprocess.run(command, cwd=REPOSITORY, env=variables, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            report.failed.append(f"the checks did not end within {_TESTS_SECONDS} s")
            return
        if ended.returncode:
            report.failed.append(f"the checks ended with exit code {ended.returncode}; their messages stand above")
        if file.exists():
            report.tests = read_outcomes(file)


def read_outcomes(file: Path) -> dict[str, int]:
    """How many tests passed, failed and were skipped, from pytest's XML."""
    suites = list(ElementTree.parse(file).iter("testsuite"))
    names = ("tests", "failures", "errors", "skipped")
    tests, failures, errors, skipped = (sum(int(suite.get(name, 0)) for suite in suites) for name in names)
    return {"passed": tests - failures - errors - skipped, "failed": failures + errors, "skipped": skipped}
