# SPDX-License-Identifier: MIT
"""The scheduler's queues alone, against the reference model (tests/sim/fair): short samples, and a canary for every check."""
import os
import re
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FAIR = os.path.join(ROOT, "build", "fair")
PLANTS = {
    "pick": "pick: ",
    "floor": "floor: lag is lower",
    "ceiling": "ceiling: lag is higher",
    "charge": "accounting: virtual runtime",
    "lag": "RQ5: joins at another place|RQ5: a debt is lost or made|RQ6: who ends leaves another",
    "owed": "RQ5: joins at another place",
    "weight": "the rest of the request does not go along|a change of weight changes",
    "rest": "the rest of the request does not go along",
    "renew": "a request is used up and not renewed|deadline is not a request after its start",
    "preempt": "preemption: ",
    "sums": "RQ3: ",
    "end": "RQ6: who ends leaves another|RQ6: what is left is kept",
    "quits": "RQ5: a debt is lost or made",
    "heir": "RQ6: another debt or credit is left than had to be taken over",
}


def run(program, *arguments):
    return subprocess.run([os.path.join(FAIR, program), *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, check=False)


@pytest.fixture(scope="module", autouse=True)
def programs():
    subprocess.run(["make", "-s", "-C", ROOT, *(f"build/fair/{p}" for p in ("check/drive", "check/scenarios", "fast/drive", "count/scale"))],
                   check=True)


@pytest.mark.parametrize("policy", ["eevdf", "wfq"])
def test_sanitized(policy):
    done = run("check/drive", "--policy", policy, "--dispatches", "150000", "--seed", "5")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("policy", ["eevdf", "wfq"])
def test_fast(policy):
    done = run("fast/drive", "--policy", policy, "--dispatches", "3000000", "--seed", "6")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("policy", ["eevdf", "wfq"])
def test_scenarios(policy):
    done = run("check/scenarios", "--policy", policy)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("ok ") == 22


@pytest.mark.parametrize("policy", ["eevdf", "wfq"])
def test_growth(policy):
    done = run("count/scale", "--policy", policy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("plant", PLANTS)
def test_canary(plant):
    done = run("fast/drive", "--dispatches", "200000", "--plant", plant)
    assert done.returncode == 1
    assert re.search(PLANTS[plant], done.stdout)


def test_canary_growth():
    done = run("count/scale", "--plant", "linear")
    assert done.returncode == 1
    assert "DEFECT: pick" in done.stdout


def scale(plant, *arguments):
    return subprocess.run([os.path.join(ROOT, "tools", "sim-scale"), "--no-queues", "--window", "20", *arguments], text=True,
                          env={**os.environ, "CAPOS_SIM_PLANT": plant}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          check=False)


def test_growth_of_the_kernel():
    done = scale("none", "--cpus", "1,64,1024", "--threads", "100,10000")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("plant, size", [("linear-cpus", ["--cpus", "64,1024", "--threads", "100"]),
                                         ("linear-threads", ["--cpus", "64", "--threads", "100,10000"])])
def test_canary_growth_of_the_kernel(plant, size):
    done = scale(plant, *size)
    assert done.returncode == 1
    assert re.search(rf"(stay|place) .* DEFECT: .* {plant.split('-')[1]} it grows", done.stdout), done.stdout
