# SPDX-License-Identifier: MIT
"""run-smp-smokes: the guest's own checks (user/proofs/smptest), and that it found the CPUs that there are."""
import re


def test_guest(guest):
    assert guest.wait(110) == 0, guest.output[-3000:]
    passed, failures = guest.tap()
    assert passed > 15 and not failures, failures


def test_cpus_found(guest):
    found = int(re.search(r"# cpus (\d+)", guest.output)[1])
    assert found == guest.machine.cpus, f"{found} CPUs found of {guest.machine.cpus}"
    assert f"online={guest.machine.cpus}" in guest.output
