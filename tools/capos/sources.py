# SPDX-License-Identifier: MIT
"""The tree's own source files."""
import os

from . import ROOT

TOPS = ("abi", "kernel", "lib", "mach", "user", "tests", "tools", "bench", "manifests", ".ci")


def sources(*endings, tops=TOPS):
    """Paths below the root, sorted, of files with one of the endings."""
    found = []
    for top in tops:
        for folder, dirs, files in os.walk(os.path.join(ROOT, top)):
            dirs[:] = [d for d in dirs if d not in ("__pycache__", "build") and not d.startswith(".")]
            found += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files if f.endswith(endings)]
    return sorted(found)
