# SPDX-License-Identifier: MIT
"""The thread-scale workload (user/bin/thread-scale): its cases, the sum it must find, guests that run it on request, statistics."""
import functools
import os
import random
import re
import selectors
import statistics
import subprocess
import time
from dataclasses import dataclass

from . import bench, make, path, qemu, records
from .records import cpu_list, read

BLOCKS, BLOCKS_LARGE, WORK_ROUNDS = 262144, 1048576, 64
BLOCK_BYTES, BLOCK_WORDS = 64, 8
GATE = 1.6              # least speedup from 1 to 2 workers
MEMORY = "256M"
CALM, CALM_TRIES = 0.03, 10     # a run is repeated if the vCPUs waited for the host for more than this part of its time
MANIFEST = "thread-scale-bench"
SLOTS = ("padded", "compact")
# What a report line must say besides the case itself: one process whose parent blocks in the joins.
BENCHMARK_CLASS = {"class": "fork-join", "process": "one", "parent": "blocking-join"}

MASK = (1 << 64) - 1
SEED, FACTOR, TERM = 0x9e3779b97f4a7c15, 6364136223846793005, 1540483477
FOLD, FOLD_BITS = 0xff51afd7ed558ccd, 27


@functools.lru_cache(maxsize=None)
def expected(blocks, rounds):
    """The sum of the workload, by another way: `rounds` steps are one affine map, and the input is an arithmetic progression."""
    factor = pow(FACTOR, rounds, 1 << 64)
    word = TERM * sum(pow(FACTOR, k, 1 << 64) for k in range(rounds)) & MASK
    step, total = factor * SEED & MASK, 0
    for _ in range(blocks):
        digest = 0
        for _ in range(BLOCK_WORDS):
            word = word + step & MASK
            digest = ((digest << FOLD_BITS | digest >> 64 - FOLD_BITS) ^ word) * FOLD & MASK
        total += digest
    return total & MASK


@dataclass(frozen=True)
class Case:
    workers: int
    slots: str = "padded"
    blocks: int = BLOCKS
    rounds: int = WORK_ROUNDS

    def line(self):
        return f"{self.blocks} {self.rounds} {self.workers} {self.slots}"

    def cpus(self):
        """vCPUs of its machine. One worker has two as well: QEMU translates for one CPU alone in another way."""
        return max(2, self.workers)

    def __str__(self):
        return f"{self.workers} workers, {self.slots}, {self.blocks * BLOCK_BYTES >> 20} MiB"


@dataclass
class Sample:
    """One run of a case; spans in ticks of the TSC, which on one host is the same for every system."""
    setup: int
    work: int
    total: int
    total_ns: int
    begin_skew: int = 0
    end_skew: int = 0
    host_wait_ns: int = 0   # the vCPUs' threads were ready, and the host ran others
    repeats: int = 0        # runs before it that the host disturbed more

    def ns(self, ticks):
        return ticks * self.total_ns // self.total

    def calm(self):
        return self.host_wait_ns <= CALM * self.total_ns


class Invalid(Exception):
    """A report that is not what was asked for, or a wrong sum."""


def parse(case, line):
    """The sample that a report line tells, after every field of it was checked."""
    said = dict(re.findall(r"(\w+)=(\S+)", line))
    wanted = {**BENCHMARK_CLASS, "blocks": str(case.blocks), "bytes": str(case.blocks * BLOCK_BYTES),
              "work_rounds": str(case.rounds), "workers": str(case.workers), "slots": case.slots,
              "sum": f"{expected(case.blocks, case.rounds):016x}"}
    for field, value in wanted.items():
        if said.get(field) != value:
            raise Invalid(f"{case}: {field}={said.get(field)}, not {value}")
    try:
        sample = Sample(*(int(said[f]) for f in (
            "setup_ticks", "work_ticks", "total_ticks", "total_ns", "begin_skew_ticks", "end_skew_ticks")))
    except (KeyError, ValueError) as error:
        raise Invalid(f"{case}: no field {error}") from error
    if not 0 < sample.work <= sample.total or sample.setup <= 0 or sample.total_ns <= 0 or (
            max(sample.begin_skew, sample.end_skew) > sample.work):
        raise Invalid(f"{case}: spans do not fit: {sample}")
    return sample


# --- systems that run it ----------------------------------------------------------------------------------------------

