# SPDX-License-Identifier: MIT
"""run-measure: the guest's own checks (user/proofs/measuretest.c), and the lines that it prints."""
import collections

from capos import measure

PHASES = ("other", "spin", "wakes", "shootdowns", "serial", "locks", "placement", "spaces")


def test_guest(guest):
    assert guest.wait(90) == 0, guest.output[-3000:]
    passed, failures = guest.tap()
    assert passed > 15 and not failures, failures


def test_all_lines_are_there_and_none_of_history(guest):
    assert not list(measure.problems(guest.output, PHASES))


def test_phases_add_up(guest):
    parts, whole = collections.defaultdict(list), {}
    for line in measure.parse(guest.output):
        for field, value in line.values.items():
            if line.kind != "user_pc" and line.phase:
                parts[line.kind, line.site, field].append(int(value))
            elif line.kind != "user_pc":
                whole[line.kind, line.site, field] = int(value)
    assert len(whole) > 150 and whole == {key: (max if "_max_" in key[2] else sum)(values) for key, values in parts.items()}


def test_sites_add_up(guest):
    for phase in PHASES:
        sites = [line for line in measure.parse(guest.output) if line.kind == "scheduler_lock_site" and line.phase == phase]
        (whole,) = [line for line in measure.parse(guest.output) if line.kind == "scheduler_lock" and line.phase == phase]
        for field in ("acquisitions", "contended", "wait_ns", "hold_ns"):
            assert sum(int(line.values[field]) for line in sites) == int(whole.values[field]), (phase, field)


def test_samples_have_symbols(guest):
    """The phase that only spins was nearly always found in the function that does."""
    found = measure.samples(guest.output)
    spin = {name: count for (phase, program, name), count in found.items() if phase == "spin" and program == "measuretest"}
    assert sum(spin.values()) >= 10 and spin.get("spin_here", 0) >= 0.8 * sum(spin.values()), found
