#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the simulator finds faults: applies each patch of mutants/ to a copy of the tree, builds it, and plays seeds.

    python3 tests/sim/mutants.py [name...]    every fault must be found within SEEDS seeds; exits 1 otherwise
    python3 tests/sim/mutants.py --fit        whether each patch still applies to the letter, no more

The copy stays in build/mutants, so that a second run builds little.
"""

import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COPY = ROOT / "build" / "mutants"
SEEDS = 10_000


def run(argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, **options)


def copy_tree():
    """Brings the copy up to date; what is equal keeps its time, so that it is not built again."""
    listed = run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True).stdout.splitlines()
    for there in COPY.rglob("*"):
        name = there.relative_to(COPY)
        if there.is_file() and name.parts[0] != "build" and str(name) not in listed:
            there.unlink()  # removed in the tree, or left by a patch
    for name in listed:
        there, here = COPY / name, ROOT / name
        if not here.is_file() or (there.is_file() and there.read_bytes() == here.read_bytes()):
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(here, there)


def build():
    if not (COPY / "build/dev/build.ninja").exists():
        run(["cmake", "--preset", "dev"], cwd=COPY, check=True)
    return run(["cmake", "--build", "--preset", "dev", "--target", "sim", "-j2"], cwd=COPY)


def apply(patch, tree, *options):
    # To the letter: a line that lands elsewhere is another fault, or none.
    return run(["patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch", *options, "-i", str(patch)], cwd=tree)


def judge(patch):
    """Returns what became of one fault: (found, one sentence)."""
    applied = apply(patch, COPY)
    if applied.returncode != 0:
        return False, "the patch does not apply: " + applied.stdout.strip()
    made = build()
    if made.returncode != 0:
        return False, "it does not build: " + made.stdout[-2000:]
    return play()


def play():
    """Plays the seeds in two processes until one finds something."""
    sim = COPY / "build/dev/tests/sim/sim"
    seeds = str(SEEDS)
    parts = [
        subprocess.Popen([sim, "--part", str(i), "2", seeds, seeds], stdout=subprocess.PIPE, text=True) for i in range(2)
    ]
    until = time.monotonic() + 600
    while time.monotonic() < until and not any(p.poll() for p in parts) and any(p.poll() is None for p in parts):
        time.sleep(0.05)
    found = next((p for p in parts if p.poll()), None)
    in_time = all(p.poll() is not None for p in parts)
    for p in parts:
        p.kill()
    if found is None:
        return False, f"no finding in {SEEDS} seeds" if in_time else "no finding in 10 minutes"
    said = found.communicate()[0].strip().splitlines()
    return True, said[0] if said else f"the simulator ended with {found.returncode}"


def main():
    patches = sorted((pathlib.Path(__file__).resolve().parent / "mutants").glob("*.patch"))
    if sys.argv[1:] == ["--fit"]:
        stale = {p.stem: said.stdout for p in patches if (said := apply(p, ROOT, "--dry-run")).returncode != 0}
        print("".join(f"{name}: {said}" for name, said in stale.items()) or f"all {len(patches)} apply")
        return 1 if stale or not patches else 0
    if sys.argv[1:]:
        patches = [p for p in patches if p.stem in sys.argv[1:]]
    missed = 0
    for patch in patches:
        copy_tree()
        found, said = judge(patch)
        missed += 0 if found else 1
        print(f"{'found ' if found else 'MISSED'} {patch.stem}: {said[:200]}", flush=True)
    print(f"{len(patches) - missed} of {len(patches)} faults found")
    return 1 if missed or not patches else 0


if __name__ == "__main__":
    sys.exit(main())
