# SPDX-License-Identifier: MIT
"""What the tools share: the tree's root, make, QEMU, TAP, plans, a pool."""
import fcntl
import os
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(ROOT, "build", "logs")


def path(*parts):
    return os.path.join(ROOT, *parts)


def log_path(name):
    os.makedirs(LOGS, exist_ok=True)
    return os.path.join(LOGS, name + ".log")


def relative(file_path):
    return os.path.relpath(file_path, ROOT)


def make(*targets, keep_going=False, capture=False):
    """Runs make in the tree; gives (exit code, output). Command-line variables of an outer make stay in force.

    One at a time: two of the tools side by side would build the same files.
    """
    env = dict(os.environ)
    outer = env.pop("MAKEFLAGS", "")
    env.pop("MFLAGS", None)
    env.pop("MAKELEVEL", None)
    variables = outer.split(" -- ", 1)[1].split() if " -- " in outer else []
    given = {t.split("=", 1)[0] for t in targets if "=" in t}
    variables = [v for v in variables if v.split("=", 1)[0] not in given]
    command = ["make", "--no-print-directory", f"-j{os.cpu_count() or 2}", *(["-k"] if keep_going else []),
               *variables, *targets]
    os.makedirs(path("build"), exist_ok=True)
    with open(path("build", ".make.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, cwd=ROOT, env=env, check=False, text=True, errors="replace",
                              stdout=subprocess.PIPE if capture else None,
                              stderr=subprocess.STDOUT if capture else None)
    return done.returncode, done.stdout or ""


class Stopwatch:
    def __init__(self):
        self.start = time.monotonic()

    def __str__(self):
        return f"{self.seconds():.1f} s"

    def seconds(self):
        return time.monotonic() - self.start


def tail(text, lines=25):
    kept = text.rstrip().splitlines()[-lines:]
    return "\n".join("    | " + line for line in kept)
