#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules of a task with crash and resume in all interleavings: ledger.pml in this folder, by spin.

    python3 tests/model/run.py              the sizes: each must be complete and without an error
    python3 tests/model/run.py --mutants    the faults of the model: each must be found
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "ledger.pml"
MEMORY_MIB = 2000
DEPTH = 100_000

CALM = {"CALM": 1, "TOOLS": 0, "LOSS": 0, "CANCEL": 0, "DEADLINE": 0}
SIZES = {
    "2 agents, 2 answers, 2 crashes": {"A": 2, "MAXA": 2, "CRASHES": 2},
    "3 agents, 1 answer, 1 crash; any failure is final, no deadline": {
        "A": 3, "MAXA": 1, "CRASHES": 1, "MAXFAIL": 1, "LOSS": 0, "DEADLINE": 0},
    "group commit of 3 decisions; 2 agents, 1 answer, 1 crash": {"A": 2, "MAXA": 1, "CRASHES": 1, "PENDING": 3},
    "calls counted; 3 agents, 2 crashes, nobody improves": {"A": 3, "MAXA": 1, "CRASHES": 2, **CALM},
}
MUTANT_SIZE = {"A": 2, "MAXA": 2, "CRASHES": 1, "LOSS": 0}


def fail(said):
    print(said, flush=True)
    sys.exit(1)


def mutants():
    """The faults as the model names them: number, name, what is wrong."""
    found = re.findall(r"^#define (\w+) +\(MUTANT == (\d+)\) +/\* (.*?) \*/", MODEL.read_text(), re.M)
    return [(int(number), name, text) for name, number, text in found]


def run(argv, folder):
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True)


def figure(pattern, said):
    m = re.search(pattern, said)
    return float(m.group(1)) if m else 0.0


class Search:
    """One complete search of one size in a folder of its own."""

    def __init__(self, folder, options):
        self.folder = folder
        self.flags = [f"-D{k}={v}" for k, v in options.items()]
        shutil.copy(MODEL, pathlib.Path(folder) / MODEL.name)
        made = run(["spin", *self.flags, "-a", MODEL.name], folder)
        if made.returncode != 0 or "Error" in made.stdout:
            fail(f"spin does not take the model:\n{made.stdout}{made.stderr}")
        built = run(["cc", "-w", "-O2", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"], folder)
        if built.returncode != 0:
            fail(f"cc does not build the search:\n{built.stderr}")
        self.said = run(["./pan", f"-m{DEPTH}"], folder).stdout
        self.errors = int(figure(r"errors: (\d+)", self.said)) if "errors:" in self.said else -1
        self.complete = self.errors == 0 and not re.search(r"max search depth too small|Search not completed|memory", self.cut())

    def cut(self):
        """What pan says before its table; there it tells that a search was cut short."""
        return self.said.split("Full statespace search")[0]

    def cause(self):
        m = re.search(r"pan:\d+: (.*) \(at depth", self.said)
        return m.group(1).strip() if m else self.cut().strip()

    def figures(self):
        return (f"{figure(r'([0-9.e+]+) states, stored', self.said):>10,.0f} states"
                f" {figure(r'([0-9.e+]+).total actual memory usage', self.said):>6,.0f} MiB"
                f" {figure(r'elapsed time ([0-9.e+]+) seconds', self.said):>6.1f} s")

    def steps(self):
        """The way to the error, one step a line."""
        told = run(["spin", *self.flags, "-t", "-B", MODEL.name], self.folder).stdout
        return [line.strip() for line in told.splitlines() if line.strip()]


def search_sizes():
    for name, options in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            search = Search(folder, options)
            if not search.complete:
                print(f"FAILED {name} ({' '.join(search.flags)}): {search.cause()}")
                if search.errors > 0:
                    print("\n".join(f"{n:4} {step}" for n, step in enumerate(search.steps(), 1)))
                sys.exit(1)
            print(f"ok     {search.figures()}  {name}", flush=True)


def search_mutants():
    missed = 0
    faults = mutants()
    if len(faults) < 8:
        fail("the model names too few faults: has the form of their definitions changed?")
    for number, name, text in faults:
        with tempfile.TemporaryDirectory() as folder:
            search = Search(folder, {**MUTANT_SIZE, "MUTANT": number})
            found = search.errors > 0
            missed += not found
            print(f"{'found ' if found else 'MISSED'} {name}: {text}: {search.cause() if found else 'no error'}", flush=True)
    if missed:
        fail(f"{missed} of {len(faults)} faults were not found")


def main():
    if sys.argv[1:] not in ([], ["--mutants"]):
        fail(__doc__)
    for tool in ("spin", "cc"):
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed")
            sys.exit(77)
    if sys.argv[1:]:
        search_mutants()
    else:
        search_sizes()


if __name__ == "__main__":
    main()