class Live:
    """A guest (or a program) that waits for cases on its console. boots: how often it may fail to get there."""
    def __init__(self, name, command, log, timeout=60.0, boots=1):
        self.name, self.timeout, self.command, self.boots = name, timeout, command, boots
        self.log = open(log, "wb")
        self.launch()

    def launch(self):
        self.seen = b""
        self.child = subprocess.Popen(qemu.bound(self.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, cwd=path())
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)

    def until(self, pattern):
        """Reads until the pattern is there; gives its match, and forgets what came up to its end."""
        end, wanted = time.monotonic() + self.timeout, re.compile(pattern)
        while not (found := wanted.search(self.seen)):
            left = end - time.monotonic()
            chunk = os.read(self.child.stdout.fileno(), 65536) if left > 0 and self.selector.select(left) else b""
            if not chunk:
                raise Invalid(f"{self.name}: no {pattern.decode()} in {self.seen[-2000:].decode('utf-8', 'replace')}")
            self.log.write(chunk)
            self.seen += chunk
        self.seen = self.seen[found.end():]
        return found

    def ready(self):
        self.until(rb"thread-scale: ready\r?\n")
        return self

    def booted(self):
        while True:
            try:
                return self.ready()
            except Invalid as error:
                self.boots -= 1
                if self.boots == 0:
                    raise
                print(f"{self.name} is booted again: {error}"[:200])
                self.leave()
                self.launch()

    def vcpus(self):
        """{number: thread id} of the emulator; {} of a program."""
        names = {task: read(f"/proc/{self.child.pid}/task/{task}/comm") for task in os.listdir(f"/proc/{self.child.pid}/task")}
        return {int(found[1]): int(task) for task, name in names.items() if (found := re.match(r"CPU (\d+)/", name))}

    def pin(self, host_cpus):
        """Each vCPU's thread to one host CPU, in turn: else the host may run two of them on one CPU for as long as a case lasts."""
        for number, task in self.vcpus().items():
            os.sched_setaffinity(task, [host_cpus[number % len(host_cpus)]])

    def waited_ns(self):
        """How long the vCPUs' threads were ready to run so far, and did not (second field of schedstat)."""
        return sum(int((read(f"/proc/{self.child.pid}/task/{task}/schedstat").split() + ["0", "0"])[1]) for task in self.vcpus().values())

    def run_watched(self, case):
        """A run, with what the vCPUs waited for the host meanwhile."""
        before = self.waited_ns()
        sample = self.run(case)
        sample.host_wait_ns = self.waited_ns() - before
        return sample

    def run_calm(self, case, host_cpus):
        """A run in which the host left the vCPUs running, or the least disturbed one. The host says so, not the guest's times."""
        best = None
        for repeat in range(CALM_TRIES):
            sample = self.run_watched(case)
            sample.repeats = repeat
            if best is None or sample.host_wait_ns < best.host_wait_ns:
                best = sample
            if case.cpus() > host_cpus or best.calm():
                break
        return best

    def say(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def run(self, case):
        self.say(case.line())
        line = self.until(rb"thread-scale: (?!ready)([^\r\n]*)\r?\n")[1].decode()
        if not line.startswith("class="):
            raise Invalid(f"{self.name}: {line}")
        self.ready()
        return parse(case, line)

    def end(self):
        """Ends it in good order; gives what it printed besides, to its end."""
        rest = b""
        if self.child.poll() is None:
            self.say("end")
            try:
                rest = self.child.communicate(timeout=self.timeout)[0]
            except subprocess.TimeoutExpired:
                pass
        self.log.write(rest)
        self.close()
        return (self.seen + rest).decode("utf-8", "replace")

    def leave(self):
        self.selector.close()
        qemu.stop(self.child)
        for stream in (self.child.stdin, self.child.stdout):
            if not stream.closed:
                stream.close()

    def close(self):
        self.leave()
        self.log.close()


def pinned(command, cpus):
    """The command on these host CPUs ("0,1"; "": wherever it likes)."""
    return ["taskset", "-c", cpus, *command] if cpus else command


NAMED_THREADS = ["-name", "capos-scale,debug-threads=on"]  # for Live.pin


class Capos:
    name = "capOS"

    def __init__(self, build="release", host_cpus="", **options):
        self.build, self.host_cpus, self.options = build, host_cpus, options
        code, output = make("-s", *self.machine(2).needs(), f"BUILD={build}", capture=True)
        if code:
            bench.fail("capOS does not build", output)

    def machine(self, cpus):
        return qemu.Machine(manifest=MANIFEST, build=self.build, cpus=cpus, mem=MEMORY, **self.options)

    def start(self, cpus, log):
        return Live(self.name, pinned(self.machine(cpus).command("") + NAMED_THREADS, self.host_cpus), log)


class LinuxNative:
    name = "linux-native"

    def __init__(self, host_cpus=""):
        self.host_cpus = host_cpus
        linux_program()

    def start(self, cpus, log):
        return Live(f"{self.name} ({cpus} CPUs)", pinned([os.path.join(bench.OUT, "linux", "thread-scale")], self.host_cpus), log)


class LinuxGuest:
    """Debian's cloud kernel in the same QEMU with the same CPUs and memory; the workload is its init."""
    name = "linux-guest"

    def __init__(self, version="6.12", host_cpus="", **options):
        self.host_cpus, self.options = host_cpus, options
        self.kernel = bench.linux_kernel(version)
        self.release = os.path.basename(self.kernel).replace("vmlinuz-", "")
        self.program = linux_program()

    def command(self, cpus):
        machine = qemu.Machine(cpus=cpus, mem=MEMORY, **self.options)
        return [*bench.linux_command(self.kernel, [("init", self.program)], machine), *machine.extra]

    def start(self, cpus, log):
        # Linux patches its own code while it boots; QEMU's threads sometimes run what is half patched, and it panics.
        return Live(self.name, pinned(self.command(cpus) + NAMED_THREADS, self.host_cpus), log, boots=3)


def linux_program():
    return bench.linux_program("thread-scale", "-pthread", path("user", "bin", "thread-scale", "workload.c"))


# --- statistics -------------------------------------------------------------------------------------------------------

def bootstrap(groups, statistic, draws=2000, level=0.95):
    """(low, high) of the statistic of a list of values. groups: one list of values per boot; boots are drawn, and values in them."""
    chance, seen = random.Random(1), []
    for _ in range(draws):
        seen.append(statistic([chance.choice(group) for group in (chance.choice(groups) for _ in groups) for _ in group]))
    seen.sort()
    edge = int(draws * (1 - level) / 2)
    return seen[edge], seen[-1 - edge]


def amdahl(one, many, workers):
    """(serial part of the time of one worker, speedup it allows) by T(n) = s + p/n through two measured times; None: no serial part seen."""
    parallel = (one - many) / (1 - 1 / workers)
    serial = one - parallel
    return (serial / one, one / serial) if serial > 0 else (0.0, None)


# --- folders of results -------------------------------------------------------------------------------------------------

def folder(kind, stamp=""):
    """target/KIND/TIMESTAMP, made."""
    out = path("target", kind, stamp or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    os.makedirs(out, exist_ok=True)
    return out


def write_results(out, kind, facts, rows):
    """results.json of the folder; the newest of a kind is build/bench/KIND.json too, where `make report` finds it."""
    os.makedirs(bench.OUT, exist_ok=True)
    for file in (os.path.join(out, "results.json"), os.path.join(bench.OUT, f"{kind}.json")):
        records.write_json(file, {"kind": kind, "host": facts, "results": rows})


# --- runs of one system, and their table ------------------------------------------------------------------------------------

def cases_of(workers, larger=True):
    """Padded and compact at the usual size; padded at the larger one."""
    out = [Case(w, slots) for slots in SLOTS for w in workers]
    return out + ([Case(w, blocks=BLOCKS_LARGE) for w in workers] if larger else [])


def measure(system, cases, runs, out, prepare=None, finish=None):
    """{case: [sample]}: each run boots a machine for each count of CPUs, and runs its widest case once uncounted: what is made or
    translated once is in no sample. finish(text, cpus) sees what came after the last case."""
    samples = {case: [] for case in cases}
    host_cpus = len(cpu_list(system.host_cpus or read("/sys/devices/system/cpu/online")))
    for turn in range(1, runs + 1):
        for cpus in sorted({case.cpus() for case in cases}):
            live = system.start(cpus, os.path.join(out, f"{system.name}-cpus{cpus}-run{turn}.log"))
            try:
                live.booted()
                if system.host_cpus:
                    live.pin(cpu_list(system.host_cpus))
                live.run(max((c for c in cases if c.cpus() == cpus), key=lambda c: c.workers))
                if prepare:
                    prepare(live)
                for case in cases:
                    if case.cpus() == cpus:
                        samples[case].append(live.run_calm(case, host_cpus))
                rest = live.end()
            finally:
                live.close()
            if finish:
                finish(rest, cpus)
    return samples


def run_rows(system, samples):
    """A row of runs.csv for each sample."""
    for case, found in samples.items():
        for turn, s in enumerate(found, 1):
            yield {**BENCHMARK_CLASS, "system": system, "workers": case.workers, "cpus": case.cpus(), "slots": case.slots,
                   "blocks": case.blocks, "bytes": case.blocks * BLOCK_BYTES, "work_rounds": case.rounds, "run": turn,
                   "setup_ticks": s.setup, "work_ticks": s.work, "total_ticks": s.total, "begin_skew_ticks": s.begin_skew,
                   "end_skew_ticks": s.end_skew, "work_ns": s.ns(s.work), "total_ns": s.total_ns, "host_wait_ns": s.host_wait_ns,
                   "repeats": s.repeats, "verified": "true"}


def result_rows(system, samples, host_cpus):
    """A row of results.csv for each case: medians, speedups, whether it is accepted."""
    def median(case, span):
        return statistics.median(getattr(s, span) for s in samples[case])
    for case, found in samples.items():
        base = Case(1, case.slots, case.blocks, case.rounds)
        work, total = (median(base, span) / median(case, span) if base in samples else 0 for span in ("work", "total"))
        gate = {1: "none", 2: "gated"}.get(case.workers, "diagnostic")
        works = [s.ns(s.work) for s in found]
        totals = [s.total_ns for s in found]
        yield {**BENCHMARK_CLASS, "system": system, "workers": case.workers, "cpus": case.cpus(), "slots": case.slots,
               "blocks": case.blocks, "bytes": case.blocks * BLOCK_BYTES, "work_rounds": case.rounds, "runs": len(found),
               "setup_ns": round(statistics.median(s.ns(s.setup) for s in found)),
               "work_ns": round(statistics.median(works)), "work_ns_min": min(works), "work_ns_max": max(works),
               "total_ns": round(statistics.median(totals)), "total_ns_min": min(totals), "total_ns_max": max(totals),
               "work_speedup": f"{work:.3f}", "total_speedup": f"{total:.3f}", "gate": gate, "verified": "true",
               "pinned": host_cpus.replace(",", " ") or "none", "host_wait_ns": round(statistics.median(s.host_wait_ns for s in found)),
               "repeats": sum(s.repeats for s in found),
               "accepted": str(case.workers == 1 or (work >= GATE and total >= GATE)).lower()}


def table(rows):
    """The lines of a summary for rows of results.csv."""
    yield f"{'system':14} {'workers':>7} {'slots':8} {'MiB':>4} {'work ms':>9} {'total ms':>9} {'work x':>8} {'total x':>8} {'waits ms':>8} {'repeats':>7}  gate"
    for r in rows:
        yield (f"{r['system']:14} {r['workers']:7} {r['slots']:8} {r['bytes'] >> 20:4} {r['work_ns'] / 1e6:9.2f} "
               f"{r['total_ns'] / 1e6:9.2f} {r['work_speedup']:>8} {r['total_speedup']:>8} {r['host_wait_ns'] / 1e6:8.2f} {r['repeats']:7}  {r['gate']} accepted={r['accepted']}")


def amdahl_lines(rows, host_cpus):
    """What the times of one worker and of more, up to the count of host CPUs, say of the serial part, for each size and layout."""
    for size, slots in sorted({(r["bytes"], r["slots"]) for r in rows}):
        chosen = {r["workers"]: r for r in rows if (r["bytes"], r["slots"]) == (size, slots)}
        for workers in sorted(chosen):
            if not 1 < workers <= host_cpus or 1 not in chosen:
                continue
            serial, limit = amdahl(chosen[1]["total_ns"], chosen[workers]["total_ns"], workers)
            said = (f"serial part {100 * serial:.2f} % of the total time" + (f", speedup at most {limit:.1f}" if limit else "")
                    if serial < 1 else "no speedup, so no estimate")
            yield f"Amdahl, {size >> 20} MiB, {slots}, 1 and {workers} workers: {said}"
