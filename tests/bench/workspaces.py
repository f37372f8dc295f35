# SPDX-License-Identifier: Apache-2.0
"""The figures of workspaces in docs/performance.md: `workspaces.py BUILD [snapshots | many | sandbox | idle ...]`. What is compared is
taken in turns, so that a machine that is busy with other things is as busy for both; still, only the ratios mean much then."""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

FILES, FOLDERS, BYTES = 10_000, 100, 100_000
CHANGED = 10
MANY, SMALL = 200_000, 20
ROUNDS = 9


def row(what, figure, target=""):
    print(f"{what:<62} {figure:>26}   {target}", flush=True)


def seconds(*commands):
    start = time.perf_counter()
    for command in commands:
        subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def settle(folder):
    subprocess.run(["sync", "-f", folder], check=True)


def fill(folder, files, folders, size):
    for i in range(files):
        here = folder / f"d{i % folders:04}"
        if i < folders:
            here.mkdir(parents=True)
        (here / f"f{i:06}").write_bytes(os.urandom(size))


def take(bench, folder, store):
    """Wall seconds of a process that takes a snapshot, and what it says."""
    start = time.perf_counter()
    said = subprocess.run([bench / "snapshots", folder, store], capture_output=True, text=True, check=True).stdout
    wall = time.perf_counter() - start
    keys = ("ms", "files", "bytes", "read", "new", "wrote", "pages", "kib")
    return wall, dict(zip(keys, map(float, re.search(
        r"([\d.]+) ms, (\d+) files, (\d+) bytes, read (\d+) files, wrote (\d+) bytes, (\d+) in all, (\d+) in pages, memory grew (\d+) KiB",
        said).groups())))


def middle(taken):
    return {k: statistics.median(v) for k, v in taken.items()}


def change(folder):
    for i in range(CHANGED):
        (folder / f"d{i:04}" / f"f{i:06}").write_bytes(os.urandom(BYTES))
    time.sleep(2.5)  # what is younger might change again within the same time stamp, and is read at the next scan, too


def snapshots(bench, home):
    source, copy, store = home / "source", home / "copy", home / "store"
    fill(source, FILES, FOLDERS, BYTES)
    taken = {"copy": [], "first": []}
    for i in range(5):
        for what in ("copy", "first") if i % 2 == 0 else ("first", "copy"):
            settle(home)
            if what == "copy":
                taken[what].append(seconds(("cp", "-a", source, copy), ("sync", "-f", copy)))
                shutil.rmtree(copy)
            else:
                taken[what].append(take(bench, source, store)[0])
                shutil.rmtree(store)
                pathlib.Path(f"{store}.scan").unlink()
    m = middle(taken)
    row(f"snapshot of {FILES:,} files, 1 GB; cp -a and sync -f", f"{m['first']:.2f}; {m['copy']:.2f} s = {m['first'] / m['copy']:.2f}x",
        "<= 1.5x")
    settle(home)
    time.sleep(2.5)
    take(bench, source, store)
    taken = {"find": [], "again": [], "inside": [], "copytree": [], "wrote": [], "pages": [], "read": []}
    for i in range(ROUNDS):
        change(source)
        for what in ("find", "again") if i % 2 == 0 else ("again", "find"):
            if what == "find":
                taken[what].append(seconds(("find", source, "-printf", "%p %i %s %T@ %C@ %m\n")))
            else:
                wall, said = take(bench, source, store)
                taken[what].append(wall)
                taken["inside"].append(said["ms"] / 1e3)
                for key in ("wrote", "pages", "read"):
                    taken[key].append(said[key])
        if i < 3:
            start = time.perf_counter()
            shutil.copytree(source, copy)
            taken["copytree"].append(time.perf_counter() - start)
            shutil.rmtree(copy)
            settle(home)
    m = middle(taken)
    row(f"the same with {CHANGED} changed; find -printf", f"{m['again'] * 1e3:.0f}; {m['find'] * 1e3:.0f} ms = {m['again'] / m['find']:.2f}x",
        "<= 3x")
    row("    without the start of a process", f"{m['inside'] * 1e3:.0f} ms = {m['inside'] / m['find']:.2f}x")
    row("    read, written beyond the changed bytes: given; in pages", f"{m['read']:.0f}; {(m['wrote'] - CHANGED * BYTES) / 2**20:.2f}; "
        f"{(m['pages'] - CHANGED * BYTES) / 2**20:.2f} MiB", "<= 1 MiB")
    row("    Python's copytree", f"{m['copytree']:.2f} s = {m['copytree'] / m['again']:.0f}x", ">= 10x")


def many(bench, home):
    source, store = home / "many", home / "many_store"
    fill(source, MANY, 2_000, SMALL)
    time.sleep(2.5)
    for what in ("first", "again"):
        wall, said = take(bench, source, store)
        row(f"snapshot of {MANY:,} files, {what}: memory grows by; wall", f"{said['kib'] / 1024:.1f} MiB; {wall:.1f} s", "< 64 MiB")


def sandbox(build, bench, home):
    said = subprocess.run([bench / "workspace_costs", "sandbox", build / "conclave-sandbox", home / "walls", "101"], capture_output=True,
                          text=True, check=True).stdout
    p50 = {what: float(ms) for what, ms in re.findall(r"^(.*): p50 ([\d.]+) ms", said, re.M)}
    for tier in ("namespaces", "landlock"):
        start, command = p50[f"start {tier}"], p50[f"command {tier}"]
        row(f"sandbox ({tier}) started, with `true` in it; bwrap --unshare-all", f"{start:.1f}; {p50['bwrap']:.1f} ms = {start / p50['bwrap']:.2f}x",
            "<= 1x")
        row("    what a start adds to `true` in one that is there; bwrap to a plain spawn", f"{start - command:.1f}; "
            f"{p50['bwrap'] - p50['plain']:.1f} ms = {(start - command) / (p50['bwrap'] - p50['plain']):.2f}x", "<= 1x")
        row("    bwrap with a view like it", f"{p50['bwrap with a view']:.1f} ms = {start / p50['bwrap with a view']:.2f}x")
        row("    `true` in one that is there; plain spawn", f"{command:.1f}; {p50['plain']:.1f} ms = +{command - p50['plain']:.1f} ms",
            "<= +3 ms, p50")


def idle(bench, home):
    said = subprocess.run([bench / "workspace_costs", "idle", "64", home / "idle"], capture_output=True, text=True, check=True).stdout
    kib, threads = re.search(r"([\d.]+) KiB each, (\d+) threads more", said).groups()
    row("64 idle workspaces, memory each; threads of all", f"{kib} KiB; {threads}", "< 64 KiB")


def rows(build, home, wanted=("snapshots", "many", "sandbox", "idle")):
    bench = build / "tests" / "bench"
    if "snapshots" in wanted:
        snapshots(bench, home)
    if "many" in wanted:
        many(bench, home)
    if "sandbox" in wanted:
        if shutil.which("bwrap"):
            sandbox(build, bench, home)
        else:
            row("sandbox beside bwrap", "bwrap is not installed")
    if "idle" in wanted:
        idle(bench, home)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="conclave-bench-") as folder:
        rows(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(folder), sys.argv[2:] or ("snapshots", "many", "sandbox", "idle"))
