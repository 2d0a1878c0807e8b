# SPDX-License-Identifier: MIT
"""A campaign: very many seeds over all workloads of tests/sim/plan.txt and 1 to 64 CPUs, with faults, in chunks.

Seeds are shared out by the plan's weights, evenly over the CPU counts. Every second chunk has the highest fault level, with
failing allocations where the plan says that the workload stands them (alloc=yes); the others draw their level by the seed.
A chunk is one process of the simulator, which forks a child per seed.
"""
import re
import subprocess

from . import Stopwatch, path, pool, simulation

CPUS = [1, 2, 4, 16, 64]
CHUNK = 20
TIMEOUT = 1200
FAILED = re.compile(r"^---- seed (\d+) failed, exit (\d+)", re.M)
REPLAY = re.compile(r"^replay: (.*)", re.M)


def chunks(entries, seeds, first, cpus, build):
    """(workload, CPUs, number of seeds, command), the workloads in turn; the same for the same arguments."""
    total = sum(float(e.get("weight", "10")) for e in entries) * len(cpus)
    queues = []
    for e in entries:
        for count in cpus:
            share = round(seeds * float(e.get("weight", "10")) / total)
            case = simulation.Case(e, first, count, build)
            program, archive = case.needs()
            queue = []
            for number, start in enumerate(range(first, first + share, CHUNK)):
                last = min(start + CHUNK, first + share) - 1
                command = [program, "--archive", archive, "--cpus", str(count), "--seeds", f"{start}..{last}",
                           *e.list("args")]
                if number % 2 and e.get("alloc") == "yes":
                    command += ["--faults", "3"]
                queue.append((e.name, count, last - start + 1, command))
            queues.append(queue)
    return [queue[i] for i in range(max(map(len, queues), default=0)) for queue in queues if i < len(queue)]


def run_chunk(chunk):
    name, cpus, count, command = chunk
    try:
        done = subprocess.run(command, cwd=path(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
        output = done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return name, cpus, count, count, [f"{' '.join(command)}: no end after {TIMEOUT} s"]
    failed = len(FAILED.findall(output))
    lines = [f"{name}, {cpus} CPUs: {r}" for r in REPLAY.findall(output)]
    if done.returncode != 0 and failed == 0:
        return name, cpus, count, count, [f"{' '.join(command)}: ended with {done.returncode}"]
    return name, cpus, count, failed, lines


def table(results, cpus):
    rows = ["| workload | " + " | ".join(f"{c} CPUs" for c in cpus) + " |", "|---|" + "---|" * len(cpus)]
    for name in dict.fromkeys(n for n, _ in results):
        cells = [results.get((name, c), [0, 0]) for c in cpus]
        rows.append(f"| {name} | " + " | ".join(f"{runs} runs, {failed} failed" for runs, failed in cells) + " |")
    return "\n".join(rows)


def run(entries, seeds, first, cpus, build, part, parts, jobs):
    """True: nothing failed. Part k of n: each n-th chunk; all parts together are the campaign."""
    todo = chunks(entries, seeds, first, cpus, build)[part - 1::parts]
    total, clock, shown = sum(c[2] for c in todo), Stopwatch(), [0.0]
    results, runs = {}, [0, 0]

    def done(result):
        name, count, number, failed, lines = result
        cell = results.setdefault((name, count), [0, 0])
        for counts in (cell, runs):
            counts[0] += number
            counts[1] += failed
        for line in lines:
            print(f"FAIL {line}", flush=True)
        if clock.seconds() - shown[0] >= 30:
            shown[0] = clock.seconds()
            print(f"  {runs[0]} of {total} runs, {runs[1]} failed ({clock})", flush=True)

    pool.run(((1, lambda c=c: run_chunk(c)) for c in todo), jobs, done)
    print(table(results, cpus))
    print(f"campaign: seeds from {first}, part {part} of {parts}, build {build}: {runs[0]} runs, {runs[1]} failed ({clock})")
    return runs[1] == 0 and runs[0] > 0
