"""The first run of a newcomer: a synthetic set, a tiny network trained on it, tested beside three baselines, drawn;
then a real video, tracked by the tracker that ships."""

import json
import os
from collections import abc
from collections.abc import Callable
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
from lib.evaluation.metrics.scoring import ScoredRun
from lib.evaluation.reports.comparison import Comparison
from lib.evaluation.reports.figures import curve_figure
from lib.evaluation.reports.films import write_film
from lib.evaluation.reports.tables import Cell, Row, Table, render
from lib.evaluation.running.baselines import ForeignTemplates, StaticEngine
from lib.experiment.build import TorchForm, build_objective, build_tracker
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.inference.decisions import decide_at
from lib.models.base import TokenMap
from lib.programs.testing import Candidate, track_and_score
from lib.programs.tracking import CLIP_TARGET, VIDEO, Wanted, open_tracking_network, track_video
from lib.programs.trained_candidates import results_of
from lib.runtime.files import write_text
from lib.runtime.program import Outcome
from lib.runtime.stop import interruption
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
    data: Path | None,
    config: str,
    run: str,
    overrides: tuple[str, ...],
    processes: int,
    train: Callable[[list[str], dict[str, str]], int],
) -> Outcome:
    """Write the synthetic set, train, test and draw; everything but the set goes to the run's folder.

    ``config`` names an experiment that trains on GOT-10k alone, such as a family's tiny twin. ``data`` is a folder in
    GOT-10k's layout to take instead of the set. ``train`` runs the training program with the arguments and environment
    variables it is given, and returns its exit code. ``processes`` write the set and track. What is finished from an
    earlier call of the same ``run`` is kept. The result is good if no sequence failed. Raises ``ValueError`` as its
    parts do, and ``KeyboardInterrupt`` if the training was stopped.
    """
    synthetic = data is None
    if synthetic:
        data = paths.output / "synthetic"
        write_synthetic(data, SyntheticSet(), processes)
    experiment = load_experiment(config, overrides, run)
    output = paths.output / run
    seconds: dict[str, float] = {}
    readable = read_benchmark(BENCHMARK, data, paths.cache)
    sequences = readable.sequences
    part = part_in_words(BENCHMARK, len(sequences))
    named = f"synthetic set, {len(sequences)} sequences" if synthetic else named_part(BENCHMARK, part)
    variables = {
        "TRACKING_DATA_GOT10K": str(data),
        "TRACKING_OUTPUT": str(paths.output),
        "TRACKING_CACHE": str(paths.cache),
    }
    with _clocked(seconds, "training"):
        code = train(["--config", config, "--name", run, "--device", "cpu", *overrides], variables)
    if code:
        text = "the training did not end; the same command goes on from its last checkpoint"
        raise interruption(code - 128, text) if code > 128 else ValueError(text)

    checkpoint = output / "checkpoints" / "last.pth"
    with _clocked(seconds, "testing"):
        candidates = _candidates(paths, experiment, checkpoint, sequences)
        _, comparison = track_and_score(BENCHMARK, readable, list(candidates.values()), processes)
    tested = dict(zip(candidates, comparison.runs, strict=True))  # a sequence that failed is an error of the score
    with _clocked(seconds, "drawing"):
        tokens, maps = _draw(experiment, checkpoint, sequences, comparison, output, named)
    clip = Wanted(output / "clip", replace=True)
    with _clocked(seconds, "the clip"):
        track_video(str(CLIP), [CLIP_TARGET], open_tracking_network(paths=paths), clip)

    scores = {label: run.values(PROTOCOL) for label, run in tested.items()}
    summary = {"config": config, "set": named, "scores": scores, "tokens": tokens, "seconds": seconds}
    write_text(output / "reports" / "quickstart.json", json.dumps(summary, indent=1) + "\n")
    failures = [
        f"FAILED {label}: {name}: {why}" for label, run in tested.items() for name, why in run.errors(PROTOCOL).items()
    ]
    text = _text(tested, named, tokens, maps, seconds, output)
    return Outcome("\n".join([text, *failures]), not failures)


@contextmanager
def _clocked(seconds: dict[str, float], name: str):
    started = perf_counter()
    yield
    seconds[name] = perf_counter() - started


