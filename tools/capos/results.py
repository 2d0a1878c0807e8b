# SPDX-License-Identifier: MIT
"""The data sets of tools/report, as the benchmarks have written them, each with what says where it comes from.

One that was never made is None; one that is there but is not what its command writes is an error (records.Broken).
"""
import glob
import os
import statistics
from dataclasses import dataclass, field

from . import path, scale
from .records import read_csv, read_json

# --- data sets --------------------------------------------------------------------------------------------------------

@dataclass
class Found:
    """A data set that was read: its rows, facts about host and tools, and the files."""
    rows: list
    facts: dict
    files: list
    more: dict = field(default_factory=dict)


def facts(record, name="host"):
    """What a file says of where its figures come from; date, commit and CPU of the host must be there."""
    said = record.inner(name)
    for key in ("date", "commit", "host cpu", "host cpus"):
        said.text(key)
    return dict(said)


def newest(kind):
    """The folder of target/KIND with the newest results, whatever its name."""
    found = glob.glob(path("target", kind, "*", "results.json"))
    return os.path.dirname(max(found, key=os.path.getmtime)) if found else None


def bench_file(name):
    """build/bench/NAME.json with its rows, or None."""
    file = path("build", "bench", f"{name}.json")
    if not os.path.exists(file):
        return None
    record = read_json(file)
    return Found(record.rows("rows"), facts(record), [file], record)


def thread_scale(kind):
    """target/KIND of tools/thread-scale: rows of results.csv as records; runs: samples of {(system, slots, blocks, workers): [row]}."""
    folder = newest(kind)
    if not folder:
        return None
    file = os.path.join(folder, "results.json")
    record, runs = read_json(file), {}
    for r in read_csv(os.path.join(folder, "runs.csv"), ("system", "workers", "slots", "blocks", "run", "work_ticks", "total_ticks")):
        runs.setdefault((r.text("system"), r.text("slots"), int(r.number("blocks")), int(r.number("workers"))), []).append(r)
    return Found(record.rows("results"), facts(record), [file], runs)


def side_by_side():
    """target/side-by-side: records of results.json; more: {(system, slots, workers): {boot: [row of rounds.csv]}}."""
    folder = newest("side-by-side")
    if not folder:
        return None
    file = os.path.join(folder, "results.json")
    record, rounds = read_json(file), {}
    for r in read_csv(os.path.join(folder, "rounds.csv"), ("workers", "slots", "boot", "round", "system", "work_ticks", "total_ticks")):
        key = (r.text("system"), r.text("slots"), int(r.number("workers")))
        rounds.setdefault(key, {}).setdefault(r.text("boot"), []).append(r)
    return Found(record.rows("results"), facts(record), [file], rounds)


def speedup(one, many, span):
    """(speedup, (low, high)): median of one worker to median of many, with a bootstrap interval; both are lists of boots, each a list
    of rows. Boots are drawn, then rounds in them."""
    name = f"{span}_ticks"
    groups = [[(a.number(name), b.number(name)) for a, b in zip(x, y)] for x, y in zip(one, many)]

    def statistic(pairs):
        return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)
    return statistic([pair for group in groups for pair in group]), scale.bootstrap(groups, statistic)


def speedups(side, native):
    """Rows {system, slots, workers, span, speedup, interval}: capOS and the Linux guest from one run side by side, Linux A and B as one
    system; the host's own Linux from its baseline."""
    boots = {}
    if side:
        for (system, slots, workers), found in sorted(side.more.items()):
            name = "capOS" if system == "capos" else "Linux guest"
            boots.setdefault((name, slots), {}).setdefault(workers, []).extend(found.values())
    if native:
        for (system, slots, blocks, workers), found in native.more.items():
            if system == "linux-native" and blocks == scale.BLOCKS:
                boots.setdefault(("Linux native", slots), {})[workers] = [[row] for row in found]
    for (system, slots), by_workers in boots.items():
        for workers in sorted(set(by_workers) - {1}):
            if 1 not in by_workers:
                continue
            for span in ("work", "total"):
                value, interval = speedup(by_workers[1], by_workers[workers], span)
                yield {"system": system, "slots": slots, "workers": workers, "span": span, "speedup": value, "interval": interval}
