# SPDX-License-Identifier: MIT
"""The lines that a measure build prints (user/lib/measure.c): what must be there, their values, samples with symbols."""
import collections
import os
import re
from dataclasses import dataclass

from . import bench, path

LOCK_FIELDS = ("acquisitions", "contended", "wait_ns", "wait_max_ns", "hold_ns", "hold_max_ns")
# Each line with the fields that it must have (names.md).
LINES = {
    "timer": ("interrupts", "user_scheduler", "kernel_only", "bsp_tick_advances"),
    "scheduler_lock": LOCK_FIELDS, "scheduler_lock_site": ("site", *LOCK_FIELDS), "shared_kernel_lock": ("site", *LOCK_FIELDS),
    "network_poll": ("scheduler_polls", "runtime_polls", "interface_polls", "tcp_http_polls", "virtqueue_spins",
                     "virtqueue_completions", "waiter_scans"),
    "reschedule_ipi": ("scans", "eligible_idle", "target", "missing_target", "pending_skip", "not_ready_skip", "sent"),
    "thread_placement": ("avoid", "fallback", "strict_load", "selected", "first_selected", "migrations"),
    "scheduler_inbox": ("pushes", "drained", "wait_ns"), "tlb": ("cr3_loads", "shootdowns"), "serial": ("bytes",),
}
# Names that are history: the backlog has removed them.
GONE = ("timer_slow_summary", "fast_path_")


@dataclass
class Line:
    kind: str
    phase: str      # "": all phases together
    site: str
    values: dict    # the other fields


def parse(text):
    """The lines of a guest's output."""
    out = []
    for kind, rest in re.findall(r"^measure: (\w+)(.*)$", text.replace("\r", ""), re.M):
        fields = dict(re.findall(r" (\w+)=(\S+)", rest))
        out.append(Line(kind, fields.pop("phase", ""), fields.pop("site", ""), fields))
    return out


def problems(text, phases=()):
    """What is missing, for all phases together and for each of `phases`; and what must not be there."""
    lines = parse(text)
    yield from (f"'{name}' is printed" for name in GONE if re.search(rf"^measure: .*{name}", text, re.M))
    for phase in ("", *phases):
        found = {line.kind: line for line in lines if line.phase == phase}
        where = f" phase={phase}" if phase else ""
        for kind, fields in LINES.items():
            if kind not in found:
                yield f"no line 'measure: {kind}{where}'"
                continue
            there = {**found[kind].values, **({"site": found[kind].site} if found[kind].site else {})}
            yield from (f"measure: {kind}{where} has no {field}=" for field in fields if field not in there)
    for line in lines:
        if line.kind == "network_poll" and any(value != "0" for value in line.values.values()):
            yield f"network_poll is not zero: {line.values}"


def rows(text):
    """A row of measure.csv for each value."""
    for line in parse(text):
        if line.kind != "user_pc":
            yield from ({"line": line.kind, "phase": line.phase or "all", "site": line.site, "field": field, "value": value}
                        for field, value in line.values.items())


def samples(text, programs=None):
    """{(phase, program, function): count} by the symbols of the programs' ELF files. programs: {process name: program}."""
    known, found = {}, collections.Counter()
    for line in parse(text):
        if line.kind != "user_pc" or "offset" not in line.values:
            continue
        program = (programs or {}).get(line.values["program"], line.values["program"])
        elf = path("build", "release", "user", program)
        if program not in known:
            known[program] = bench.Symbols(bench.symbols(elf)) if os.path.exists(elf) else None
        name = known[program].of(int(line.values["offset"], 16)).replace("user: ", "") if known[program] else "?"
        found[line.phase, program, name] += int(line.values["count"])
    return found


def sample_lines(found, most=10):
    """The functions found most often, as lines."""
    total = sum(found.values())
    for (phase, program, name), count in found.most_common(most):
        yield f"user pc: {100 * count / total:5.1f} %  {phase:10} {program}: {name}"
