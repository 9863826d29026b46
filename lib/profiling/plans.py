"""Plans of measurements: all of a machine in one command, for `make gpu` and `make speed`."""

import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import torch

from lib.profiling.forms import Form, check_here, parse_forms
from lib.profiling.models import Measurements, profile_models
from lib.profiling.report import Report
from lib.runtime.files import write_text

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """A table of a plan: the experiments and the measurements of each."""

    title: str
    experiments: tuple[str, ...]
    wanted: Measurements


class Plan(NamedTuple):
    """``parts`` in order of importance; after ``minutes`` no further experiment begins."""

    parts: tuple[Part, ...]
    minutes: float


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
    """``parts``: a report for each part. ``failed``: the experiments that failed, each with its error. ``left_out``:
    experiments that there was no time for, and forms that this machine cannot run."""

    parts: dict[str, Report] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Every table."""
        lines = [line for title, report in self.parts.items() for line in (f"# {title}", "", report.text(), "")]
        lines += [f"FAILED {line}" for line in self.failed]
        lines += [f"left out: {line}" for line in self.left_out]
        return "\n".join(lines)


def run_plan(plan: Plan, device: str, output: Path) -> PlanReport:
    """Measure; ``report.json`` and ``report.txt`` in ``output`` are written anew after each experiment.

    A failure is noted, and the rest goes on.
    """
    begun, report = monotonic(), PlanReport()
    for part in plan.parts:
        wanted = replace(part.wanted, forms=tuple(form for form in part.wanted.forms if _is_here(form, part, report)))
        for name in part.experiments:
            if monotonic() - begun > 60 * plan.minutes:
                report.left_out.append(f"{part.title}, {name}: {plan.minutes:g} minutes have passed")
            else:
                _measure(part.title, name, device, wanted, report)
            write_text(output / "report.json", json.dumps(asdict(report), indent=1) + "\n")
            write_text(output / "report.txt", report.text() + "\n")
    return report


def _measure(title: str, name: str, device: str, wanted: Measurements, report: PlanReport) -> None:
    try:
        measured = profile_models([name], [], device, wanted)
    except Exception as error:  # of this experiment alone, after minutes of others
        logger.exception("%s, %s", title, name)
        report.failed.append(f"{title}, {name}: {type(error).__name__}: {error}")
    else:
        for table, own in report.parts.setdefault(title, measured).tables.items():
            if own is not measured.tables[table]:
                own.rows += measured.tables[table].rows
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_here(form: Form, part: Part, report: PlanReport) -> bool:
    try:
        check_here(form)
    except ValueError as error:
        report.left_out.append(f"{part.title}, {form}: {error}")
        return False
    return True
