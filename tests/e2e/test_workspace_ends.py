# SPDX-License-Identifier: Apache-2.0
"""A run whose agents' commands and tool servers hide what they start in every way, ended at random moments: by kill -9 of the engine or of a
launcher, by Ctrl-C, by `conclave cancel`. No descendant, mount, control group or temporary file stays: how long that takes is printed, and at full
length on a machine that does nothing else it is a second at most. Each limit and each end of a single command: test_sandbox_ends.py.

CONCLAVE_LONG=1: 50 moments, else 6. CONCLAVE_SEED: where they come from. All tiers, a root also as nobody.
"""

import collections
import ctypes
import glob
import random
import shutil
import tempfile
import unittest

from attack_support import NOBODY, tiers_of
from support import *
from test_workspace import CMD, FS, call, step

LONG = "CONCLAVE_LONG" in os.environ
MOMENTS = 50 if LONG else 6
SEED = int(os.environ.get("CONCLAVE_SEED", "13"))
HERE = pathlib.Path(__file__).resolve().parent
PROBE = ROOT / "tests" / "support" / "probe_mcp.py"
PYTHON = "/usr/bin/python3"
WITHIN = 1.0  # seconds in which all is gone


def stat_of(pid):
    """(state, parent, when it began), or None."""
    try:
        rest = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return rest[0], int(rest[1]), int(rest[19])
    except (OSError, IndexError, ValueError):
        return None


def everybody():
    return {int(p): s for p in os.listdir("/proc") if p.isdigit() and (s := stat_of(p))}


def descendants(top):
    """{(pid, when it began): command line} of all below a process that live. Whoever loses its parent comes to the nearest subreaper above,
    so below this process nobody is lost."""
    children = collections.defaultdict(list)
    for p, s in everybody().items():
        children[s[1]].append((p, s))
    out, todo = {}, [top]
    while todo:
        for pid, (state, _, began) in children[todo.pop()]:
            todo.append(pid)
            if state not in "ZX":
                try:
                    line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    line = "?"
                out[pid, began] = line[:120]
    return out


def launchers(top):
    """The processes that speak with the engine: below it, and not below another."""
    serving = lambda line: line.split(" ")[0].endswith("/conclave-sandbox") and (" serve" in line or " exec" in line)
    found = {pid: line for (pid, _), line in descendants(top).items() if serving(line)}
    return sorted(pid for pid in found if (stat_of(pid) or (0, 0))[1] not in found)


def mounts_with(text):
    """Processes in whose view of the file system this is mounted somewhere."""
    out = []
    for p in glob.glob("/proc/[0-9]*/mountinfo"):
        try:
            if text in pathlib.Path(p).read_text():
                out.append(p)
        except OSError:
            pass
    return out


def all_groups():
    return set(glob.glob("/sys/fs/cgroup/**/conclave-[0-9]*", recursive=True))


class Place:
    """A $CONCLAVE_HOME below /var/tmp with what a user needs to run there; TMPDIR is a folder of its own."""

    def __init__(self, who, tier):
        self.who, self.tier, self.before = who, tier, all_groups()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="conclave-ends-", dir="/var/tmp"))
        self.base.chmod(0o755)
        for name in ("bin", "home", "tmp", "tools"):
            (self.base / name).mkdir()
        for binary in (BIN, BUILD / "conclave-sandbox"):
            try:
                os.link(binary, self.base / "bin" / binary.name)
            except OSError:
                shutil.copy(binary, self.base / "bin" / binary.name)
        shutil.copy(PROBE, self.base / "tools" / "probe_mcp.py")
        self.env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(self.base), "TMPDIR": str(self.base / "tmp"), "NO_COLOR": "1",
                    "CONCLAVE_HOME": str(self.base / "home")}
        (self.base / "home").chmod(0o700)
        if who:
            for p in (self.base, self.base / "home", self.base / "tmp"):
                os.chown(p, 65534, 65534)

    def argv(self, *args):
        inner = [*self.who, str(self.base / "bin" / "conclave"), *args]
        return inner if self.tier != 1 else [sys.executable, str(HERE / "attack_support.py"), *inner]

    def start(self, *args):
        return subprocess.Popen(self.argv(*args), cwd=self.base, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)

    def run(self, *args):
        return subprocess.run(self.argv(*args), cwd=self.base, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def groups(self):
        """Control groups of launchers, which are called after them, but for those that were there before."""
        return [g for g in all_groups() if g not in self.before]

    def left_groups(self):
        return [g for g in self.groups() if not os.path.exists("/proc/" + g.rsplit("-", 1)[1])]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.base, ignore_errors=True)


