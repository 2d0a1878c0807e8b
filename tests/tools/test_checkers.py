# SPDX-License-Identifier: MIT
"""Canaries of the simulator's checkers (tests/sim): each finds what it is told to spoil."""
import os
import re
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SIM = os.path.join(ROOT, "build", "sim", "debug")
PLANTS = {
    "lost-wake": "checker dispatch: lost wake-up",
    "two-owners": "checker dispatch: entity",
    "wrong-queue": "checker dispatch: thread .* not once in the queue",
    "stolen-entity": "checker dispatch: thread .* entity that is another's",
    "stray": "checker dispatch: CPU .* runs thread .* which may not be there",
    "slot-leak": "checker conserve: process .* slots",
    "process-leak": "checker conserve: process .* processes",
    "free-thread": "checker conserve: process .* less threads",
    "ring-leak": "checker conserve: thread .* ring operations",
    "lost-ipi": "checker wakeup: lost wake-up",
    "lost-tick": "checker wakeup: .*without its tick",
    "verify-pool": r"verification failed: live == pool->live",
    "verify-frame": r"verification failed: .*kernel/mm/frames.c",
    "lost-time": "checker conserve: AC1",
    "ledger": "checker conserve: LG2",
    "selection": "checker conserve: AC3",
    "alloc": r"panic\+\w+\n  #\d+ (pool|frame)_alloc\+",
}
CLOCK = {
    "clock-back": "clock went back on CPU",
    "clock-stands": "checker clock: CPU .* behind what its one-shots have counted",
}
FAIRNESS = {
    "bad-choice": "checker fairness: CPU .* chose one that is not eligible",
    "starved": "checker fairness: thread .* is runnable for",
    "lag-lost": "checker fairness: .* ahead by",
    "unequal": "checker equals: .* ahead of its equal",
    "long-request": "checker equals: .* longer than it was asked for",
    "free-ride": "checker equals: .* and is charged for",
    "late-slice": "checker equals: .* beyond its request while others wait",
}
BUDGETS = {
    "minted": "checker budget: context .* its refills are",
    "too-soon": "checker budget: context .* are allowed",
    "not-armed": "checker budget: CPU .* the one-shot comes after the end of context",
    "lender": "checker budget: thread .* runs on what it has lent",
    "unnamed": "checker budget: thread .* which names another one",
}
DEATHS = {
    "death-frame": r"at step \d+ \(\w+\): left something behind, bytes 0\.4096",
    "death-waiter": r"at step \d+ \(\w+\): ",
}


def run(plant, workload="tour", *more):
    return subprocess.run([os.path.join(SIM, "capos-sim"), "--archive", os.path.join(SIM, f"boot-{workload}.cpio"),
                           "--cpus", "2", "--seed", "3", *more], env={**os.environ, "CAPOS_SIM_PLANT": plant}, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)


@pytest.fixture(scope="module", autouse=True)
def simulator():
    subprocess.run(["make", "-s", "-C", ROOT, "build/sim/debug/capos-sim", "build/sim/debug/boot-tour.cpio",
                    "build/sim/debug/boot-death.cpio", "build/sim/debug/boot-clock-faults.cpio", "build/sim/debug/boot-fair-storm.cpio",
                    "build/sim/debug/boot-fair-shares.cpio", "build/sim/debug/boot-scheduling-context.cpio"], check=True)


def test_nothing_planted_nothing_found():
    assert run("none").returncode == 0


@pytest.mark.parametrize("plant", PLANTS)
def test_found(plant):
    done = run(plant)
    assert done.returncode == 2
    assert re.search(PLANTS[plant], done.stdout)


@pytest.mark.parametrize("plant", CLOCK)
def test_found_of_the_clock(plant):
    done = run(plant, "clock-faults", "--tsc", "dead")
    assert done.returncode in (2, 6)
    assert re.search(CLOCK[plant], done.stdout)


@pytest.mark.parametrize("plant", FAIRNESS)
def test_found_by_fairness(plant):
    done = run(plant, "fair-storm")
    assert done.returncode == 2
    assert re.search(FAIRNESS[plant], done.stdout)


@pytest.mark.parametrize("plant", BUDGETS)
def test_found_by_budget(plant):
    done = run(plant, "scheduling-context")
    assert done.returncode == 2
    assert re.search(BUDGETS[plant], done.stdout)


@pytest.mark.parametrize("plant", DEATHS)
def test_death_judges(plant):
    """What user/proofs/deathtest.c is there to see, at a step of a teardown: tests/sim/death.c."""
    done = run(plant, "death")
    assert done.returncode == 1
    assert re.search(DEATHS[plant], done.stdout)


def test_shares_over_cpus():
    """Without balancing 37 hogs do not get their weighted max-min shares."""
    done = run("pinned", "fair-shares")
    assert done.returncode == 1
    assert "not ok 1 - mixed weights on many CPUs" in done.stdout