def _candidates(
    paths: Paths, experiment: ExperimentConfig, checkpoint: Path, sequences: abc.Sequence[Sequence]
) -> dict[str, Candidate]:
    """The trained network and its baselines, by label."""
    trained = TorchForm(experiment, checkpoint, benchmark=BENCHMARK)
    fresh = replace(trained, checkpoint=None)
    engines = {
        TRAINED: (trained, trained.engine),
        FIRST_BOX: (fresh, _make_static),
        UNTRAINED: (fresh, fresh.engine),
        WRONG_TEMPLATE: (trained, partial(trained.engine, template_of=ForeignTemplates(sequences))),
    }
    return {
        label: Candidate(form.checkpoint, results_of(paths, form, label), make_engine, title=TITLES[label])
        for label, (form, make_engine) in engines.items()
    }


def _make_static(_most: int) -> StaticEngine:
    return StaticEngine()


def _draw(
    experiment: ExperimentConfig,
    checkpoint: Path,
    sequences: list[Sequence],
    comparison: Comparison,
    output: Path,
    named: str,
) -> tuple[dict[str, Any], list[str]]:
    """Draw pictures into ``reports``, under the set's name. Returns, for each map that chooses tokens, its ``meaning``
    and the share of search tokens over the test sequences in each of its ``stages``; and the names of all maps."""
    reports = output / "reports"
    plot_training(output / "log.jsonl", reports / "training.png", build_objective(experiment).weights)
    if figure := curve_figure(comparison, PROTOCOL, "success", title=named):
        write_figure(figure, reports / "success.png", reports / "success.pdf")
    [trained] = comparison.entry(TITLES[TRAINED]).runs
    shown = _median_sequence(sequences, trained)
    write_film(reports / "overlay.mp4", shown, {TITLES[TRAINED]: trained.results.boxes(shown)})
    crop, maps = _token_maps(experiment, checkpoint, sequences)
    tokens = {}
    for name, (values, stages, meaning) in maps.items():
        write_png(reports / f"{name}.png", draw_token_map(crop, values[0].numpy(), stages, meaning))
        if values.dtype == torch.bool:
            means = values.double().mean(dim=(0, 2)).tolist()
            tokens[name] = {"meaning": meaning, "stages": dict(zip(stages, means, strict=True))}
    return tokens, list(maps)


def _median_sequence(sequences: list[Sequence], run: ScoredRun) -> Sequence:
    """The sequence of median AO, of those with a score."""
    scores = [(scored.values(PROTOCOL).get("AO", np.nan), scored.name) for scored in run.sequences]
    ranked = sorted((value, name) for value, name in scores if np.isfinite(value))
    if not ranked:
        raise ValueError(f"{run.results.source}: no sequence has a score; its score.json names the reasons")
    name = ranked[len(ranked) // 2][1]
    return next(sequence for sequence in sequences if sequence.name == name)


def _token_maps(
    experiment: ExperimentConfig, checkpoint: Path, sequences: list[Sequence]
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


def _text(
    runs: dict[str, ScoredRun],
    named: str,
    tokens: dict[str, Any],
    maps: list[str],
    seconds: dict[str, float],
    output: Path,
) -> str:
    names = ("AO", "SR0.5", "SR0.75")
    values = {title: runs[label].values(PROTOCOL) for label, title in TITLES.items()}
    rows = tuple(Row(title, tuple(Cell(found.get(name)) for name in names)) for title, found in values.items())
    title = f"Scores in percent by protocol {PROTOCOL}"
    lines = [render(Table("scores", title, (named,), "", names, rows), "text").rstrip("\n")]
    for chosen in tokens.values():
        numbers = ", ".join(f"{stage} {share:.2f}" for stage, share in chosen["stages"].items())
        lines.append(f"share of search tokens that {chosen['meaning']}: {numbers}")
    lines.append(", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()) + f" on {os.cpu_count()} cores")
    reports = output / "reports"
    lines += [
        f"curves:        {reports / 'training.png'} and {reports / 'success.png'}",
        f"overlay video: {reports / 'overlay.mp4'}",
        *(f"{name + ':':<14} {reports / name}.png" for name in maps),
        f"log:           {output / 'log.jsonl'} (and tensorboard --logdir {output / 'tensorboard'})",
        f"a real video, tracked by the tracker that ships: {output / 'clip' / VIDEO}",
    ]
    return "\n".join(lines)
