# SPDX-License-Identifier: MIT
"""The thread-scale benchmark's own tests: the sum, what a report must say, gates, statistics."""
import os
import re

import pytest

from tool import ROOT, script
from capos import records, scale


thread_scale, side_by_side = script("thread-scale"), script("bench-side-by-side")
instructions = script("bench-scale-instructions")
CASE = scale.Case(2, "compact", 3, 4)


def slow_sum(blocks, rounds):
    """The sum as user/bin/thread-scale/workload.c says it, step by step."""
    total = 0
    for block in range(blocks):
        digest = 0
        for i in range(scale.BLOCK_WORDS):
            word = (block * scale.BLOCK_WORDS + i + 1) * scale.SEED & scale.MASK
            for _ in range(rounds):
                word = word * scale.FACTOR + scale.TERM & scale.MASK
            digest = (digest << scale.FOLD_BITS | digest >> 64 - scale.FOLD_BITS) & scale.MASK
            digest = (digest ^ word) * scale.FOLD & scale.MASK
        total = total + digest & scale.MASK
    return total


def report(**changes):
    fields = {"class": "fork-join", "process": "one", "parent": "blocking-join", "blocks": 3, "bytes": 192, "work_rounds": 4,
              "workers": 2, "slots": "compact", "setup_ticks": 5, "work_ticks": 80, "total_ticks": 100, "total_ns": 50,
              "begin_skew_ticks": 7, "end_skew_ticks": 8,
              "sum": f"{slow_sum(3, 4):016x}", **changes}
    return " ".join(f"{key}={value}" for key, value in fields.items() if value is not None)


def source(name):
    with open(os.path.join(ROOT, "user", "bin", "thread-scale", name), encoding="ascii") as f:
        return dict(re.findall(r"^#define (\w+) (0x[0-9a-f]+|\d+)u?\b", f.read(), re.M))


def test_the_sum_by_both_ways():
    for blocks, rounds in ((1, 0), (1, 1), (3, 4), (17, 64)):
        assert scale.expected(blocks, rounds) == slow_sum(blocks, rounds)


def test_the_sources_have_the_same_numbers():
    said = source("workload.h")
    names = {"SCALE_SEED": scale.SEED, "SCALE_FACTOR": scale.FACTOR, "SCALE_TERM": scale.TERM, "SCALE_FOLD": scale.FOLD,
             "SCALE_FOLD_BITS": scale.FOLD_BITS, "SCALE_BLOCK_WORDS": scale.BLOCK_WORDS}
    assert {name: int(said[name], 0) for name in names} == names
    proof = source("main.c")
    assert scale.expected(int(proof["PROOF_BLOCKS"]), int(proof["PROOF_ROUNDS"])) == int(proof["PROOF_SUM"], 0)


def test_a_report_is_read():
    assert scale.parse(CASE, report()) == scale.Sample(5, 80, 100, 50, 7, 8)
    assert scale.parse(CASE, report()).ns(80) == 40


@pytest.mark.parametrize("change", [
    {"sum": "0000000000000001"}, {"sum": None}, {"workers": 1}, {"slots": "padded"}, {"blocks": 4}, {"bytes": 191}, {"work_rounds": 63},
    {"class": "other"}, {"parent": "spinning"}, {"process": "two"}, {"work_ticks": 101}, {"work_ticks": 0}, {"total_ns": 0},
    {"end_skew_ticks": 81}, {"begin_skew_ticks": None}, {"total_ticks": None}, {"setup_ticks": "x"}])
def test_a_wrong_report_is_refused(change):
    with pytest.raises(scale.Invalid):
        scale.parse(CASE, report(**change))


def test_a_boot_that_fails_is_repeated_as_often_as_it_may(tmp_path):
    """The stand-in gets ready at its third start only."""
    count = tmp_path / "count"
    command = ["sh", "-c", f"echo x >>{count}; [ $(wc -l <{count}) -lt 3 ] && exit 1; echo thread-scale: ready; cat"]
    for boots, good in ((3, True), (2, False)):
        count.unlink(missing_ok=True)
        live = scale.Live("stand-in", command, str(tmp_path / "log"), timeout=10, boots=boots)
        if good:
            live.booted()
        else:
            with pytest.raises(scale.Invalid):
                live.booted()
        live.close()


