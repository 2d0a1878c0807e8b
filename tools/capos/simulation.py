# SPDX-License-Identifier: MIT
"""Runs of the simulator. tests/sim/plan.txt has a line per workload; keys:

  cpus=1,4     seeds run with each        seeds=20       how many (from 1) in `make test`
  manifest=M   default: the name          timeout=60     seconds
  seed=7,12    these too: regressions     args=--x,--y   more arguments
  exit=0       the exit code expected
  weight=10    its share of the seeds of a campaign, 0: none (tools/capos/campaign.py)
  alloc=yes    it stands failing allocations (--faults 2 and 3): a quarter of the seeds has them
"""
import os
import re
import subprocess
from dataclasses import dataclass

from . import Stopwatch, log_path, path, plan, tail
from .proof import judge_output

PLAN = path("tests", "sim", "plan.txt")
KEYS = {"cpus", "seeds", "seed", "manifest", "timeout", "args", "exit", "weight", "alloc"}
HASH = re.compile(r"trace[-_ ]?hash[ =:]+(\S+)", re.I)


def entries():
    return plan.read(PLAN, KEYS)


def entry(name):
    for e in entries():
        if e.name == name:
            return e
    return plan.Entry(name)


@dataclass
class Case:
    entry: plan.Entry
    seed: int
    cpus: int
    build: str = "debug"
    twice: bool = False         # run it again: the same trace hash must come out

    def label(self):
        return f"sim {self.entry.name} seed={self.seed} cpus={self.cpus}"

    def manifest(self):
        return self.entry.get("manifest", self.entry.name)

    def needs(self):
        return [f"build/sim/{self.build}/capos-sim", f"build/sim/{self.build}/boot-{self.manifest()}.cpio"]

    def command(self):
        program, archive = self.needs()
        return [program, "--archive", archive, "--seed", str(self.seed), "--cpus", str(self.cpus),
                *self.entry.list("args"), *(["--faults", "3"] if self.allocations_fail() else [])]

    def allocations_fail(self):
        return self.entry.get("alloc") == "yes" and self.seed % 4 == 0

    def rerun(self):
        build = "" if self.build == "debug" else f" BUILD={self.build}"
        return f"make sim-{self.entry.name} SEED={self.seed} CPUS={self.cpus}{build}"


@dataclass
class Verdict:
    case: Case
    failures: list
    tests: int
    seconds: float
    output: str
    log: str = ""

    def __str__(self):
        if not self.failures:
            return f"PASS {self.case.label()} ({self.tests} tests, {self.seconds:.1f} s)"
        return "\n".join([f"FAIL {self.case.label()} ({self.seconds:.1f} s)", tail(self.output),
                          *(f"  {f}" for f in self.failures),
                          f"  log:   {os.path.relpath(self.log, path())}" if self.log else "",
                          f"  again: {self.case.rerun()}"])


def once(case):
    """(output, exit code or None after a timeout)"""
    try:
        done = subprocess.run(case.command(), cwd=path(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=float(case.entry.get("timeout", "60")), check=False)
        return done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode("utf-8", "replace"), None


def simulate(case):
    clock = Stopwatch()
    output, code = once(case)
    expected = int(case.entry.get("exit", "0"))
    tests, failures = judge_output(output, need_plan=False)
    if code is None:
        failures.append(f"timeout after {case.entry.get('timeout', '60')} s")
    elif code != expected:
        failures.append(f"ended with {code}, expected {expected}" if code >= 0 else f"ended by signal {-code}")
    if case.twice and not failures:
        again, _ = once(case)
        hashes = HASH.findall(output), HASH.findall(again)
        if not hashes[0]:
            failures.append("printed no trace hash")
        elif hashes[0] != hashes[1]:
            failures.append(f"one seed, two trace hashes: {hashes[0][-1]} {(hashes[1] or ['none'])[-1]}")
    verdict = Verdict(case, failures, tests, clock.seconds(), output)
    if failures:
        verdict.log = log_path(f"sim-{case.entry.name}-s{case.seed}-c{case.cpus}")
        with open(verdict.log, "w", encoding="utf-8") as f:
            f.write(output)
    return verdict


def cases(e, seeds=None, cpus=None, build="debug", check_hash=False):
    """Every seed with every CPU count; the first of each CPU count twice, for its hash."""
    if seeds is None:
        seeds = list(range(1, int(e.get("seeds", "20")) + 1))
        seeds += [s for s in e.numbers("seed") if s not in seeds]
    counts = cpus or e.numbers("cpus", "1,4")
    return [Case(e, seed, count, build, check_hash and index == 0) for index, seed in enumerate(seeds)
            for count in counts]
