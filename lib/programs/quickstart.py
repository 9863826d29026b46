"""The first run of a newcomer: a synthetic set, a tiny network trained on it, tested beside three baselines, drawn;
then a real video, tracked by the tracker that ships."""

import json
import os
from collections import abc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from lib.config.paths import CLIP, Paths
from lib.data.decoding.images import read_image
from lib.data.synthetic.writing import SyntheticSet, write_synthetic
from lib.data.types import Sequence
from lib.evaluation.benchmarks import named_part, part_in_words, read_benchmark
from lib.evaluation.reports.comparison import Comparison
from lib.evaluation.reports.figures import curve_figure
from lib.evaluation.reports.films import write_film
from lib.evaluation.reports.layout import score_tables
from lib.evaluation.reports.tables import render_table
from lib.evaluation.running.baselines import ForeignTemplates, StaticEngine
from lib.evaluation.running.runner import Trial
from lib.experiment.build import TorchForm, build_objective, build_tracker
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.inference.decisions import decide_at
from lib.models.base import TokenMap
from lib.programs.testing import track_and_score
from lib.programs.tracking import CLIP_TARGET, VIDEO, Wanted, open_tracking_network, track_video
from lib.programs.trained_trials import results_of
from lib.programs.training import train
from lib.runtime.files import write_text
from lib.runtime.locks import only_writer
from lib.runtime.program import TextResult
from lib.runtime.stop import interruption, terminated_like_interrupted
from lib.visualization.curves import plot_training
from lib.visualization.plots import write_figure
from lib.visualization.sheet import write_png
from lib.visualization.token_map import draw_token_map

BENCHMARK, PROTOCOL = "got10k_val", "got10k"
TRAINED, FIRST_BOX, UNTRAINED, WRONG_TEMPLATE = "trained", "first_box", "untrained", "wrong_template"
TITLES = {
    TRAINED: "the trained network",
    FIRST_BOX: "the first box repeated",
    UNTRAINED: "the untrained network",
    WRONG_TEMPLATE: "trained, but shown another sequence's template",
}
# The network's decisions are looked at on this frame of each test sequence, with the window around the true box.
MAP_FRAME = 10


def run_quickstart(
    paths: Paths,
    config: str,
    seed: int,
    data: Path | None,
    name: str | None,
    processes: int,
    overrides: abc.Sequence[str] = (),
) -> TextResult:
    """Write the synthetic set, train, test and draw; everything but the set goes to the run's folder.

    ``config`` names an experiment that trains on GOT-10k alone, ``data`` a folder in GOT-10k's layout to take instead
    of the set. What is finished from an earlier call of the same run is kept. The result is good if every sequence has
    a score. Raises ``ValueError`` as its parts do, and ``KeyboardInterrupt`` if the training was stopped.
    """
    run = name or f"quickstart_{Path(config).stem}_{seed}"
    overrides = (*overrides, f"seed={seed}")
    output = paths.output / run
    seconds: dict[str, float] = {}
    with terminated_like_interrupted(), only_writer(output, output / ".quickstart.lock"):
        synthetic = data is None
        if synthetic:
            data = paths.output / "synthetic"
            write_synthetic(data, SyntheticSet(), processes)
        experiment = load_experiment(config, overrides, run)
        readable = read_benchmark(BENCHMARK, data, paths.cache)
        part = part_in_words(BENCHMARK, len(readable.sequences))
        named = f"synthetic set, {len(readable.sequences)} sequences" if synthetic else named_part(BENCHMARK, part)
        with _clocked(seconds, "training"):
            own = paths.model_copy(update={"data": {**paths.data, "got10k": data}})
            code = train(own, config, run, min(processes, 2), device="cpu", overfit=False, overrides=overrides)
        if code:
            text = "the training did not end; the same command goes on from its last checkpoint"
            raise interruption(code - 128, text) if code > 128 else ValueError(text)
        checkpoint = output / "checkpoints" / "last.pth"
        with _clocked(seconds, "testing"):
            trials = _trials(paths, experiment, checkpoint, readable.sequences)
            _, comparison = track_and_score(BENCHMARK, readable, trials, processes)
        with _clocked(seconds, "drawing"):
            tokens, maps = _draw(experiment, checkpoint, readable.sequences, comparison, output, named)
        with _clocked(seconds, "the clip"):
            clip = Wanted(output / "clip", replace=True)
            track_video(str(CLIP), [CLIP_TARGET], open_tracking_network(paths=paths), clip)
    reports = output / "reports"
    scores = {label: run.values(PROTOCOL) for label, run in zip(TITLES, comparison.runs, strict=True)}
    summary = {"config": config, "set": named, "scores": scores, "tokens": tokens, "seconds": seconds}
    write_text(reports / "quickstart.json", json.dumps(summary, indent=1) + "\n")
    [table] = score_tables([comparison])
    table = replace(table, scope=(f"{named}, protocol {PROTOCOL}",), warnings=())
    lines = [render_table(table, "text").rstrip("\n")]
    for chosen in tokens.values():
        numbers = ", ".join(f"{stage} {share:.2f}" for stage, share in chosen["stages"].items())
        lines.append(f"share of search tokens that {chosen['meaning']}: {numbers}")
    lines += [
        ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()) + f" on {os.cpu_count()} cores",
        f"curves:        {reports / 'training.png'} and {reports / 'success.png'}",
        f"overlay video: {reports / 'overlay.mp4'}",
        *(f"{name + ':':<14} {reports / name}.png" for name in maps),
        f"log:           {output / 'log.jsonl'} (and tensorboard --logdir {output / 'tensorboard'})",
        f"a real video, tracked by the tracker that ships: {output / 'clip' / VIDEO}",
    ]
    return TextResult("\n".join(lines), comparison.is_complete())


