# SPDX-License-Identifier: MIT
"""One proof: a manifest booted in QEMU, judged by its exit code, its TAP, and its script if it has one.

tests/qemu/plan.txt has a line per proof; a proof without a line gets the defaults below. Keys:
  cpus=1,2     one run for each           boot=kernel,bios,uefi   one run for each
  manifest=M   default: the proof's name  build=debug             default: release
  mem=256M     timeout=60 (seconds)       tier=quick|full         quick ones are in `make test`
  exit=0       the code expected (3: a manifest that must be refused); then TAP is not asked for
  icount=1 rng=1
  cmdline=X    the kernel's command line
  expect=REGEX what has to stand in the output, . for a space
tests/qemu/NAME.py, if there, drives the guest (see tests/qemu/harness.py).
"""
import dataclasses
import importlib.util
import os
import re
import sys
from dataclasses import dataclass

from . import Stopwatch, log_path, path, plan, qemu, relative, tail, tap

PLAN = path("tests", "qemu", "plan.txt")
KEYS = {"cpus", "boot", "manifest", "build", "mem", "timeout", "tier", "exit", "icount", "rng",
        "cmdline", "expect"}


def entries():
    return plan.read(PLAN, KEYS)


def entry(name):
    for e in entries():
        if e.name == name:
            return e
    return plan.Entry(name)


def script_path(name):
    script = path("tests", "qemu", name.replace("-", "_") + ".py")
    return script if os.path.exists(script) else None


@dataclass
class Case:
    """One run of a proof."""
    name: str
    machine: qemu.Machine
    timeout: float
    exit: int
    turn: int = 1
    expect: str = ""

    def label(self):
        boot = "" if self.machine.boot == "kernel" else f" {self.machine.boot}"
        return f"{self.name} cpus={self.machine.cpus}{boot}" + (f" #{self.turn}" if self.turn > 1 else "")

    def rerun(self):
        words = ["tools/prove", self.name, f"--cpus {self.machine.cpus}"]
        if self.machine.boot != "kernel":
            words.append(f"--boot {self.machine.boot}")
        if self.machine.build != "release":
            words.append(f"--build {self.machine.build}")
        return " ".join(words)

    def weight(self):
        return 1 if self.machine.cpus == 1 else 2


def cases(e, cpus=None, boots=None, build=None, times=1):
    out = []
    for boot in boots or e.list("boot", "kernel"):
        for count in cpus or e.numbers("cpus", "2"):
            machine = qemu.Machine(manifest=e.get("manifest", e.name), build=build or e.get("build", "release"),
                                   cpus=count, mem=e.get("mem", "128M"), boot=boot,
                                   icount=e.get("icount") == "1", rng=e.get("rng") == "1",
                                   cmdline=e.get("cmdline"))
            for turn in range(1, times + 1):
                out.append(Case(e.name, machine, float(e.get("timeout", "60")), int(e.get("exit", "0")), turn,
                                e.get("expect")))
    return out


@dataclass
class Verdict:
    label: str
    rerun: str
    passed: int
    failures: list
    seconds: float
    output: str = ""
    log: str = ""

    def __str__(self):
        if not self.failures:
            return f"PASS {self.label} ({self.passed} tests, {self.seconds:.1f} s)"
        lines = [f"FAIL {self.label} ({self.passed} passed, {len(self.failures)} failed, {self.seconds:.1f} s)"]
        if self.output:
            lines.append(tail(self.output))
        lines += [f"  {failure}" for failure in self.failures]
        if self.log:
            lines.append(f"  log:   {relative(self.log)}")
        lines.append(f"  again: {self.rerun}")
        return "\n".join(lines)


def judge_output(text, need_plan):
    """(tests passed, failures) of a guest's output."""
    report = tap.parse(text)
    failures = report.failures()
    if need_plan and not report.planned():
        failures.append("no TAP plan with a test in it")
    return report.passed(), failures


def prove(case):
    machine = case.machine
    log = log_path(f"{case.name}-{machine.build}-{machine.boot}-c{machine.cpus}"
                   + (f"-{case.turn}" if case.turn > 1 else ""))
    clock = Stopwatch()
    script = script_path(case.name)
    if script:
        passed, failures, output = run_script(script, case, log)
    else:
        done = qemu.run(machine, case.timeout, log=log)
        output = done.output
        passed, failures = judge_output(output, need_plan=case.exit == 0)
        if not re.search(case.expect, output):
            failures.append(f"nothing like '{case.expect}' in the output")
        if done.code == case.exit:
            passed += 1 if case.exit else 0
        else:
            failures.append(f"ended with {done.code} ({qemu.MEANING[done.code]}; QEMU's code {done.qemu_code}), "
                            f"expected {case.exit}")
    return Verdict(case.label(), case.rerun(), passed, failures, clock.seconds(), output, log)


def run_script(script, case, log):
    """Calls the script's test_ functions in order. (tests passed, failures, output)"""
    sys.path[:0] = [p for p in (path("tests", "qemu"),) if p not in sys.path]
    import harness  # needs pexpect, which only scripted proofs do

    name = os.path.basename(script)[:-3]
    spec = importlib.util.spec_from_file_location(f"proof_{name}_{id(case)}", script)
    module = importlib.util.module_from_spec(spec)
    with harness.Bench(dataclasses.replace(case.machine), case.timeout, case.exit, log) as bench:
        spec.loader.exec_module(module)
        return bench.run_module(module)
