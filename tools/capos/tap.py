# SPDX-License-Identifier: MIT
"""Reads the TAP that guests print among their other lines.

A line `# program NAME` starts a program's report. Its plan `1..N` may come first or last. Lines that
are no TAP are skipped; a log prefix in brackets before a TAP line is allowed.
"""
import re
from dataclasses import dataclass, field

PREFIX = r"^(?:\[[^\]]*\]\s*)*"
POINT = re.compile(PREFIX + r"(not ok|ok)\b(?:\s+(\d+))?\s*(?:-\s*)?(.*)$")
PLAN = re.compile(PREFIX + r"1\.\.(\d+)\s*(?:#.*)?$")
PROGRAM = re.compile(PREFIX + r"#\s*program\s+(\S+)")
BAIL = re.compile(PREFIX + r"Bail out!\s*(.*)$")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][A-Z0-9]?")


@dataclass
class Program:
    name: str
    plan: int = -1
    points: dict = field(default_factory=dict)      # number -> (ok, description)
    repeated: list = field(default_factory=list)

    def complete(self):
        return self.plan >= 0 and len(self.points) >= self.plan


@dataclass
class Report:
    programs: list = field(default_factory=list)
    bails: list = field(default_factory=list)

    def passed(self):
        return sum(ok for p in self.programs for ok, _ in p.points.values())

    def failures(self):
        """Each thing that is wrong, in words."""
        out = []
        for p in self.programs:
            for number, (ok, text) in sorted(p.points.items()):
                if not ok:
                    out.append(f"{p.name}: not ok {number} - {text}")
            out += [f"{p.name}: test {number} reported twice" for number in p.repeated]
            if p.plan < 0 and p.points:
                out.append(f"{p.name}: no plan after {len(p.points)} tests")
            elif p.plan >= 0 and sorted(p.points) != list(range(1, p.plan + 1)):
                out.append(f"{p.name}: plan 1..{p.plan}, but {len(p.points)} reported")
        out += [f"bail out: {reason}" for reason in self.bails]
        return out

    def planned(self):
        return any(p.plan > 0 for p in self.programs)


def parse(text):
    report = Report()
    current = None

    def begin(name):
        program = Program(name)
        report.programs.append(program)
        return program

    for line in text.splitlines():
        line = ESCAPES.sub("", line).strip()
        if match := PROGRAM.match(line):
            current = begin(match[1])
        elif match := PLAN.match(line):
            if current is None or current.plan >= 0:
                current = begin("guest")
            current.plan = int(match[1])
        elif match := POINT.match(line):
            if current is None or (current.complete() and current.plan > 0):
                current = begin("guest")
            number = int(match[2]) if match[2] else len(current.points) + 1
            good = match[1] == "ok" or re.search(r"#\s*TODO\b", match[3], re.I) is not None
            if number in current.points:
                current.repeated.append(number)
                good = good and current.points[number][0]
            current.points[number] = (good, match[3])
        elif match := BAIL.match(line):
            report.bails.append(match[1] or "no reason given")
    return report
