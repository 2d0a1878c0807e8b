# SPDX-License-Identifier: MIT
"""run-tour: what `make run` shows without a terminal; every station as it should be, and a clean end."""


def test_tour(guest):
    match = guest.expect(r"tour: (\d+) of (\d+) stations", timeout=60)
    assert match[1] == match[2] and int(match[1]) > 10, match[0]
    assert guest.wait() == 0
