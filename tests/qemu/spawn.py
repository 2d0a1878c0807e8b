# SPDX-License-Identifier: MIT
"""run-spawn: the guest's own checks (user/proofs/spawntest.c), and that each process's CPU time is printed at its end (C3)."""
import re


def test_guest(guest):
    assert guest.wait(110) == 0, guest.output[-3000:]
    passed, failures = guest.tap()
    assert passed > 15 and not failures, failures


def test_cpu_accounting(guest):
    lines = re.findall(r"sched: process_cpu_accounting pid=(\d+) runtime_ns=(\d+) context_switches=(\d+)", guest.output)
    ended = set(re.findall(r"proc: process (\d+) exited with code \d+", guest.output))
    # The log drops lines from the console rather than wait for it.
    assert len(lines) > 20 and len({pid for pid, _, _ in lines} & ended) > 20
    # Even one that was killed at once died on a CPU.
    assert all(int(runtime) > 0 and int(switches) > 0 for _, runtime, switches in lines), lines
    assert len({pid for pid, _, _ in lines}) == len(lines)
