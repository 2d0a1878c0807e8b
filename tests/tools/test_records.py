# SPDX-License-Identifier: MIT
"""Files of results: what is read is what was written; a file that is broken is refused by its name and line."""
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from capos import records  # noqa: E402


def saved(folder, name, text):
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(file)


def test_json_that_was_written_is_read(tmp_path):
    file = str(tmp_path / "a.json")
    records.write_json(file, {"host": {"date": "today"}, "rows": [{"x": 1, "y": "2.5", "none": "", "range": [1, 2]}, {"x": "text"}]})
    read = records.read_json(file)
    first, second = read.rows("rows")
    assert (first.number("x"), first.number("y"), first.maybe("none"), first.pair("range")) == (1, 2.5, None, [1, 2])
    assert second.text("x") == "text" and read.inner("host").text("date") == "today"
    assert (read.line, first.line, second.line) == (1, 6, 15)


def test_csv_that_was_written_is_read(tmp_path):
    file = str(tmp_path / "a.csv")
    records.write_csv(file, [{"x": 1, "y": "a,b"}, {"x": 2, "y": "c"}])
    rows = records.read_csv(file, ("x", "y"))
    assert [(r.number("x"), r.text("y"), r.line) for r in rows] == [(1, "a,b", 2), (2, "c", 3)]


@pytest.mark.parametrize("text,line,why", [
    ('{\n "rows": [\n  {"x": 1\n', 4, "delimiter"), ("", 1, "Expecting"), ('{"x": 1}\n{', 2, "Extra data"), ("[1]", 1, "not an object"),
    ('{"x":\n nope}', 2, "Expecting value")])
def test_broken_json(tmp_path, text, line, why):
    with pytest.raises(records.Broken, match=rf"b\.json:{line}: .*{why}"):
        records.read_json(saved(tmp_path, "b.json", text))


@pytest.mark.parametrize("text,line,why", [
    ("", 1, "no column 'x'"), ("x\n1\n", 1, "no column 'y'"), ("x,y\n", 2, "no rows"), ("x,y\n1,2\n3\n", 3, "1 fields, not 2"),
    ("x,y\n1,2\n3,4,5\n", 3, "3 fields, not 2")])
def test_broken_csv(tmp_path, text, line, why):
    with pytest.raises(records.Broken, match=rf"b\.csv:{line}: {why}"):
        records.read_csv(saved(tmp_path, "b.csv", text), ("x", "y"))


def test_no_text(tmp_path):
    with pytest.raises(records.Broken, match=r"b\.csv: not text"):
        records.read_csv(saved(tmp_path, "b.csv", b"x,y\n\xff\xfe,1\n"), ("x", "y"))


@pytest.mark.parametrize("value", ["", "nan", "inf", "12 ns", None, True, [1]])
def test_what_is_no_number(value):
    with pytest.raises(records.Broken, match=r"a:7: 'x' is .*, not a number"):
        records.Row({"x": value}, os.path.join(ROOT, "a"), 7).number("x")


def test_fields_that_are_not_there():
    row = records.Row({"list": [1], "word": "w"}, os.path.join(ROOT, "a"), 7)
    for get in (row.number, row.maybe, row.text, row.pair, row.inner, row.rows):
        with pytest.raises(records.Broken, match=r"^a:7: .*'gone'"):
            get("gone")
    for name in ("list", "word"):
        for get in (row.pair, row.inner, row.rows):
            with pytest.raises(records.Broken, match=rf"^a:7: .*'{name}'"):
                get(name)


def test_where_results_come_from():
    said = records.host(rounds=3)
    assert said["rounds"] == 3 and said["date"].endswith("Z") and all(said[k] for k in ("commit", "host cpu", "host cpus"))