def brood(m):
    """Processes that hide from their shell in every way, and files where all may write."""
    return (f"setsid sleep {m} & nohup sleep {m} >/dev/null 2>&1 & (sh -c 'setsid sleep {m} & exit' &) ; (trap '' TERM HUP INT; sleep {m}) & "
            f"(touch /tmp/{m} /dev/shm/{m}; mktemp) >/dev/null 2>&1; ")


def team(place, marks):
    """Two agents that write files, leave a job behind, start crowds of processes and then wait for long."""
    def backend(n, m):
        crowd = f"{brood(m)} for i in $(seq 30); do sleep {m} & done; "
        command = lambda line, name="execute_command", **more: call(CMD + name, command=crowd + line, **more)
        steps = [step(*[call(FS + "write_file", path=f"big{i}", content=f"{i}" * 100_000) for i in range(3)]),
                 step(*[call("mcp__probe__write_on")] * (place.tier > 0), command("while :; do date > g; done", "execute_command_background")),
                 step(command("exit 0")),
                 step(command("sleep 0.2; exit 3"), call(FS + "write_file", path="small", content="x")),
                 step(command(f"for i in $(seq 200); do date > f$i; done; sleep {m}", timeout=300)),
                 {"text": "", "hang": True, "repeat": 50}]
        return {"type": "scripted", "cwd": f"w{n}", "enable_mcp_command_line": True, "steps": steps, "mcp_tool_timeout_seconds": 300,
                "mcp_servers": {"probe": {"command": PYTHON, "args": [str(place.base / "tools" / "probe_mcp.py")]}},
                "sandbox": {"readable": [str(place.base / "tools")]} if place.tier > 0 else {"mode": "off"}}

    config = {"agents": [{"id": f"m{n}", "backend": backend(n, m)} for n, m in enumerate(marks)],
              "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t"}}
    path = place.base / "team.json"
    path.write_text(json.dumps(config))
    return str(path)


def mark():
    """Part of a command line that no other process has."""
    mark.last += 1
    return f"86400.{os.getpid():07d}{mark.last:03d}"


mark.last = 0


