# SPDX-License-Identifier: MIT
"""run-iso: the tour, and the login, from a GRUB image: SeaBIOS and OVMF, as the case says."""
from smoke import PROMPT, log_in


def test_tour(guest):
    match = guest.expect(r"tour: (\d+) of (\d+) stations", timeout=90)
    assert match[1] == match[2] and int(match[1]) > 10, match[0]
    assert guest.wait() == 0


def test_login(boot):
    guest = boot(manifest="smoke")
    log_in(guest)
    guest.expect("Welcome, operator")
    guest.expect(PROMPT)
    guest.sendline("poweroff")
    assert guest.wait() == 0
