# SPDX-License-Identifier: MIT
"""Lines of the measure build: what is demanded of them, their values, samples by symbols."""
import re

from tool import script
from capos import measure, path

thread_scale = script("thread-scale")


def printed(phase="", leave=""):
    where = f" phase={phase}" if phase else ""
    return "".join(f"measure: {kind}{where} {' '.join(f'{f}=0' for f in fields)}\r\n"
                   for kind, fields in measure.LINES.items() if kind != leave)


def test_all_lines_are_demanded():
    assert not list(measure.problems("boot\r\n" + printed()))
    for kind in measure.LINES:
        assert list(measure.problems(printed(leave=kind))) == [f"no line 'measure: {kind}'"]
    assert len(list(measure.problems(printed().replace("kernel_only=0", "")))) == 1


def test_each_phase_is_demanded():
    assert not list(measure.problems(printed() + printed("run"), ["run"]))
    assert len(list(measure.problems(printed() + printed("setup"), ["run"]))) == len(measure.LINES)


def test_history_and_polls_are_refused():
    for line in ("measure: timer_slow_summary required=0", "measure: timer fast_path_attempts=0", "measure: network_poll scheduler_polls=1"):
        assert list(measure.problems(printed() + line + "\n"))


def test_values_are_read():
    text = "measure: tlb phase=run cr3_loads=3\r\nmeasure: scheduler_lock_site site=steal wait_ns=7\nmeasure: user_pc untold=0\n"
    assert list(measure.rows(text)) == [
        {"line": "tlb", "phase": "run", "site": "", "field": "cr3_loads", "value": "3"},
        {"line": "scheduler_lock_site", "phase": "all", "site": "steal", "field": "wait_ns", "value": "7"}]


def test_samples_by_symbols(monkeypatch):
    monkeypatch.setattr(measure.os.path, "exists", lambda _: True)
    monkeypatch.setattr(measure.bench, "symbols", lambda _: [(0x10, "first"), (0x20, "second")])
    text = ("measure: user_pc phase=run program=p offset=0x1f count=3\nmeasure: user_pc phase=run program=p offset=0x20 count=1\n"
            "measure: user_pc phase=run program=p offset=0x11 count=2\nmeasure: user_pc untold=0\n")
    found = measure.samples(text, {"p": "thread-scale"})
    assert found == {("run", "thread-scale", "first"): 5, ("run", "thread-scale", "second"): 1}
    assert [line.split()[-1] for line in measure.sample_lines(found)] == ["first", "second"]


def test_the_benchmark_knows_its_phases():
    with open(path("user", "bin", "thread-scale", "main.c"), encoding="ascii") as f:
        names = re.search(r"phase_names\[SCALE_PHASES\] = \{ (.*) \}", f.read())[1]
    assert tuple(re.findall(r"\w+", names)) == thread_scale.PHASES
