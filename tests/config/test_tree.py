"""Merging trees and dotted overrides."""

import copy

import pytest

from lib.config.schema import ConfigError
from lib.config.tree import apply_overrides, merge

TREE = {
    "seed": 3,
    "model": {"name": "grm", "division": {"ratio": 0.5}},
    "data": {"train": [{"name": "lasot"}]},
    "off": None,
}


def test_mappings_merge_and_everything_else_is_replaced():
    changes = {"model": {"division": {"threshold": 0.4}}, "data": {"train": [1]}, "seed": {"a": 1}, "new": {"b": 2}}
    before = copy.deepcopy((TREE, changes))
    assert merge(TREE, changes) == {
        "seed": {"a": 1},
        "model": {"name": "grm", "division": {"ratio": 0.5, "threshold": 0.4}},
        "data": {"train": [1]},
        "off": None,
        "new": {"b": 2},
    }
    assert (TREE, changes) == before


def test_overrides_are_merged_in_order_and_read_by_the_rules_of_files():
    before = copy.deepcopy(TREE)
    overrides = ["seed=1", "seed=010", "model.division.threshold=2e-4", "data.train=[{name: no}, 1]", "off=a=b"]
    assert apply_overrides(TREE, overrides) == {
        "seed": 10,
        "model": {"name": "grm", "division": {"ratio": 0.5, "threshold": 2e-4}},
        "data": {"train": [{"name": "no"}, 1]},
        "off": "a=b",
    }
    assert before == TREE


def test_overrides_make_the_sections_they_need_and_merge_mappings():
    assert apply_overrides({}, ["a.b.c=1", "a.b={d: 2}", "a.e="]) == {"a": {"b": {"c": 1, "d": 2}, "e": None}}
    assert apply_overrides(TREE, []) == TREE


@pytest.mark.parametrize("override", ["seed", "", "=1", ".seed=1", "model..name=1", "model.=1"])
def test_a_malformed_override_is_named(override):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(TREE, [override])
    assert str(caught.value) == f"command line: {override!r}: not an override; should be section.key=value"


@pytest.mark.parametrize(
    ("override", "start"),
    [
        ("data.train=[1, 2", "command line: data.train: got '[1, 2'; "),
        ("seed=.nan", "command line: seed: got '.nan'; could not convert string to float: '.nan'"),
        ("model={name: a, name: b}", "command line: model: got '{name: a, name: b}'; repeated key 'name'"),
        ("model={1: b}", "command line: model: got '{1: b}'; the key 1 is not a word"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(override, start):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(TREE, [override])
    assert str(caught.value).startswith(start)
