# SPDX-License-Identifier: MIT
"""run-smp2-smokes: its folder's name, and what it writes of a proof that passes and one that fails."""
import re

from tool import script
from capos import plan, proof

smokes = script("smp2-smokes")


def test_folder():
    assert smokes.folder(0).endswith("target/smp2-smokes/19700101T000000Z")


def test_proofs_exist():
    assert set(smokes.PROOFS) <= {e.name for e in plan.read(proof.PLAN, proof.KEYS)}


def test_report(tmp_path):
    log = tmp_path / "guest.log"
    log.write_text("ok 1\n")
    good = proof.Verdict("park cpus=2", "tools/prove park --cpus 2", 3, [], 1.0, log=str(log))
    bad = proof.Verdict("spawn cpus=2", "tools/prove spawn --cpus 2", 2, ["not ok 3 - gone"], 2.0)
    lines = smokes.report(tmp_path / "out", [good, bad], {"commit": "abc"})
    assert lines[-1] == "1 of 2 passed"
    assert (tmp_path / "out/guest.log").read_text() == "ok 1\n"
    csv = (tmp_path / "out/results.csv").read_text()
    assert re.search(r"park cpus=2,3,0,1.0,true", csv) and re.search(r"spawn cpus=2,2,1,2.0,false", csv)
    summary = (tmp_path / "out/summary.txt").read_text()
    assert "commit: abc" in summary and "not ok 3 - gone" in summary
