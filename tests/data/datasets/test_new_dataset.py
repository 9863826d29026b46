"""A dataset with its benchmark is one file and one line: those of docs/new_dataset.md, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniatures import write_boxes, write_frames

from lib.config.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "new_dataset.md").read_text(encoding="utf-8")
MODULE, LINE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
PROGRAM = """
import sys
from pathlib import Path
from lib.data.checking import check_dataset_on_disk
from lib.evaluation.benchmarks import find_benchmark, read_benchmark
from lib.evaluation.results.lookup import result_label
from lib.evaluation.results.sequence_names import sequence_name

root, cache = map(Path, sys.argv[1:])
assert [s.name for s in read_benchmark("toy_videos", root, cache).sequences] == ["bus_1", "car_1"]
assert find_benchmark("toy_videos")[:5] == ("test", "pytracking", "", True, "toy")
assert sequence_name("toy_car.1", "toy_videos") == "car_1"
assert result_label(Path("/results/mine/toy"), Path("/")) == "mine"
report = check_dataset_on_disk("toy", root)
assert report.good, report.text()
(root / "car_1" / "0002.jpg").unlink()
assert "car_1" in check_dataset_on_disk("toy", root).text()
"""


@pytest.mark.slow
def test_the_dataset_of_the_page_is_known_everywhere(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    readers = tmp_path / "lib" / "data" / "datasets"
    (readers / "toy.py").write_text(MODULE, encoding="utf-8")
    registry = (readers / "registry.py").read_text(encoding="utf-8")
    for before, added in (("    tnl2k,\n", "    toy,\n"), ("        dtb70.DATASET,\n", LINE)):
        assert registry.count(before) == 1
        registry = registry.replace(before, before + added)
    (readers / "registry.py").write_text(registry, encoding="utf-8")
    for name in ("bus_1", "car_1"):
        folder = tmp_path / "data" / name
        write_boxes(folder / "boxes.txt", write_frames(folder, "%04d.jpg", 1, 3))
    command = [sys.executable, "-c", PROGRAM, tmp_path / "data", tmp_path / "cache"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
