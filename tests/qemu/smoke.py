# SPDX-License-Identifier: MIT
"""run-smoke: from power-on over the serial console to an operator's session, out of it, in again, and off."""

PROMPT = r"operator@capos> "


def log_in(guest, name="operator", password="capos"):
    guest.expect("login: ", timeout=60)
    guest.sendline(name)
    guest.expect("password: ")
    guest.sendline(password)


def test_boots_to_login(guest):
    guest.expect(r"capOS \S+ \(\w+\) on x86_64", timeout=60)
    guest.expect("login: ", timeout=60)
    guest.sendline("")          # nobody: asked again


def test_wrong_password_is_refused(guest):
    log_in(guest, password="wrong")
    guest.expect("(?i)incorrect|refused|wrong|denied|invalid|bad")
    assert PROMPT not in guest.output


def test_unknown_account_is_refused_alike(guest):
    log_in(guest, name="nobody")
    guest.expect("(?i)incorrect|refused|wrong|denied|invalid|bad")


def test_password_is_not_shown(guest):
    log_in(guest)
    guest.expect("Welcome, operator")
    guest.expect(PROMPT)
    assert "password: capos" not in guest.output.replace("\r", "")


def test_session(guest):
    text = guest.command("session", PROMPT)
    assert "operator" in text and "account 5" in text, text


def test_a_program_runs(guest):
    text = guest.command("hello one two", PROMPT)
    assert "hello from process" in text and "argument 1: one" in text and "argument 2: two" in text, text


def test_logout_ends_the_session(guest):
    guest.sendline("logout")
    guest.expect(r"session \d+ ended")


def test_second_session_is_another(guest):
    log_in(guest)
    guest.expect(r"session (\d+)")
    assert int(guest.child.match[1]) > 1
    guest.expect(PROMPT)


def test_poweroff(guest):
    guest.sendline("poweroff")
    assert guest.wait() == 0
