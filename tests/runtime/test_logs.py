import json
import logging
import math

from lib.runtime.logs import append_json_line, cut_json_lines, set_up_logging


def test_records_are_lines_of_standard_json(tmp_path):
    path = tmp_path / "log.jsonl"
    record = {"kind": "train", "loss": math.nan, "lr": {"head": 0.1}, "share_a": [0.5, math.inf], "step": 3}
    append_json_line(path, record)
    assert json.loads(path.read_text()) == {**record, "loss": None, "share_a": [0.5, None]}
    append_json_line(path, {"step": 4})
    assert len(path.read_text().splitlines()) == 2


def test_cutting_drops_refused_and_unfinished_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    cut_json_lines(path, lambda record: True)
    assert not path.exists()
    path.write_text('{"step": 1}\n{"step": 5}\nnot json\n{"a": "note"}\n[1]\n{"step": "2"}\n{"step": 2}\n{"step": 3')
    cut_json_lines(path, lambda record: record["step"] < 5)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_the_main_process_tells_and_the_others_only_warn(capsys):
    logger = logging.getLogger("lib.training.trainer")
    set_up_logging()
    set_up_logging()
    logger.info("hello")
    assert capsys.readouterr().err.count("INFO hello") == 1
    set_up_logging(rank=2)
    logger.info("hello")
    logger.warning("careful")
    written = capsys.readouterr().err
    assert "hello" not in written
    assert "[process 2] WARNING careful" in written


def test_a_message_is_one_line_whatever_name_is_in_it_and_a_traceback_keeps_its_lines(capsys):
    set_up_logging()
    logger = logging.getLogger("lib.somewhere")
    logger.info("%s", "a\nb\x1b[2J\udcd0")
    try:
        raise ValueError("bad \x1b name")
    except ValueError:
        logger.exception("it failed")
    written = capsys.readouterr().err
    first, second, *rest = written.splitlines()
    assert first.endswith(r"INFO a\nb\x1b[2J\udcd0") and second.endswith("ERROR it failed")
    assert rest[0] == "Traceback (most recent call last):" and rest[-1] == r"ValueError: bad \x1b name"