def test_a_disturbed_run_is_repeated_and_the_calmest_counts():
    class Guest(scale.Live):
        def __init__(self, waits):
            self.waits, self.sum, self.runs = waits, 0, 0

        def waited_ns(self):
            return self.sum

        def run(self, case):
            self.sum += self.waits[min(self.runs, len(self.waits) - 1)]
            self.runs += 1
            return scale.Sample(1, 90, 100, 1000)
    for waits, cpus, runs, told in (([10], 2, 1, (10, 0)), ([500, 400, 30], 2, 3, (30, 2)), ([900], 1, 1, (900, 0)),
                                    ([500, 300, 400], 2, scale.CALM_TRIES, (300, 1))):
        guest = Guest(waits)
        sample = guest.run_calm(CASE, cpus)
        assert (guest.runs, (sample.host_wait_ns, sample.repeats)) == (runs, told)


def samples(one, two, four=100):
    return {scale.Case(w): [scale.Sample(9, t, t, t)] * 3 for w, t in ((1, one), (2, two), (4, four))}


def test_speedups_gates_and_acceptance():
    rows = list(scale.result_rows("capOS", samples(200, 100), ""))
    assert [(r["work_speedup"], r["gate"], r["accepted"], r["pinned"]) for r in rows] == [
        ("1.000", "none", "true", "none"), ("2.000", "gated", "true", "none"), ("2.000", "diagnostic", "true", "none")]
    slow = list(scale.result_rows("capOS", samples(200, 126, 190), "0,1"))
    assert [r["accepted"] for r in slow] == ["true", "false", "false"] and slow[0]["pinned"] == "0 1"
    assert not list(thread_scale.gate_problems(slow, False, False))
    assert [p.split()[1] for p in thread_scale.gate_problems(slow, True, True)] == ["work", "total"]
    assert not list(thread_scale.gate_problems(rows, True, True))


def test_amdahl():
    assert scale.amdahl(100, 55, 2) == (pytest.approx(0.1), pytest.approx(10))
    assert scale.amdahl(100, 50, 2) == (0.0, None)


def test_bootstrap_holds_the_median_and_repeats():
    groups = [[1.0, 1.1, 0.9], [1.2, 1.0, 1.1]]
    interval = scale.bootstrap(groups, lambda v: sorted(v)[len(v) // 2], draws=300)
    assert 0.9 <= interval[0] <= 1.05 <= interval[1] <= 1.2
    assert interval == scale.bootstrap(groups, lambda v: sorted(v)[len(v) // 2], draws=300)


def test_side_by_side_says_where_ours_is():
    assert side_by_side.boots_of(17, 5) == [5, 4, 4, 4]
    assert [side_by_side.verdict(r, (0.97, 1.02)) for r in (0.9, 1.0, 1.02, 1.03, 1.04)] == [
        "below", "inside", "inside", "inside B/A", "above"]
    assert side_by_side.verdict(0.9, (0.8, 1.1)) == "undecided"

    def boot(ours):
        return [{"linux-a": scale.Sample(1, 100 + i, 100, 100), "capos": scale.Sample(1, ours, 100, 100),
                 "linux-b": scale.Sample(1, 101, 100, 100)} for i in range(5)]
    for ours, word in ((90, "below"), (150, "above")):
        record = side_by_side.summarize(scale.Case(2), [boot(ours)] * 3, "work")
        assert record["verdict"] == word and record["rounds"] == 15
        assert any(word in line for line in side_by_side.lines_of([record]))


def test_instructions_by_whose_they_are():
    functions = {"user: scale_work": 100.4, "user: host_ns": 3, "kernel_irq": 5, "kernel": 7}
    assert instructions.row("x", "run", functions) == {
        "system": "x", "span": "run", "workload": 100, "user": 3, "kernel": 12, "outside": 15}


def test_cpu_lists():
    assert records.cpu_list("0-2,5") == [0, 1, 2, 5] and records.cpu_list("") == []
