# SPDX-License-Identifier: MIT
"""run-small: the system of `make run` on a machine of 32 MiB: log in, run programs one after the other and at once."""
import re

from shell import has, run
from smoke import PROMPT, log_in


def test_login(guest):
    log_in(guest)
    guest.expect(PROMPT)


def test_memory(guest):
    has(run(guest, "mem"), r"\b(2\d|3[0-2])(\.\d+)? MiB")


def test_programs(guest):
    for turn in range(5):
        has(run(guest, f"hello {turn}"), rf"argument 1: {turn}")
    has(run(guest, "child exit 7"), r"exit code 7")


def test_jobs(guest):
    for _ in range(2):
        run(guest, "sleepers &")
    assert len(re.findall(r"\bsleepers\b", run(guest, "ps"))) == 2


def test_poweroff(guest):
    guest.sendline("poweroff")
    assert guest.wait() == 0