class Ends(unittest.TestCase):
    def gone(self, what, label, since):
        """Waits until nothing is there, and notes how long it took."""
        seen = {}
        while (left := what()) and time.monotonic() - since < 20:
            seen[time.monotonic() - since] = left
            time.sleep(0.01)
        took = time.monotonic() - since
        self.assertFalse(left, f"{label}: there after {took:.1f} s: {left}")
        late = [x for t, x in seen.items() if t > WITHIN]
        self.times.append((took, label + (f": after {WITHIN} s still {late[0]}" if late else "")))

    def here(self):
        for pid, (_, parent, _) in everybody().items():  # as the first process of a machine does with those that come to it
            if parent == os.getpid() and pid != self.engine:
                os.waitpid(pid, os.WNOHANG)
        return {k: v for k, v in descendants(os.getpid()).items() if k not in self.own}

    def astray(self, engine, marks):
        """What commands started and no launcher of this engine holds."""
        held = set().union(*[descendants(x).keys() for x in launchers(engine)], [])
        return {k: v for k, v in self.here().items() if k not in held and v.startswith("sleep ") and any(m in v for m in marks)}

    def one(self, way, user, who, tier, moment, counts):
        label = f"moment {moment:.3f} s, {way}, tier {tier} as {user}, seed {SEED}"
        self.own = descendants(os.getpid())
        marks = [mark(), mark()]
        with Place(who, tier) as place:
            p = place.start("--config", team(place, marks), "--json", "make it")
            pipe, self.engine = Lines(p.stdout), p.pid
            try:
                pipe.until('"call_started"')
            except EOFError:
                self.fail(f"{label}: {p.stderr.read().decode(errors='replace')}")
            if way == "launcher":
                deadline = time.monotonic() + 20
                while not launchers(p.pid):
                    self.assertLess(time.monotonic(), deadline, f"{label}: no launcher comes")
                    time.sleep(0.005)
            time.sleep(moment)  # the moment is the point
            alive = self.here()
            counts["processes at the end"] += len(alive)
            counts["control groups at the end"] += len(place.groups())
            self.assertIsNone(p.poll(), label)
            counts[way] += 1
            if way == "launcher":
                all_of = launchers(p.pid)
                if not all_of:  # between two
                    counts["no launcher then"] += 1
                else:
                    victim = self.rng.choice(all_of)
                    os.kill(victim, signal.SIGSTOP)  # else it starts more between the look and the kill
                    below = descendants(victim)
                    os.kill(victim, signal.SIGKILL)
                    since = time.monotonic()
                    self.gone(lambda: below.keys() & self.here().keys(), label, since)
                    self.gone(lambda: self.astray(p.pid, marks), label, since)
                    self.assertIsNone(p.poll(), f"{label}: the engine ended")
                os.killpg(p.pid, signal.SIGINT)
            elif way == "engine":
                p.kill()
            elif way == "Ctrl-C":
                os.killpg(p.pid, signal.SIGINT)
            else:
                r = place.run("cancel", "last")
                self.assertEqual(r.returncode, 0, f"{label}: {r.stderr}")
            asked = time.monotonic()
            os.set_blocking(p.stdout.fileno(), True)
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, -signal.SIGKILL if way == "engine" else 4, f"{label}: {err}")
            self.ended.append((time.monotonic() - asked, label))
            label += ": " + err.decode(errors="replace")[-600:]
            since = time.monotonic()
            self.gone(self.here, label, since)
            self.gone(place.left_groups, label, since)
            self.gone(lambda: mounts_with(place.base.name), label, since)
            temporary = lambda: [str(x) for m in marks for d in ("/tmp", "/dev/shm") for x in pathlib.Path(d).glob(m)] if tier > 0 else []
            self.gone(temporary, label, since)
            for m in marks:
                for d in ("/tmp", "/dev/shm"):
                    (pathlib.Path(d) / m).unlink(missing_ok=True)
            self.assertEqual(list((place.base / "tmp").iterdir()), [], f"{label}: temporary files")
            work = place.base / "home" / "work"
            if way != "engine":
                self.assertEqual(list(work.iterdir()) if work.exists() else [], [], f"{label}: workspaces are left")
            r = place.run("rm", "last")
            self.assertEqual(r.returncode, 0, f"{label}: {r.stderr}")
            self.assertEqual(list(work.iterdir()) if work.exists() else [], [], f"{label}: rm leaves workspaces")
            left = [x for x in (place.base / "home" / "snapshots").rglob("*") if x.is_file() and x.name != "lock"]
            self.assertEqual(left, [], f"{label}: rm leaves files")
            self.assertEqual(list(place.base.glob("**/.conclave-*")), [], label)

    def test_nothing_is_left_whatever_ends_a_run_and_when(self):
        self.rng, counts = random.Random(SEED), collections.Counter()
        self.times, self.ended = [], []
        users = {"root": [], "nobody": NOBODY} if os.geteuid() == 0 and shutil.which("setpriv") else {"user": []}
        places = []
        for tier in (2, 1, 0):
            for user, who in users.items():
                why = tiers_of(who, tier) if tier else ""
                if why:
                    print(f"skipped: tier {tier} as {user}: {why}")
                else:
                    places.append((user, who, tier))
        ways = ("engine", "launcher", "Ctrl-C", "cancel")
        for i in range(MOMENTS):
            user, who, tier = places[i % len(places)]
            self.one(ways[(i + i // len(places)) % len(ways)], user, who, tier, self.rng.uniform(0, 1.5), counts)
        print(f"{MOMENTS} moments: {dict(counts)}")
        times, (busy, *_) = sorted(self.times), os.getloadavg()
        late = [x for x in times if x[0] > WITHIN]
        print(f"gone after {times[len(times) // 2][0]:.3f} s (median), {times[-1][0]:.3f} s (most), {len(late)} of {len(times)} after more than "
              f"{WITHIN:.0f} s, at a load of {busy:.1f} on {os.cpu_count()} processors", *[f"{t:.3f} s ({x[:400]})" for t, x in late], sep="\n  ")
        print("the run itself ended after at most", *[f"{t:.3f} s ({x})" for t, x in sorted(self.ended)[-3:]], sep="\n  ")
        if LONG and busy <= os.cpu_count():  # where others work, how long it takes is theirs
            self.assertEqual(late, [], f"not within {WITHIN} s")


if __name__ == "__main__":
    need_sandbox()
    if ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
        print("skipped: this process cannot take in orphans")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
