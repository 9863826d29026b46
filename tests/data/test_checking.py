"""Checking a dataset on disk: each fault, and nothing else, is reported, counted and named."""

import json
from pathlib import Path

import pytest
from miniatures import jpeg, write_coco, write_frames, write_got10k, write_lasot

from lib.data import checking
from lib.data.checking import PROBLEM_KINDS, CheckReport, Problem, check_dataset_on_disk
from lib.data.datasets import coco, got10k
from lib.data.datasets.registry import DATASETS

FIRST, SECOND = "GOT-10k_Train_000001", "GOT-10k_Train_000002"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A GOT-10k with nothing wrong: two sequences to train on, one official validation sequence, no test folder."""
    splits = {"full": 2, "official_val": 1, "test": 3}
    monkeypatch.setitem(DATASETS, "got10k", got10k.DATASET._replace(splits=tuple(splits), expected=splits, names={}))
    write_got10k(tmp_path, "train", [4, 3])
    return write_got10k(tmp_path, "val", [2])


def problems(report: CheckReport) -> list[tuple[str, str, str, int]]:
    """Split, kind, sequence and count of all problems."""
    return [(check.split, *problem[:3]) for check in report.splits for problem in check.problems]


def only(report: CheckReport) -> Problem:
    """The one problem that a report holds."""
    assert not report.good and report.stop is None
    ((problem,),) = [check.problems for check in report.splits if check.problems]
    assert problem.kind in PROBLEM_KINDS and "\n" not in problem.detail
    assert PROBLEM_KINDS[problem.kind] in report.text() and problem.detail in report.text()
    return problem


def replace_row(file: Path, row: int, text: str) -> None:
    lines = file.read_text().splitlines()
    lines[row] = text
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("quick", [False, True])
def test_nothing_is_wrong(root, quick):
    report = check_dataset_on_disk("got10k", root, quick=quick)
    assert report.good and problems(report) == []
    assert [(check.found, check.expected, check.images) for check in report.splits] == [(2, 2, 7), (1, 1, 2), (0, 3, 0)]
    assert "test/list.txt" in report.splits[2].absent
    lines = report.text().splitlines()
    assert lines[1:4] == [
        "split         found  expected  images",
        "full              2         2       7",
        "official_val      1         1       2",
    ]
    assert lines[4].startswith("test: not on this disk (") and lines[5].startswith("nothing is wrong")
    assert ("no image was decoded" in lines[5]) == quick


def test_images_that_cannot_be_read_are_counted_and_the_first_is_named(root):
    folder = root / "train" / FIRST
    (folder / "00000002.jpg").write_bytes(jpeg(1)[:-100])
    (folder / "00000004.jpg").write_text("404 not found")
    assert only(check_dataset_on_disk("got10k", root)) == (
        "unreadable", FIRST, 2, f"{folder / '00000002.jpg'}: the image is truncated; copy or unpack it again",
    )  # fmt: skip


def test_a_missing_image_of_lasot_and_one_without_a_row(tmp_path):
    write_lasot(tmp_path, {"cat-1": 3, "cat-2": 3, "cat-3": 3})
    (tmp_path / "cat/cat-1/img/00000002.jpg").unlink()
    (tmp_path / "cat/cat-2/img/00000004.jpg").write_bytes(jpeg(0))
    (tmp_path / "cat/cat-2/img/._00000004.jpg").write_bytes(b"what macOS leaves is no image")
    (tmp_path / "cat/cat-3/img").rename(tmp_path / "moved")
    report = check_dataset_on_disk("lasot", tmp_path, ["full"])
    assert problems(report) == [
        ("full", "missing", "cat-1", 1), ("full", "unnamed", "cat-2", 1), ("full", "missing", "cat-3", 3),
    ]  # fmt: skip
    first, second, _ = report.splits[0].problems
    assert str(tmp_path / "cat/cat-1/img/00000002.jpg") in first.detail
    assert second.detail == str(tmp_path / "cat/cat-2/img/00000004.jpg")


def test_a_size_that_changes(root):
    for frame in (2, 3):
        (root / "train" / SECOND / f"{frame:08d}.jpg").write_bytes(jpeg(0, (48, 36)))
    problem = only(check_dataset_on_disk("got10k", root, quick=True))
    assert problem == ("size", SECOND, 2, "00000002.jpg is 48 x 36, 00000001.jpg 96 x 72")


@pytest.mark.parametrize(("row", "kind"), [
    ("10,10,0,5", "no_area"),
    ("10,10,5,-5", "no_area"),
    ("nan,1,2,3", "no_number"),
    ("inf,1,-inf,3", "no_number"),
    ("96,10,5,5", "outside"),
    ("-5,10,5,5", "outside"),
    ("10,-9.5,5,9", "outside"),
])  # fmt: skip
def test_boxes_that_show_nothing(root, row, kind):
    file = root / "train" / FIRST / "groundtruth.txt"
    for number in (1, 3):
        replace_row(file, number, row)
    problem = only(check_dataset_on_disk("got10k", root))
    assert problem[:3] == (kind, FIRST, 2)
    assert problem.detail.startswith("00000002.jpg: x=")


@pytest.mark.parametrize(("flags", "value"), [("absence.label", "1"), ("cover.label", "0")])
def test_rows_of_an_absent_target_may_hold_anything(root, flags, value):
    folder = root / "train" / FIRST
    for number, row in enumerate(("0,0,0,0", "nan,nan,nan,nan", "200,200,5,5")):
        replace_row(folder / "groundtruth.txt", number, row)
        replace_row(folder / flags, number, value)
    assert check_dataset_on_disk("got10k", root).good


@pytest.mark.parametrize("row", ["nan,nan,nan,nan", "0,0,0,0"])
def test_a_sequence_of_ones_own_whose_first_frame_shows_no_target(tmp_path, row):
    write_frames(tmp_path / "own" / "car", "%08d.jpg", 1, 3)
    rows = [row, "1,2,8,9", "nan,nan,nan,nan"]
    (tmp_path / "own" / "car" / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    problem = only(check_dataset_on_disk("own", tmp_path / "own"))
    assert problem[:3] == ("first", "car", 1)
    (tmp_path / "own" / "car" / "groundtruth.txt").write_text("\n".join(rows[1:] + rows[:1]) + "\n")
    assert check_dataset_on_disk("own", tmp_path / "own").good


ROWS = [(20 + 6 * row, 12 + 4 * row, 24, 18 + row) for row in range(4)]


@pytest.mark.parametrize(("change", "kind"), [
    (lambda x, y, w, h: (x / 96, y / 72, w / 96, h / 72), "fractions"),
    (lambda x, y, w, h: (x, y, w / 96, h / 72), "fractions"),
    (lambda x, y, w, h: (x, y, x + w, y + h), "corners"),
    (lambda x, y, w, h: (60, 40, 60 + w, 54), "corners"),  # it stands still, but would reach out of the image
])  # fmt: skip
def test_boxes_in_another_form(root, change, kind):
    rows = [",".join(map(str, (0, 0, 0, 0) if row == 1 else change(*ROWS[row]))) for row in range(4)]
    folder = root / "train" / FIRST
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    replace_row(folder / "absence.label", 1, "1")
    assert only(check_dataset_on_disk("got10k", root))[:3] == (kind, FIRST, 3)


@pytest.mark.parametrize("boxes", [
    [(10, 10, 20 + 5 * row, 20 + 5 * row) for row in range(4)],  # it grows where it is
    [(2 * row, 2 * row, 60, 50) for row in range(4)],  # it moves
    [(5 + 4 * row, 5 + 4 * row, 40 + 2 * row, 40 + 2 * row) for row in range(4)],  # both
    [(0, 0, 96, 72), (-5, -5, 200, 200), (0, 0, 96, 72), (0, 0, 96, 72)],  # the whole image, and more
    [(40, 20, 41, 50), (40, 20, 42, 50), (40, 20, 58, 50), (40, 20, 58, 50)],  # two of four rows reach out of the image
    [(20, 10, 1, 1), (20, 10, 1, 1), (20, 10, 3, 1), (20, 10, 1, 1)],  # not all are as small as a pixel
])  # fmt: skip
def test_boxes_of_pixels_that_might_be_another_form(root, boxes):
    file = root / "train" / FIRST / "groundtruth.txt"
    file.write_text("".join(",".join(map(str, box)) + "\n" for box in boxes))
    assert check_dataset_on_disk("got10k", root).good


@pytest.mark.parametrize(("bbox", "kind"), [
    ([20, 12, 0.5, 0.9], None),  # a small object of an image is no fraction
    ([0.2, 0.2, 0.5, 0.9], "fractions"),
    ([0, 0, 0, 0], None),  # COCO has no flags, so zeros mark an absent target
    ([4, 0, 0, 0], "no_area"),
])  # fmt: skip
def test_an_object_of_an_image(tmp_path, monkeypatch, bbox, kind):
    monkeypatch.setitem(DATASETS, "coco", coco.DATASET._replace(splits=("train2017",), expected={}))
    file = write_coco(tmp_path, images=1) / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = bbox
    file.write_text(json.dumps(content))
    report = check_dataset_on_disk("coco", tmp_path)
    assert report.good if kind is None else only(report)[:3] == (kind, "101", 1)


def test_a_damaged_sequence_does_not_hide_the_others(root):
    replace_row(root / "train" / FIRST / "groundtruth.txt", 2, "a,b,c,d")
    (root / "train" / SECOND / "00000003.jpg").unlink()
    report = check_dataset_on_disk("got10k", root)
    assert problems(report) == [("full", "annotation", FIRST, 1), ("full", "annotation", SECOND, 1)]
    assert "line 3" in report.splits[0].problems[0].detail
    assert (report.splits[0].found, report.splits[1].images) == (0, 2)


def test_too_few_sequences_and_one_listed_twice(root):
    (root / "train" / "list.txt").write_text(f"{FIRST}\n" * 3)
    assert problems(check_dataset_on_disk("got10k", root)) == [
        ("full", "sequences", "", 1),
        ("full", "names", FIRST, 1),
        ("full", "names", FIRST, 1),
    ]


def test_a_split_that_cannot_be_listed_is_wrong_if_its_files_are_there(root):
    (root / "val" / "list.txt").write_text("\n")
    problem = only(check_dataset_on_disk("got10k", root))
    assert problem[:3] == ("split", "", 1) and "holds no sequence of got10k official_val" in problem.detail


def test_sequences_of_several_splits_are_looked_at_once(tmp_path):
    write_lasot(tmp_path, {"airplane-1": 2, "cat-1": 2, "stone-1": 1})
    (tmp_path / "airplane/airplane-1/img/00000001.jpg").write_bytes(b"")
    (tmp_path / "cat/cat-1/groundtruth.txt").unlink()
    report = check_dataset_on_disk("lasot", tmp_path, ["test", "full"])
    test, full = report.splits
    assert (test.found, test.images, full.found, full.repeated, full.images) == (1, 2, 2, 1, 1)
    kinds = {problem.sequence: problem.kind for problem in test.problems}
    assert (kinds["airplane-1"], kinds["cat-1"]) == ("unreadable", "annotation")
    assert full.problems == []
    assert "full: 1 of its sequences were checked with a split before it" in report.text()


def test_splits_of_which_nothing_is_there_are_no_fault_unless_asked_for(tmp_path):
    write_lasot(tmp_path, {"stone-1": 1})
    (tmp_path / "LICENSE").touch()
    report = check_dataset_on_disk("lasot", tmp_path)
    assert report.good and [bool(check.absent) for check in report.splits] == [True, True, True, False]
    asked = check_dataset_on_disk("lasot", tmp_path, ["train"])
    assert only(asked).kind == "split" and not asked.splits[0].absent


def test_an_image_of_several_objects_is_opened_once(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "coco", coco.DATASET._replace(splits=("train2017",), expected={}))
    write_coco(tmp_path, images=6)
    extra = tmp_path / "images" / "train2017" / "000000000099.jpg"
    extra.write_bytes(jpeg(0))  # COCO has images without objects
    report = check_dataset_on_disk("coco", tmp_path)
    assert report.good and (report.splits[0].found, report.splits[0].images) == (10, 6)
    # A small image has its large object's box reach out of it, its small one's miss it; both objects tell of no image.
    (tmp_path / "images" / "train2017" / "000000000002.jpg").write_bytes(jpeg(0, (16, 8)))
    (tmp_path / "images" / "train2017" / "000000000006.jpg").unlink()
    report = check_dataset_on_disk("coco", tmp_path)
    assert problems(report) == [("train2017", "outside", "103", 1), ("train2017", "missing", "111", 1)]
    (tmp_path / "images" / "train2017" / "000000000001.jpg").unlink()
    report = check_dataset_on_disk("coco", tmp_path)
    assert [problem.sequence for problem in report.splits[0].problems if problem.kind == "missing"] == [
        "101", "102", "111",
    ]  # fmt: skip


def test_the_json_holds_all_problems(root, monkeypatch):
    monkeypatch.setattr(checking, "EXAMPLES", 1)
    for name in (FIRST, SECOND):
        (root / "train" / name / "00000001.jpg").write_bytes(b"")
    report = check_dataset_on_disk("got10k", root, ["full"])
    assert "full: images that cannot be read: 2\n" in report.text()
    assert SECOND not in report.text() and "  and 1 sequences more" in report.text()
    content = json.loads(json.dumps(report.to_json()))
    assert (content["dataset"], content["root"], content["good"], content["complete"]) == (
        "got10k", str(root), False, True,
    )  # fmt: skip
    (split,) = content["splits"]
    assert (split["split"], split["found"], split["expected"], split["images"]) == ("full", 2, 2, 7)
    assert [(p["kind"], p["sequence"], p["count"]) for p in split["problems"]] == [
        ("unreadable", FIRST, 1),
        ("unreadable", SECOND, 1),
    ]


def test_a_root_without_any_split(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no split of got10k lies there .*list.txt"):
        check_dataset_on_disk("got10k", tmp_path / "empty")


def test_ctrl_c_keeps_the_findings(root, monkeypatch):
    opened = checking._open_one

    def interrupted(frame, quick):
        if frame.name == "00000002.jpg" and frame.parent.name == SECOND:
            raise KeyboardInterrupt
        return opened(frame, quick)

    monkeypatch.setattr(checking, "_open_one", interrupted)
    (root / "train" / FIRST / "00000003.jpg").write_bytes(b"")
    report = check_dataset_on_disk("got10k", root)
    assert report.stop and not report.good
    assert problems(report) == [("full", "unreadable", FIRST, 1)]
    assert report.splits[0].found == 2 and "interrupted" in report.text() and not report.to_json()["complete"]


def test_threads_find_the_same(root):
    (root / "train" / FIRST / "00000001.jpg").write_bytes(b"")
    (root / "train" / SECOND / "00000001.jpg").write_bytes(jpeg(0, (48, 36)))
    alone = check_dataset_on_disk("got10k", root).to_json()
    assert check_dataset_on_disk("got10k", root, threads=2).to_json() == alone
    assert [problem["kind"] for problem in alone["splits"][0]["problems"]] == ["unreadable", "size"]
