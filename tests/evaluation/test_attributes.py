"""Attributes: every listed name is a sequence of the package's lists; a user's own file is checked and mapped."""

import json
from importlib.resources import files

import pytest

from lib.data.datasets.annotations import package_names
from lib.data.datasets.registry import find_dataset
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.metrics.attributes import known_attributes, read_attributes
from lib.evaluation.results.sequence_names import known_names

FILES = {
    name: listed
    for name, benchmark in BENCHMARKS.items()
    if (listed := find_dataset(benchmark.dataset).attributes.get(benchmark.split))
}
COUNTS = {"lasot": 14, "uav": 12, "otb": 11, "avist": 5 + 18 - 1}


def table(name: str) -> dict:
    return json.loads((files("lib.data.datasets") / "attributes" / name).read_text())


@pytest.mark.parametrize(("benchmark", "name"), [(key, name) for key, names in FILES.items() for name in names])
def test_every_listed_name_is_a_sequence_and_every_sequence_is_listed(benchmark, name):
    listed = set(table(name)["sequences"])
    ours = {each.removeprefix("uav_") for each in known_names(benchmark)}
    if benchmark == "lasot":
        assert listed == ours | set(package_names("lasot_train.txt"))
    else:
        assert listed == ours
    shorts = {short for of in table(name)["sequences"].values() for short in of}
    assert shorts == set(table(name)["attributes"])


@pytest.mark.parametrize("benchmark", FILES)
def test_the_known_attributes_of_a_benchmark_have_its_own_names(benchmark):
    names = known_names(benchmark)
    found = known_attributes(benchmark, names)
    assert len(found.names) == len(found.sequences) == COUNTS[benchmark]
    assert set().union(*found.sequences.values()) == {
        name for name in names if any(name in of for of in found.sequences.values())
    }
    for short, of in found.sequences.items():
        listed = [name for file in FILES[benchmark] for name, has in table(file)["sequences"].items() if short in has]
        assert {name.removeprefix("uav_") for name in of} == set(listed) & {n.removeprefix("uav_") for n in names}


def test_known_examples():
    assert "uav_bird1_2" in known_attributes("uav", known_names("uav")).sequences["FOC"]
    assert "Jogging_2" in known_attributes("otb", known_names("otb")).sequences["DEF"]
    avist = known_attributes("avist", known_names("avist"))
    assert avist.names["WC"] == "Weather Conditions" and avist.names["SG"] == "Sun Glare"
    assert avist.sequences["R"] < avist.sequences["WC"]


def test_a_benchmark_without_a_table_has_none_and_a_part_has_its_own():
    assert known_attributes("nfs", ["nfs_a"]).sequences == {}
    [(short, names), *_] = known_attributes("lasot", ["airplane-1"]).sequences.items()
    assert (short, names) == ("POC", {"airplane-1"})
    assert known_attributes("uav20l", known_names("uav20l")).sequences == {}  # other spans of the videos


def write(folder, content) -> str:
    file = folder / "own.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


OWN = {"attributes": {"N": "Night", "D": "Day", "X": "Nobody's"}, "sequences": {"a": ["N"], "b": ["N", "D"]}}


def test_a_users_file(tmp_path):
    found = read_attributes(write(tmp_path, OWN), "own", ["a", "b"])
    assert found.names == {"N": "Night", "D": "Day"}
    assert found.sequences == {"N": {"a", "b"}, "D": {"b"}}
    assert found.remarks == ()
    file = write(tmp_path, "\ufeff" + json.dumps(OWN))
    assert read_attributes(file, "own", ["a", "b"]) == found


def test_a_users_file_with_others_spellings(tmp_path):
    content = {"attributes": {"N": "Night"}, "sequences": {"Jogging.1": ["N"], "otb_Jogging_2": ["N"]}}
    found = read_attributes(write(tmp_path, content), "otb", known_names("otb"))
    assert found.sequences == {"N": {"Jogging_1", "Jogging_2"}}
    content = {"attributes": {"N": "Night"}, "sequences": {"bike1": ["N"], "uav_bike2": ["N"]}}
    found = read_attributes(write(tmp_path, content), "uav", known_names("uav"))
    assert found.sequences == {"N": {"uav_bike1", "uav_bike2"}}


def test_names_that_are_too_many_or_missing_are_said(tmp_path):
    file = write(tmp_path, OWN)
    found = read_attributes(file, "own", ["b", "c"])
    assert found.sequences == {"N": {"b"}, "D": {"b"}}
    assert found.remarks == (
        f"{file}: names 1 sequence(s) that own does not have: a",
        f"{file}: has no entry for 1 sequence(s) of own: c",
    )


@pytest.mark.parametrize(("content", "message"), [
    ("{", "is no JSON"),
    ([], "has another form than"),
    ({"attributes": {"N": 1}, "sequences": {"a": ["N"]}}, "has another form than"),
    ({"attributes": {"N": "Night"}, "sequences": {"a": ["M"]}}, "sequences.a: 'M' is none of the attributes N"),
    ({"attributes": {"N": "Night"}, "sequences": {"a": [[]]}}, "sequences.a: [] is none of the attributes N"),
    ({"attributes": {"N": "Night"}, "sequences": {"z": ["N"]}}, "names no sequence of own ('a' ...); is it for"),
])  # fmt: skip
def test_a_file_that_is_wrong_is_named(tmp_path, content, message):
    file = write(tmp_path, content)
    with pytest.raises(ValueError) as caught:
        read_attributes(file, "own", ["a", "b"])
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)
