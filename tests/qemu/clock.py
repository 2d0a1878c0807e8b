# SPDX-License-Identifier: MIT
"""run-clock: one-shots and discipline measured at boot, what programs see of the clock, and the same with a TSC that stands."""
import re

HALF_NS, TICK_NS = 5_000_000, 10_000_000


def values(line):
    return dict(re.findall(r"(\w+)=(\w+)", line))


def finish(guest):
    assert guest.wait(90) == 0, guest.output[-3000:]
    passed, failures = guest.tap()
    assert passed >= 6 and not failures, failures


def test_proof_at_boot(boot):
    guest = boot(cmdline="capos.clock=proof")
    shot = values(guest.expect(r"clock: one-shot [^\r\n]*\r", 30).group())
    assert int(shot["asked_ns"]) == HALF_NS and shot["subtick"] == shot["restored"] == "true" and shot["early"] == "0", shot
    assert HALF_NS * 0.98 <= int(shot["real_ns"]) < TICK_NS, shot
    assert int(shot["ticks_real_ns"]) >= 5 * TICK_NS * 0.98, shot
    step = values(guest.expect(r"clock: monotonic_delta_ns=[^\r\n]*\r").group())
    assert (step["floored"], step["subtick_tracked"]) == ("false", "true"), step
    assert abs(int(step["monotonic_delta_ns"]) - int(step["real_ns"])) <= TICK_NS / 100, step
    finish(guest)


def test_counter_stands(boot):
    """Without a TSC the clock counts ticks: programs run and sleep, and time does not go back."""
    guest = boot(cmdline="capos.clock=stopped")
    guest.expect("clock: the counter is not to be trusted", 60)
    finish(guest)
