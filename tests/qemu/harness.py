# SPDX-License-Identifier: MIT
"""Drives a guest from outside, for the scripted proofs tests/qemu/NAME.py (run by tools/prove NAME).

A script is a Python file with functions test_...; they are called in order, each is one test, and a
raised exception is its failure. What they ask for by parameter name, they get:

  guest    the proof's machine, booted at the first use and shared by the functions that follow
  boot     boot(manifest=..., cpus=..., mem=..., boot=..., cmdline=..., extra=[...]) boots another one

  def test_login(guest):
      guest.expect("login: ")
      guest.sendline("operator")
      guest.expect(r"\\$ ")

  def test_poweroff(guest):
      guest.sendline("poweroff")
      assert guest.wait() == 0

The TAP that a guest prints is judged too (a plan that began must be complete, no `not ok`). A guest
that still runs at the end is ended; one that ended by itself must have ended with the code expected,
unless the script asked for the code itself with wait().
"""
import inspect
import os
import re
import sys
import tempfile
import threading
import traceback

import pexpect

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
from capos import make, path, proof, qemu  # noqa: E402

STEP_SECONDS = 20


class Guest:
    """A booted guest with its console."""

    def __init__(self, machine, timeout=60.0, log=None):
        self.machine = machine
        self.code = None            # PASS .. OTHER once ended
        self.asked = False          # the script looked at the code
        self.expired = False
        self._tmp = tempfile.TemporaryDirectory(prefix="capos-")
        self._sink = open(log, "a", encoding="utf-8", errors="replace") if log else None
        self._heard = []
        command = qemu.bound(machine.command(self._tmp.name))
        self.child = pexpect.spawn(command[0], command[1:], timeout=STEP_SECONDS, encoding="utf-8",
                                   codec_errors="replace", echo=False, dimensions=(24, 200), cwd=path())
        self.child.logfile_read = self
        self.child.delaybeforesend = None
        self._timer = threading.Timer(timeout, self._expire)
        self._timer.daemon = True
        self._timer.start()

    # The child's logfile: keeps all that was heard.
    def write(self, text):
        self._heard.append(text)
        if self._sink:
            self._sink.write(text)

    def flush(self):
        if self._sink:
            self._sink.flush()

    def _expire(self):
        self.expired = True
        self.child.kill(9)

    @property
    def output(self):
        """All serial output so far."""
        return "".join(self._heard)

    def expect(self, pattern, timeout=STEP_SECONDS):
        """Waits for a regular expression; gives its match. What came before is in guest.before."""
        try:
            self.child.expect(pattern, timeout=timeout)
        except pexpect.TIMEOUT:
            raise AssertionError(f"no {pattern!r} within {timeout} s") from None
        except pexpect.EOF:
            raise AssertionError(f"the guest ended before {pattern!r}") from None
        return self.child.match

    def expect_text(self, text, timeout=STEP_SECONDS):
        return self.expect(re.escape(text), timeout)

    @property
    def before(self):
        return self.child.before

    def send(self, text):
        self.child.send(text)

    def sendline(self, line=""):
        """Types a line and Enter (carriage return, as a terminal sends)."""
        self.child.send(line + "\r")

    def control(self, letter):
        """control("c") types Ctrl-C."""
        self.child.send(chr(ord(letter.upper()) - 64))

    def command(self, line, prompt, timeout=STEP_SECONDS):
        """Types a command line, waits for the prompt, gives what was printed between."""
        self.sendline(line)
        self.expect_text(line)
        self.expect(prompt, timeout)
        return self.before.replace("\r", "").lstrip("\n")

    def alive(self):
        return self.child.isalive()

    def wait(self, timeout=STEP_SECONDS):
        """Waits for the end; gives the code (0 clean end, 1 tests failed, 2 panic, 3 bad manifest, 4, 5)."""
        self.asked = True
        return self._reap(timeout)

    def _reap(self, timeout):
        if self.code is None:
            try:
                self.child.expect(pexpect.EOF, timeout=timeout)
            except pexpect.TIMEOUT:
                raise AssertionError(f"the guest did not end within {timeout} s") from None
            self.child.wait()
            self.code = qemu.TIMEOUT if self.expired else qemu.outcome(self.child.exitstatus)
        return self.code

    def tap(self):
        """(tests passed, failures) of what the guest reported so far."""
        return proof.judge_output(self.output, need_plan=False)

    def close(self):
        self._timer.cancel()
        if self.child.isalive():
            self._drain()
            self.child.kill(15)
        self.child.close(force=True)
        if self._sink:
            self._sink.close()
            self._sink = None
        self._tmp.cleanup()

    def _drain(self):
        try:
            while True:
                self.child.read_nonblocking(65536, timeout=0)
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass

    def ended_by_itself(self):
        self._drain()
        if self.code is None and not self.child.isalive():
            self._reap(1)
        return self.code is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Bench:
    """What one scripted proof runs on: its guests, its verdict."""

    def __init__(self, machine, timeout, expected_exit, log):
        self.machine, self.timeout, self.expected_exit, self.log = machine, timeout, expected_exit, log
        self.guests = []
        self.shared = None
        open(log, "w", encoding="utf-8").close()

    def boot(self, **changes):
        machine = qemu.Machine(**{**self.machine.__dict__, **changes})
        if not machine.archive and not machine.iso and changes:
            code, output = make(*machine.needs(), f"BUILD={machine.build}", "-s", capture=True)
            assert code == 0, f"cannot build {machine.needs()}:\n{output}"
        guest = Guest(machine, self.timeout, self.log)
        self.guests.append(guest)
        return guest

    def _argument(self, name):
        if name == "boot":
            return self.boot
        if name == "guest":
            if self.shared is None:
                self.shared = self.boot()
            return self.shared
        raise TypeError(f"a test may ask for guest and boot, not for {name}")

    def run_module(self, module):
        passed, failures = 0, []
        tests = [(n, f) for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
        if not tests:
            failures.append("the script has no test_ function")
        for name, function in tests:
            try:
                function(**{p: self._argument(p) for p in inspect.signature(function).parameters})
                passed += 1
            except Exception as error:  # any exception is the test's failure
                place = traceback.extract_tb(error.__traceback__)
                own = [f for f in place if f.filename == module.__file__]
                line = f" (line {own[-1].lineno})" if own else ""
                failures.append(f"{name}{line}: {type(error).__name__}: {error}")
                if self.shared is not None and not self.shared.alive():
                    break
        for guest in self.guests:
            if guest.ended_by_itself() and not guest.asked and guest.code != self.expected_exit:
                failures.append(f"the guest ended with {guest.code} ({qemu.MEANING[guest.code]})")
            good, bad = guest.tap()
            passed += good
            failures += bad
        return passed, failures, "".join(g.output for g in self.guests)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for guest in self.guests:
            guest.close()
