# SPDX-License-Identifier: MIT
"""The report: what it says of data that are there, missing or broken. It is tested without what draws: a picture here is a word."""
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import sys
import types

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from capos import records, results  # noqa: E402

HOST = {"date": "2026-01-02T03:04:05Z", "commit": "0123456789abcdef", "host cpu": "A <CPU>", "host cpus": "2 CPUs on 2 cores", "qemu": "QEMU 7"}
COST = {"operation": "null_call", "instructions_median": 80, "instructions_min": 79, "instructions_max": 90, "linux": 334, "ratio": "4.2",
        "target": 80, "counted": "median", "against": "null_call"}


class Drawing(str):
    """What a drawing function was given, instead of a figure."""


@pytest.fixture(name="report")
def fixture_report(monkeypatch, tmp_path):
    """tools/report over an empty tree, drawing nothing."""
    plots = types.ModuleType("capos.plots")
    for name in ("scaling", "ratios", "dumbbells", "quantiles", "strips", "growth", "queue"):
        setattr(plots, name, lambda rows, *_: Drawing(json.dumps(rows, default=str)))
    plots.svg, plots.factor = str, "{:.1f}x".format
    plots.png = lambda drawing, file, source: open(file, "w", encoding="utf-8").write(source)
    monkeypatch.setitem(sys.modules, "capos.plots", plots)
    monkeypatch.setattr(sys.modules["capos"], "plots", plots, raising=False)
    loader = importlib.machinery.SourceFileLoader("report", os.path.join(ROOT, "tools", "report"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(results, "path", lambda *parts: os.path.join(str(tmp_path), *parts))
    monkeypatch.setattr(module, "OUT", str(tmp_path / "build" / "report"))
    monkeypatch.setattr(sys, "argv", ["report"])
    (tmp_path / "build" / "bench").mkdir(parents=True)
    return module


def page(report):
    report.main()
    with open(os.path.join(report.OUT, "index.html"), encoding="utf-8") as f:
        return f.read()


def put(tmp_path, name, rows, host=None):
    records.write_json(str(tmp_path / "build" / "bench" / f"{name}.json"), {"host": HOST if host is None else host, "rows": rows})


def put_side_by_side(tmp_path, rounds=None):
    """Two boots of three rounds; capOS needs 100 ticks with one worker and 52 with two, Linux 100 and 50."""
    folder = tmp_path / "target" / "side-by-side" / "1"
    folder.mkdir(parents=True)
    rows = [{"workers": w, "slots": "padded", "boot": boot, "round": turn, "system": system, "work_ticks": ticks, "total_ticks": ticks}
            for w, times in ((1, {"linux-a": 100, "capos": 100, "linux-b": 100}), (2, {"linux-a": 50, "capos": 52, "linux-b": 50}))
            for boot in (1, 2) for turn in (1, 2, 3) for system, ticks in times.items()]
    records.write_csv(str(folder / "rounds.csv"), rows if rounds is None else rounds(rows))
    ms = {s: {"median": 1.0} for s in ("capos", "linux-a", "linux-b")}
    records.write_json(str(folder / "results.json"), {"host": HOST, "results": [
        {"workers": w, "slots": "padded", "span": span, "ratio": 1.04, "ratio_interval": [1.0, 1.1], "linux_ratio": 1.0,
         "linux_interval": [0.98, 1.02], "verdict": "above" if w > 1 else "inside", "ms": ms} for w in (1, 2) for span in ("work", "total")]})


def test_nothing_measured_is_said_with_the_commands(report):
    text = page(report)
    for command in ("make bench-side-by-side", "make run-thread-scale", "make run-linux-thread-scale-baseline", "make bench-costs",
                    "make bench-hackbench", "make bench-scale-instructions", "make bench-latency", "make sim-fairness",
                    "make sim-scale", "make bench-runq"):
        assert re.search(rf"No data: <code>{command}</code> has not been run", text), command
    assert "<img" not in text and 'class="met"' not in text and 'class="missed"' not in text


def test_every_command_it_names_is_there(report):
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as f:
        goals = set(re.findall(r"^([\w-]+):", f.read(), re.M))
    assert set(re.findall(r"<code>make ([\w-]+)", page(report))) <= goals


def test_the_readme_shows_pictures_that_it_makes(report):
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        shown = re.findall(r"docs/images/(\w[\w-]*)\.png", f.read())
    assert sorted(shown) == sorted(report.PICTURES)
    assert all(os.path.getsize(os.path.join(ROOT, "docs", "images", f"{name}.png")) < 60000 for name in shown)


def test_costs_met_and_missed(report, tmp_path):
    put(tmp_path, "costs", [COST, {**COST, "operation": "park_rt", "instructions_median": 81}, {**COST, "operation": "x", "target": None, "linux": ""},
                            {**COST, "operation": "timer_wake_max", "counted": "max"}])
    text = page(report)
    verdicts = re.findall(r'<code>(\w+)</code></td><td class=n>(\d+)</td>.*<td class="(\w+)">', text)
    assert verdicts == [("null_call", "80", "met"), ("park_rt", "81", "missed"), ("x", "80", "none"), ("timer_wake_max", "90", "missed")]
    assert "1 of 3 met" in text and "commit 0123456789" in text and "2026-01-02 03:04:05 UTC" in text and "A &lt;CPU&gt;" in text
    assert "<code>make bench-costs</code>" in text
    with open(os.path.join(report.OUT, "images", "costs.png"), encoding="utf-8") as f:
        assert "make bench-costs" in f.read()


def test_the_page_needs_nothing_else(report, tmp_path):
    put(tmp_path, "costs", [COST])
    put_side_by_side(tmp_path)
    text = page(report)
    assert all(link.startswith(("data:", "#")) for link in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "://" not in re.sub(r"base64,[\w+/=]*", "", text) and "@import" not in text and "<script" not in text


def test_speedups_from_rounds(tmp_path, report):
    put_side_by_side(tmp_path)
    rows = {(r["system"], r["span"]): r for r in results.speedups(results.side_by_side(), None)}
    assert rows[("capOS", "work")]["speedup"] == pytest.approx(100 / 52) and rows[("Linux guest", "total")]["speedup"] == 2
    assert rows[("Linux guest", "work")]["interval"] == (2, 2) and len(rows) == 4
    text = page(report)
    assert text.count('<td class="missed">missed (above)') == 2


def test_a_ratio_is_met_only_inside_or_below(report, tmp_path):
    put_side_by_side(tmp_path)
    file = tmp_path / "target" / "side-by-side" / "1" / "results.json"
    for verdict, kind in (("inside", "met"), ("below", "met"), ("inside B/A", "missed"), ("above", "missed"), ("undecided", "none")):
        file.write_text(re.sub(r'"verdict": "[^"]*"', f'"verdict": "{verdict}"', file.read_text()))
        assert page(report).count(f'<td class="{kind}">{kind.replace("none", "")} ({verdict})') == 2


def test_the_newest_folder_counts(report, tmp_path):
    put_side_by_side(tmp_path)
    folder = tmp_path / "target" / "side-by-side"
    (folder / "2").mkdir()  # one that was given up: without results
    shutil.copytree(folder / "1", folder / "0-newer")
    os.utime(folder / "1" / "results.json", (1, 1))
    assert results.side_by_side().files[0].endswith("0-newer/results.json")


def test_instructions_against_half_of_linux(report, tmp_path):
    def rows(kernel):
        return [{"system": s, "span": "run", "workload": 9, "user": 1, "kernel": k, "outside": 1 + k} for s, k in (("capOS", kernel), ("linux-guest", 9))]
    for kernel, kind in ((4, "met"), (5, "missed")):
        put(tmp_path, "scale-instructions", rows(kernel))
        assert f'<td class="{kind}">{kind}' in page(report)


def test_hackbench_against_its_share_of_linux(report, tmp_path):
    row = {"case": "channel_8", "linux_case": "channel_8", "linux_instructions_per_message": 100, "target": 0.333}
    put(tmp_path, "hackbench", [{**row, "instructions_per_message": 33}])
    assert 'class="missed"' not in page(report)
    put(tmp_path, "hackbench", [{**row, "instructions_per_message": 34}])
    assert 'class="missed"' in page(report)
    put(tmp_path, "hackbench", [{**row, "instructions_per_message": 34, "linux_instructions_per_message": None}])
    assert 'class="missed"' not in page(report)


def latencies(worst, percentiles=("p50", "p99", "p999", "max")):
    return [{"cpus": 1, "unit": "instructions", "case": "timer_fast", "percentile": p, "capos": worst, "linux": None,
             "ratio": None, "target": 2500 if p == "max" else None} for p in percentiles]


def test_latency_against_its_target(report, tmp_path):
    for worst, kind in ((2500, "met"), (2501, "missed")):
        put(tmp_path, "latency", latencies(worst))
        assert f'<td class="{kind}">{kind}' in page(report)
    put(tmp_path, "latency", latencies(1, ("p50", "max")))
    with pytest.raises(SystemExit, match=r"latency\.json:\d+: no row 'p99' of timer_fast, 1 CPUs"):
        report.main()


FAIR = {"cpus": 4, "seed": 1, "worst_ahead_us": 1, "p50_us": 1, "p99_us": 1, "p999_us": 1, "max_us": 1, "switches": 1, "migrations": 1}


def test_fairness_tells_medians_and_the_worst_of_each_policy(report, tmp_path):
    rows = [{**FAIR, "policy": p, "share_error": e, "worst_owed_us": us} for p, e, us in
            (("eevdf", 0.01, 5000), ("wfq", 0.05, 1), ("eevdf", 0.02, 9000), ("eevdf", 0.06, 7000))]
    put(tmp_path, "sim-fairness", rows)
    cells = re.findall(r"<td class=n>4</td><td>(\w+)</td><td class=n>(\d)</td><td class=n>([\d.]+)</td><td class=n>([\d.]+)</td>", page(report))
    assert cells == [("EEVDF", "3", "2.00", "9.00"), ("WFQ", "1", "5.00", "0.00")]
    put(tmp_path, "sim-fairness", [{**rows[0], "share_error": None}])
    with pytest.raises(SystemExit, match=r"sim-fairness\.json:\d+: 'share_error' is None, not a number"):
        report.main()


def test_the_queue_against_its_targets(report, tmp_path):
    row = {"queued": 10, "params": "equal", "worst": 999, "target": 300}
    for mean, kind in ((300, "met"), (301, "missed")):
        put(tmp_path, "runq", [{**row, "mean": mean}, {**row, "mean": 9999, "target": None}])
        assert re.findall(r'class="(met|missed)"', page(report)) == [kind]


def test_growth_tells_means_and_the_most(report, tmp_path):
    row = {"policy": "wfq", "threads": 1000, **{o: 12.34 for o in ("wake", "pick", "requeue", "move")}, **{f"{o}_most": 99 for o in ("wake", "pick", "requeue", "move")}}
    put(tmp_path, "sim-scale", [row])
    assert page(report).count("<td class=n>12.3 (99)</td>") == 4
    del row["move_most"]
    put(tmp_path, "sim-scale", [row])
    with pytest.raises(SystemExit, match=r"sim-scale\.json:\d+: no field 'move_most'"):
        report.main()


@pytest.mark.parametrize("rows,host,line,why", [
    ([{**COST, "instructions_median": "many"}], None, 10, "'instructions_median' is 'many', not a number"),
    ([COST, {k: v for k, v in COST.items() if k != "linux"}], None, 21, "no field 'linux'"),
    ([], None, 1, "no records 'rows'"), ([COST], {}, 2, "no text 'date'"),
    ([COST], {k: v for k, v in HOST.items() if k != "commit"}, 2, "no text 'commit'")])
def test_broken_data_end_it_with_file_and_line(report, tmp_path, rows, host, line, why):
    put(tmp_path, "costs", rows, host)
    with pytest.raises(SystemExit, match=rf"report: .*build/bench/costs\.json:{line}: {why}"):
        report.main()


def test_a_broken_round_ends_it_with_file_and_line(report, tmp_path):
    put_side_by_side(tmp_path, lambda rows: [*rows[:2], {**rows[2], "work_ticks": "?"}, *rows[3:]])
    with pytest.raises(SystemExit, match=r"report: .*1/rounds\.csv:4: 'work_ticks' is '\?', not a number"):
        report.main()


def test_a_cut_file_ends_it(report, tmp_path):
    put(tmp_path, "hackbench", [{"case": "x"}])
    file = tmp_path / "build" / "bench" / "hackbench.json"
    file.write_text(file.read_text()[:-9])
    with pytest.raises(SystemExit, match=r"report: .*hackbench\.json:\d+: Expecting"):
        report.main()
