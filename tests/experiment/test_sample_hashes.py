"""No change of the code changes a sample of a published recipe by a bit."""

import json
from pathlib import Path

import pytest
from sample_hashes import COUNTS, RECORD, hash_experiments, write_miniatures

RECORDED: dict[str, list[str]] = json.loads(RECORD.read_text())


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_miniatures(tmp_path_factory.mktemp("miniatures"))


def test_the_first_samples_of_each_recipe_are_the_recorded_ones(miniatures):
    found = hash_experiments(list(RECORDED), miniatures, COUNTS[:1])
    assert found == {name: hashes[:1] for name, hashes in RECORDED.items()}


@pytest.mark.slow
def test_500_samples_of_each_recipe_are_the_recorded_ones(miniatures):
    assert hash_experiments(list(RECORDED), miniatures, COUNTS) == RECORDED
