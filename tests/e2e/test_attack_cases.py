# SPDX-License-Identifier: Apache-2.0
"""The numbered attacks (attack_*.py) as tool calls of a scripted agent against the real binary: at both tiers of the sandbox, as root and as
an unprivileged user. Prints what came of each case.

    test_attack_cases.py [BUILD] [TIER/USER ...]      e.g. 2/root 1/nobody; CONCLAVE_LONG: the whole matrix, and long races"""

import os
import sys
import time
import traceback

import attack_cases
from attack_support import BUILD, NOBODY, Deviation, Rig, Skip, tiers_of
from sandbox_support import comes
from support import need_binary

import attack_paths  # noqa: F401  these fill the table
import attack_names  # noqa: F401
import attack_commands  # noqa: F401
import attack_runs

# What the cases are about is not there, so nothing can be tried. Case 45 is about Windows.
NOT_THERE = {
    40: "file systems without case: see tests/protocols/path_policy.cpp", 41: "normal forms of names: see tests/protocols/path_policy.cpp",
    45: "Windows",
    71: "there are no hooks", 72: "there are no hooks, so nothing changes arguments after they were judged",
}


def play(tier, user, who, only, out):
    """One run with all cases. `out`: (case, title, verdict) of each."""
    def attempt(c, number, title, do):
        begun = time.monotonic()
        try:
            do(c)
            verdict = "held"
        except Skip as e:
            verdict = f"skipped: {e}"
        except Deviation as e:
            verdict = f"deviates: {e}"
        except (TimeoutError, EOFError):
            raise  # the run is broken off: nothing that follows would say anything
        except Exception as e:
            verdict = f"FAILED: {type(e).__name__}: {e}"[:700]
            if not isinstance(e, AssertionError):
                traceback.print_exc()
        out.append((number, title, verdict, time.monotonic() - begun))

    def phase(c, name):
        for number, when, title, do in attack_cases.ALL:
            if when == name and (not only or number in only):
                attempt(c, number, title, do)

    with Rig(tier, user, who) as rig:
        (rig.base / "homelink").symlink_to(rig.base / "home")
        rig.env["CONCLAVE_HOME"] = str(rig.base / "homelink")
        c = attack_cases.Cases(rig)
        c.begin(attack_runs.config_of(rig), "--quiet", "--apply", "no")
        phase(c, "first")
        # What goes with the answer: links that lead out, a file that is written all the time, paths of the workspace in the text.
        c.put("d29/f")
        c.link("d29/out", "{OUT}/secret")
        c.link("d29/outdir", "{OUT}/dir")
        c.allows("execute_command_background", command="while :; do for x in a b c; do head -c 8192 /dev/zero | tr '\\0' $x > n; mv n busy; done; done")
        assert comes(lambda: (c.work / "busy").exists())
        c.bob.call("write_file", path="mine.txt", content="of bob\n")
        c.ann.answer(f"see {c.work}/a.txt and {c.work}0/b.txt")
        c.bob.answer("of bob"), c.cat.answer("of cat")
        for a in (c.ann, c.bob, c.cat):
            a.wait()
        phase(c, "vote")
        for a in (c.ann, c.bob, c.cat):
            a.vote()
        c.ann.wait()
        phase(c, "final")
        c.ann.say("the end")
        rig.process.wait(60)
        phase(c, "after")
        phase(c, "alone")
        for line in getattr(c, "races", []):
            print(f"  race {line}")


def matrix():
    users = {"root": [], "nobody": NOBODY} if os.geteuid() == 0 else {"user": []}
    everything = [(t, u) for t in (2, 1) for u in users]
    asked = [(int(a.split("/")[0]), a.split("/")[1]) for a in sys.argv[2:] if "/" in a]
    if asked:
        return [(t, u, users[u]) for t, u in asked]
    short = everything if "CONCLAVE_LONG" in os.environ or len(users) == 1 else [(2, "root"), (1, "nobody")]
    return [(t, u, users[u]) for t, u in short]


def main():
    sys.stdout.reconfigure(line_buffering=True)
    need_binary()
    if not (BUILD / "conclave-sandbox").exists():
        print("skipped: conclave-sandbox is not built")
        return 77
    only = {int(a) for a in sys.argv[2:] if a.isdigit()}
    rows, failed, ran = [], 0, 0
    for tier, user, who in matrix():
        why = tiers_of(who, tier)
        if why:
            print(f"skipped: tier {tier} as {user}: {why}")
            continue
        ran += 1
        out = []
        begun = time.monotonic()
        try:
            play(tier, user, who, only, out)
        except Exception as e:
            traceback.print_exc()
            out.append((0, "the run", f"FAILED: {e}", 0))
        print(f"tier {tier} as {user}: {len(out)} rows in {time.monotonic() - begun:.1f} s")
        for number in sorted({o[0] for o in out}):
            mine = [o for o in out if o[0] == number]
            bad = [o for o in mine if o[2] != "held"]
            rows.append((number, tier, user, bad[0][2].split(":")[0] if bad else "held", f"{len(mine)} rows" if len(mine) > 1 else mine[0][1]))
            for _, title, verdict, _ in bad:
                print(f"  case {number}: {title}\n    {verdict}")
                failed += verdict.startswith("FAILED")
        for number, title, _, seconds in sorted(out, key=lambda o: -o[3])[:5]:
            print(f"  {seconds:.1f} s: case {number}: {title}")
        if not only:
            missing = set(range(1, 109)) - {o[0] for o in out} - NOT_THERE.keys()
            if missing:
                print(f"no row for cases {sorted(missing)}")
                failed += 1
    if not ran:
        return 77
    print(f"{'case':>4}  {'tier':>4}  {'user':<8}{'verdict':<10}")
    for number, tier, user, verdict, title in sorted(rows):
        print(f"{number:>4}  {tier:>4}  {user:<8}{verdict:<10}{title}")
    if not only:
        for number, why in NOT_THERE.items():
            print(f"{number:>4}  {'-':>4}  {'-':<8}{'void':<10}{why}")
    print(f"{failed} rows failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