@contextmanager
def _clocked(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = perf_counter()
    yield
    seconds[name] = perf_counter() - started


def _trials(
    paths: Paths, experiment: ExperimentConfig, checkpoint: Path, sequences: abc.Sequence[Sequence]
) -> list[Trial]:
    """The trained network and its baselines, in the order of ``TITLES``."""
    trained = TorchForm(experiment, checkpoint, benchmark=BENCHMARK)
    fresh = replace(trained, checkpoint=None)
    engines = {
        TRAINED: (trained, trained.engine),
        FIRST_BOX: (fresh, _make_static),
        UNTRAINED: (fresh, fresh.engine),
        WRONG_TEMPLATE: (trained, partial(trained.engine, template_of=ForeignTemplates(sequences))),
    }
    return [
        Trial(make_engine, results_of(paths, form, label), TITLES[label], form.checkpoint)
        for label, (form, make_engine) in engines.items()
    ]


def _make_static(_most: int) -> StaticEngine:
    return StaticEngine()


def _draw(
    experiment: ExperimentConfig,
    checkpoint: Path,
    sequences: abc.Sequence[Sequence],
    comparison: Comparison,
    output: Path,
    named: str,
) -> tuple[dict[str, Any], list[str]]:
    """Draw pictures into ``reports``, under the set's name. Returns, for each map that chooses tokens, its ``meaning``
    and the share of search tokens over the test sequences in each of its ``stages``; and the names of all maps."""
    reports, trained = output / "reports", comparison.entries[0]
    plot_training(output / "log.jsonl", reports / "training.png", build_objective(experiment).weights)
    if figure := curve_figure(comparison, PROTOCOL, "success", title=named):
        write_figure(figure, reports / "success.png", reports / "success.pdf")
    ranked = comparison.extremes([trained], worst=len(sequences), best=0)["worst"]
    if not ranked:
        raise ValueError(f"{trained.runs[0].results.source}: no sequence has a score; its score.json names the reasons")
    _, median = ranked[len(ranked) // 2]
    write_film(reports / "overlay.mp4", median, {trained.label: trained.runs[0].results.boxes(median)})
    crop, maps = _token_maps(experiment, checkpoint, sequences)
    tokens = {}
    for name, (values, stages, meaning) in maps.items():
        write_png(reports / f"{name}.png", draw_token_map(crop, values[0].numpy(), stages, meaning))
        if values.dtype == torch.bool:
            means = values.double().mean(dim=(0, 2)).tolist()
            tokens[name] = {"meaning": meaning, "stages": dict(zip(stages, means, strict=True))}
    return tokens, list(maps)


def _token_maps(
    experiment: ExperimentConfig, checkpoint: Path, sequences: abc.Sequence[Sequence]
) -> tuple[np.ndarray, dict[str, TokenMap]]:
    """The search crop of a frame of the first sequence, and the maps of the network, on that frame of each sequence."""
    tracker = build_tracker(experiment, checkpoint, dataset=BENCHMARK)
    decided = []
    for sequence in sequences:
        frame, boxes = min(MAP_FRAME, len(sequence) - 1), sequence.boxes
        first, image = read_image(sequence.frames[0]), read_image(sequence.frames[frame])
        decided.append(decide_at(tracker, first, boxes[0], image, boxes[frame]))
    maps = {
        name: first._replace(values=torch.cat([each.maps[name].values for each in decided]))
        for name, first in decided[0].maps.items()
    }
    return decided[0].result.crop, maps
