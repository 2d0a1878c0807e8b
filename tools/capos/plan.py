# SPDX-License-Identifier: MIT
"""Plan tables: one entry a line, `NAME key=value ...`, # starts a comment. A value may list several, by commas."""
import os
from dataclasses import dataclass, field


@dataclass
class Entry:
    name: str
    values: dict = field(default_factory=dict)

    def get(self, key, default=""):
        return self.values.get(key, default)

    def list(self, key, default=""):
        return [v for v in self.get(key, default).split(",") if v]

    def numbers(self, key, default=""):
        return [int(v) for v in self.list(key, default)]


def read(file_path, keys):
    """The entries of a table; an unknown key is an error, so that a typo does not quietly mean nothing."""
    entries = []
    if not os.path.exists(file_path):
        return entries
    with open(file_path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            values = {}
            for word in words[1:]:
                key, equals, value = word.partition("=")
                if not equals or key not in keys:
                    raise SystemExit(f"{file_path}:{number}: unknown '{word}' (keys: {' '.join(sorted(keys))})")
                values[key] = value
            entries.append(Entry(words[0], values))
    return entries
