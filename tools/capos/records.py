# SPDX-License-Identifier: MIT
"""Files of results: what they say of where they come from, writing them, and reading them with errors that name file and line."""
import csv
import json
import os
import platform
import re
import subprocess
import time

from . import path, qemu, relative

# --- where results come from -------------------------------------------------------------------------------------------

def first_line(*command):
    try:
        return subprocess.run(command, cwd=path(), capture_output=True, text=True, check=False).stdout.split("\n")[0].strip()
    except OSError:
        return "?"


def read(file):
    try:
        with open(file, encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return ""


def topology(cpus):
    """One line on the host CPUs named ("0,1"): physical cores or SMT siblings."""
    cores = [(read(f"/sys/devices/system/cpu/cpu{c}/topology/physical_package_id"),
              read(f"/sys/devices/system/cpu/cpu{c}/topology/core_id")) for c in cpus]
    kind = "one per physical core" if len(set(cores)) == len(cores) else "with SMT siblings"
    return f"{len(cores)} CPUs on {len(set(cores))} cores, {kind}"


def cpu_list(text):
    """[0, 1, 4] of "0-1,4"."""
    out = []
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        out += range(int(low), int(high or low) + 1)
    return out


def host(host_cpus="", **more):
    """Ordered facts about the host and the tools, for a summary or a file of results."""
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    dirty = " with changes" if first_line("git", "status", "--porcelain", "--untracked-files=no") else ""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": first_line("git", "rev-parse", "HEAD") + dirty,
        "host cpu": model[1] if model else platform.processor(),
        "host cpus": topology(cpu_list(read("/sys/devices/system/cpu/online"))),
        "host kernel": platform.release(),
        "load before": read("/proc/loadavg"),
        "qemu taskset cpus": f"{host_cpus} ({topology(cpu_list(host_cpus))})" if host_cpus else "none",
        "qemu": first_line("qemu-system-x86_64", "--version"),
        "accelerator": "kvm" if qemu.has_kvm() else "tcg",
        "compiler": first_line("gcc", "--version"),
        **more,
    }


# --- writing ----------------------------------------------------------------------------------------------------------

def write_csv(file, rows):
    with open(file, "w", encoding="ascii", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def write_json(file, value):
    with open(file, "w", encoding="ascii") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def write_bench(name, rows, folder=path("build", "bench"), **more):
    """build/bench/NAME.json: rows, and where they come from, for tools/report. A test names a folder of its own: what is in that one
    was measured."""
    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, f"{name}.json"), {"host": host(**more), "rows": rows})


# --- reading ----------------------------------------------------------------------------------------------------------

class Broken(Exception):
    """A file of results that can't be read."""


class Row(dict):
    """A record of a file of results, and where it stands."""
    def __init__(self, values, file, line):
        super().__init__(values)
        self.file, self.line = file, line

    def broken(self, why):
        return Broken(f"{relative(self.file)}:{self.line}: {why}")

    def text(self, name):
        if not isinstance(self.get(name), str):
            raise self.broken(f"no text '{name}'" if name not in self else f"'{name}' is {self[name]!r}, not a text")
        return self[name]

    def maybe(self, name):
        """The number, or None where the field is empty: nothing was measured."""
        return None if self.get(name) in (None, "") and name in self else self.number(name)

    def number(self, name):
        if name not in self:
            raise self.broken(f"no field '{name}'")
        try:
            if isinstance(self[name], bool):
                raise ValueError
            value = float(self[name])
            if value != value or abs(value) == float("inf"):
                raise ValueError
        except (TypeError, ValueError):
            raise self.broken(f"'{name}' is {self[name]!r}, not a number") from None
        return value

    def pair(self, name):
        value = self.get(name)
        if not isinstance(value, list) or len(value) != 2 or not all(isinstance(v, (int, float)) for v in value):
            raise self.broken(f"'{name}' is {value!r}, not an interval")
        return value

    def inner(self, name):
        if not isinstance(self.get(name), Row):
            raise self.broken(f"no record '{name}'")
        return self[name]

    def rows(self, name):
        value = self.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(v, Row) for v in value):
            raise self.broken(f"no records '{name}'")
        return value


def opened(file):
    try:
        with open(file, encoding="utf-8") as f:
            return f.read()
    except UnicodeDecodeError as error:
        raise Broken(f"{relative(file)}: not text: {error}") from None


def read_json(file):
    """The object of a file; each object in it is a Row."""
    text = opened(file)

    def parse(state, *rest, **more):
        values, end = json.decoder.JSONObject(state, *rest, **more)
        return Row(values, file, text.count("\n", 0, state[1]) + 1), end

    decoder = json.JSONDecoder()
    decoder.parse_object = parse
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # the one in C does not call parse
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Broken(f"{relative(file)}:{error.lineno}: {error.msg}") from None
    if not isinstance(value, Row):
        raise Broken(f"{relative(file)}:1: not an object")
    return value


def read_csv(file, columns):
    """The rows of a file that has at least these columns."""
    lines = csv.reader(opened(file).splitlines())
    header = next(lines, [])
    if lacking := [c for c in columns if c not in header]:
        raise Broken(f"{relative(file)}:1: no column '{lacking[0]}'")
    found = []
    for cells in lines:
        row = Row(zip(header, cells), file, lines.line_num)
        if len(cells) != len(header):
            raise row.broken(f"{len(cells)} fields, not {len(header)}")
        found.append(row)
    if not found:
        raise Broken(f"{relative(file)}:2: no rows")
    return found
