"""profile_model.py: which rows it counts, measures and prints, whatever the speed."""

import json
import os
import re
import signal

import pytest

from lib.experiment.build import build_model
from lib.experiment.config import load_experiment

QUICK = ["--frames", "2", "--warmup", "1", "--threads", "1", "--device", "cpu"]


@pytest.mark.slow
def test_a_tiny_twin_is_counted_and_timed(run, tmp_path):
    name, file = "lorat_tiny", tmp_path / "new" / "profile.json"
    words = ["--forms", "eager:fp32,eager:bf16", "--batch", "1,2", "--training", "2"]
    words += ["--engine", "1,2", "--engine-frames", "1", "--json", str(file)]
    ended = run("profile_model.py", "--config", name, *QUICK, *words)
    assert (ended.code, ended.errors) == (0, []), ended.err
    content = json.loads(file.read_text())
    tables = {name: table["rows"] for name, table in content["tables"].items()}
    (costs,) = tables["costs"]
    experiment = load_experiment(name)
    model = build_model(experiment)
    model.fold()
    assert costs["params"] == sum(value.numel() for value in model.parameters()) / 1e6
    assert costs["crops"] == f"{experiment.template.size}/{experiment.search.size}"
    forms = [("eager fp32", 1), ("eager fp32", 2), ("eager bf16", 1), ("eager bf16", 2)]
    assert [(row["form"], row["batch"]) for row in tables["frames"]] == forms
    for row in tables["frames"]:
        assert 0 < row["network"] < row["end to end"] <= row["p95"] and row["target"] > 0 and row["processor"] > 0
    assert tables["frames"][0]["x network"] == tables["training"][0]["x kept"] == 1
    assert [row["clock"] for row in tables["parts"]] == ["wall", "processor"]
    slots = [("eager fp32", None), ("eager fp32", 1), ("eager fp32", 2), ("eager bf16", 1), ("eager bf16", 2)]
    assert [(row["form"], row["slots"]) for row in tables["engine"]] == slots
    assert [row["precision"] for row in tables["training"]] == ["fp32", "bf16"]
    assert content["settings"]["threads"] == 1 and content["machine"]["torch"]
    # costs, forms, two clocks for the parts of a frame, the engine beside a tracker, two precisions of training
    assert len(re.findall(rf"^{name} ", ended.out, re.M)) == 1 + 4 + 2 + 5 + 2


@pytest.mark.slow
def test_several_experiments_are_counted_with_an_override_for_all(call):
    words = ["profile_model.py", "--config", "grm_tiny", "--config", "grm_vitb", "--frames", 0]
    plain, changed = call(*words), call(*words, "model.division.relation=one_stream")
    for ended in (plain, changed):
        assert ended.code == 0 and "timed" not in ended.out
    assert re.search(r"^grm_vitb +128/256 +99\.68 ", plain.out, re.M)
    assert "overrides model.division.relation=one_stream" in changed.out
    rows = [re.search(r"^grm_vitb .*$", ended.out, re.M)[0].split() for ended in (plain, changed)]
    assert float(rows[0][2]) > float(rows[1][2]) and float(rows[0][4]) > float(rows[1][4])
    assert rows[0][-1] == rows[1][-1]  # attention


@pytest.mark.parametrize(
    "words",
    ["--frames -1", "--warmup -1", "--threads 0", "--batch 1,x", "--engine 0,8", "--training -2", "--frame 3"],
)
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("profile_model.py", *words.split()).code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--config grm_tny", "did you mean grm_tiny?"),
        ("--config grm_tiny model.depth=3", "model.depth"),
        ("--config grm_tiny --device cuda:99", "cuda:99"),
        ("--config grm_tiny --forms eager:fp8", "eager:fp8"),
        ("--config grm_tiny --forms captured:fp32 --device cpu", "captured on CUDA"),
    ],
)
def test_a_mistake_is_one_line(call, words, message):
    assert message in call("profile_model.py", *words.split()).error


@pytest.mark.slow
def test_ctrl_c_is_one_line(start, tmp_path):
    file = tmp_path / "profile.json"
    with start(
        "profile_model.py", "--config", "grm_tiny", "--frames", 10**7, "--device", "cpu", "--json", file
    ) as process:
        assert process.stderr.readline().endswith("grm_tiny: 10000000 frames on cpu\n")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == ["stopped; --json has the experiments that were finished"]
    assert [table["rows"] for table in json.loads(file.read_text())["tables"].values()] == [[]] * 5
