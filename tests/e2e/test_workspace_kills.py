# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of runs that write files and run commands, then `conclave resume`: no call is repeated that may have had its
effect, and the files of every answer are, byte for byte, those of a run that nobody disturbed.

A model on loopback does what a careful one would: where it is told that a call may have had its effect it looks at what is there, takes
back what is half done, and does that once more, by calls of its own. Each command writes a word of its own into a log in HOME, which is
no part of an answer; a word that is there twice is a call that was repeated.

CONCLAVE_LONG=1: 100 kills, else 8; every third run is killed twice. CONCLAVE_SEED: where the moments come from.
"""

import asyncio
import collections
import hashlib
import random
import re
import threading
import unittest

import stored
from provider import Provider
from support import *

LONG = "CONCLAVE_LONG" in os.environ
KILLS = 100 if LONG else 8
SEED = int(os.environ.get("CONCLAVE_SEED", "13"))
AGENTS, PARTS = 2, 1
FS, WS, CMD = "mcp__filesystem__", "mcp__workspace_tools__", "mcp__command_line__"
# As the table of docs/workspaces.md and their annotations have it: of these a second time is another effect.
UNSAFE = {FS + "edit_file", FS + "move_file", WS + "delete_file", CMD + "execute_command", CMD + "execute_command_background"}
UNKNOWN = "when the process that made it ended"

# What is done, by the last line about it; what is half done goes. Prints how far it is.
LOOK = r"""
import os, re, shutil
trace = open('trace.txt').read().split('\n')[:-1] if os.path.exists('trace.txt') else []
done = [int(l.split()[1]) for l in trace if l.startswith('done ')]
kept = [l for l in trace if int(l.split()[1]) in done]
for name in os.listdir('.'):
    if re.fullmatch('s[0-9]+', name) and int(name[1:]) not in done:
        shutil.rmtree(name)
if kept != trace:
    open('trace.new', 'w').write(''.join(l + '\n' for l in kept))
    os.rename('trace.new', 'trace.txt')
print('done so far:', max(done, default=0))
"""
# Of a copy of the user's folder: whether it is changed already.
LOOK_PRESENTING = r"""
import os
t = '../target1/'
lines = open(t + 'built.txt').read().split('\n')[:-1] if os.path.exists(t + 'built.txt') else []
if lines != ['built', 'delivered']:
    for name in ('built.txt', 'big.bin', 'moved.txt'):
        if os.path.lexists(t + name):
            os.unlink(t + name)
    if not os.path.exists(t + 'old.txt'):
        open(t + 'old.txt', 'w').write('old\n')
    open(t + 'readme.txt', 'w').write('one draft\n')
print('done so far:', 9 if len(lines) == 2 else 0)
"""


def text_of(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


def big(name):
    return "".join(f"{name} {i} {hashlib.md5(f'{name}{i}'.encode()).hexdigest()}\n" for i in range(1000))


class Model:
    """What it says depends on what it is asked alone."""

    def __init__(self, gap=0.01):
        self.gap, self.refused = gap, []  # results of calls that a run nobody disturbed never gets

    async def __call__(self, provider, request, reply):
        messages, name = request["messages"], request["model"]
        tools = reply.tools()
        own = "agent" + str(int(name[-1]) + 1)
        asked = hashlib.sha256((name + json.dumps(messages, sort_keys=True)).encode()).hexdigest()[:16]

        def shell(command):
            return CMD + "execute_command", {"command": f"echo {asked} >> ~/log\n{command}"}

        presenting = "new_answer" not in tools and "vote" not in tools
        judging = "vote" in tools and any(f"\n<{own}>\n" in text_of(m) or f"\n<{own} (yours)>\n" in text_of(m) for m in messages)
        await asyncio.sleep(self.gap)
        if judging:
            return await reply.play("", [("vote", {"agent_id": "agent1", "reason": "fine"})], self.gap / 4)
        calls = self.next(messages, presenting, shell)
        if calls is None:
            if presenting:
                return await reply.play("the final answer", (), self.gap / 4)
            calls = [("new_answer", {"content": "the answer of " + own + ", see trace.txt"})]
        await reply.play("hm", calls, self.gap / 4)

    def next(self, messages, presenting, shell):
        """The calls of the next reply, or None when all is done."""
        look = [shell(f"exec python3 -c \"{LOOK_PRESENTING if presenting else LOOK}\"")]
        results = [m for m in messages if m["role"] == "tool"]
        if not results:
            return look
        last = max(i for i, m in enumerate(messages) if m.get("tool_calls"))
        asked = {c["id"]: c["function"] for c in messages[last]["tool_calls"]}
        got = [(asked[m["tool_call_id"]], text_of(m)) for m in messages[last:] if m["role"] == "tool"]
        for function, text in got:
            bad = self.bad(function, text)
            if bad:
                self.refused.append((function["name"], bad))
                return look
        # Where it stands: the last look, and the replies with calls since.
        stage, done = 0, 0
        for m in messages:
            for c in m.get("tool_calls") or []:
                if "done so far" in c["function"]["arguments"]:
                    stage = -1
            if m.get("tool_calls"):
                stage += 1
        for m in results:
            found = re.search(r"done so far: (\d+)", text_of(m))
            done = int(found.group(1)) if found else done
        while True:
            plan = ([] if done else self.presentation()) if presenting else self.part(done + 1) if done < PARTS else []
            if stage < len(plan):
                return [shell(c[1]) if c[0] == "shell" else c for c in plan[stage]]
            if presenting or not plan:
                return None
            stage -= len(plan)
            done += 1

    @staticmethod
    def bad(function, text):
        """Why this result is none that a run nobody disturbed gets."""
        if UNKNOWN in text:
            return "unknown"
        if function["name"] == CMD + "execute_command":
            try:
                return "" if json.loads(text)["exit_code"] == 0 else text[:300]
            except (ValueError, KeyError, TypeError):
                return text[:300]
        return text[:300] if text.startswith("Error") or "E_" in text[:100] else ""

    @staticmethod
    def part(k):
        """The replies of one part of the work."""
        s = f"s{k}"
        build = (f"cd {s}; for i in 1 2 3 4; do sha256sum in.txt big.bin > out$i; sleep 0.02; done; chmod +x out1; ln -s out2 link; "
                 f"echo 'built {k}' >> ../trace.txt; sleep 0.02; cat big.bin big.bin > twice.bin")
        return [
            [(FS + "write_file", {"path": f"{s}/in.txt", "content": f"part {k}, draft\n"}), (FS + "write_file", {"path": f"{s}/big.bin", "content": big(s)})],
            [("shell", build)],
            [(FS + "edit_file", {"path": f"{s}/in.txt", "edits": [{"oldText": "draft", "newText": f"the {k}. is final"}]}),
             (FS + "move_file", {"source": f"{s}/twice.bin", "destination": f"{s}/deep/er/moved.bin"}),
             (WS + "copy_file", {"source_path": f"{s}/out3", "destination_path": f"{s}/copied"})],
            [("shell", f"rm {s}/out4; sleep 0.03; echo 'more' >> {s}/in.txt; echo 'done {k}' >> trace.txt; sleep 0.02")],
        ]

    @staticmethod
    def presentation():
        t = "../target1/"
        return [
            [(FS + "read_text_file", {"path": t + "readme.txt"}), (FS + "read_text_file", {"path": t + "old.txt"})],
            [(FS + "edit_file", {"path": t + "readme.txt", "edits": [{"oldText": "draft", "newText": "final"}]}),
             (FS + "move_file", {"source": t + "old.txt", "destination": t + "moved.txt"}),
             (FS + "write_file", {"path": t + "big.bin", "content": big("t")})],
            [("shell", f"sleep 0.03; echo built >> {t}built.txt; sleep 0.03; chmod +x {t}moved.txt; echo delivered >> {t}built.txt; sleep 0.02")],
        ]


class LogWatch:
    """Keeps hold of the logs of commands, which go with their folders when the task ends."""

    def __init__(self, home):
        self.home, self.names, self.over = home, {}, threading.Event()
        (home.path / "logs-of-commands").mkdir()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.over.wait(0.01):
            self.look()

    def look(self):
        try:
            for p in (self.home.path / "home" / "work").glob("*/*/home/log"):
                inode = p.stat().st_ino
                if inode not in self.names:
                    to = self.home.path / "logs-of-commands" / str(inode)
                    os.link(p, to)
                    self.names[inode] = to
        except OSError:
            pass  # it goes just now

    def words(self):
        self.over.set()
        self.thread.join()
        return [w for p in self.names.values() for w in p.read_text().split("\n")[:-1]]


def files_of(store, snapshot):
    """Path -> (kind, SHA-256 of its bytes as they lie there) of a snapshot, read as transports/snapshot_tree.hpp says."""
    out = {}

    def folder(name, where):
        tree = (store / "trees" / name[:2] / name).read_bytes()
        assert hashlib.sha256(tree).hexdigest() == name and tree.startswith(b"tree 1\n"), f"{where}: {name}"
        at = len(b"tree 1\n")
        while at < len(tree):
            kind, size, digest = chr(tree[at]), int.from_bytes(tree[at + 1:at + 9], "little"), tree[at + 9:at + 41].hex()
            end = tree.index(0, at + 41)
            path = where + tree[at + 41:end].decode()
            at = end + 1
            if kind == "d":
                out[path + "/"] = kind
                folder(digest, path + "/")
            else:
                data = (store / "files" / digest[:2] / digest).read_bytes()
                assert len(data) == size, f"{path}: {len(data)} bytes of {size}"
                out[path] = (kind, hashlib.sha256(data).hexdigest())

    folder(snapshot, "")
    return out


class Kills(unittest.TestCase):
    def team(self, home, provider):
        project = home.path / "project"
        project.mkdir()
        (project / "readme.txt").write_text("one draft\n")
        (project / "old.txt").write_text("old\n")
        backend = lambda i: {"type": "chatcompletion", "model": f"model-{i}", "base_url": provider.url + "/v1", "api_key": "k", "cwd": f"w{i}",
                             "enable_mcp_command_line": True, "max_tool_iterations": 200}
        return home.write("team.json", {
            "agents": [{"id": f"m{i}", "backend": backend(i)} for i in range(AGENTS)],
            "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t", "context_paths": [{"path": str(project), "permission": "write"}]}})

    def kept(self, home, label):
        """What lies in the store: (label -> files of it, what is proposed), and the events."""
        shown = home.run("show", "last", "--json")
        self.assertEqual(shown.returncode, 0, f"{label}: {shown.stderr}")
        events, store = events_of(shown.stdout), home.path / "home" / "snapshots"
        self.assertEqual([e for e in events if e["type"] == "snapshot_failed"], [], label)
        taken = {}
        for e in events:
            if e["type"] == "snapshot_taken":
                self.assertNotIn(e["label"], taken, label)
                taken[e["label"]] = files_of(store, e["target"])
            elif e["type"] == "changes_proposed":
                self.assertNotIn("changes", taken, label)
                taken["changes"] = (e["number"], [files_of(store, s) for s in e["labels"]])
        return taken, events

    def calls_once(self, events, bodies, label):
        """Of the calls of one reply none that may have its effect twice is begun twice; every call has one end."""
        begun, ended, of_reply = {}, collections.Counter(), {}
        for e in events:
            if e["type"] == "call_ended":
                ended[e["agent"], e["number"]] += 1
            if e["type"] != "call_started":
                continue
            begun[e["agent"], e["number"]] = e
            seen = of_reply.setdefault(e["agent"], [])
            if e["target"] == "model":
                seen.clear()
            elif e["target"] in UNSAFE:
                what = (e["target"], bodies[e["said"][0]])
                self.assertNotIn(what, seen, f"{label}: made again")
                seen.append(what)
        self.assertEqual({k: n for k, n in ended.items() if n != 1}, {}, label)
        self.assertEqual(begun.keys(), ended.keys(), label)
        return begun

    def one(self, rng, label, events, twice, counts):
        """A run that is killed shortly after one of its `events` (None: it is not), and once more while it is resumed. Returns what it kept,
        and its events."""
        model = Model()
        provider = Provider(model)
        with Home() as home:
            try:
                path = self.team(home, provider)
                before = {p.name: p.read_bytes() for p in (home.path / "project").iterdir()}
                logs = LogWatch(home)
                p = home.start("-c", path, "--json", "--apply", "no", "make it")
                moments = [] if events is None else [rng.randrange(events)] + [rng.randrange(events // 2)] * twice
                kills = 0
                while True:
                    out, said = Lines(p.stdout), None
                    over = not moments
                    try:
                        for _ in range(moments.pop(0) if moments else 100_000):
                            if (said := out.next(time.monotonic() + 120)) is None:
                                over = True
                                break
                    except TimeoutError:
                        self.fail(f"{label}: nothing happens any more")
                    if not over:
                        time.sleep(rng.uniform(0, 0.03))  # the moment is the point
                        over = p.poll() is not None
                    if over:
                        break
                    p.kill()
                    p.communicate()
                    kills += 1
                    logs.look()
                    if not events_of(home.run("list", "--json").stdout):
                        counts["before the task was stored"] += 1
                        p = home.start("-c", path, "--json", "--apply", "no", "make it")
                    else:
                        p = home.start("resume", "last", "--json")
                p.wait(60)
                err = p.stderr.read()
                p.stdout.close(), p.stderr.close()
                if kills:  # what one that was killed at its very end left goes now
                    again = home.run("resume", "last")
                    self.assertIn("the final answer", again.stdout, f"{label}: {again.stderr}")
                self.assertEqual(p.returncode, 0, f"{label}: {err.decode(errors='replace')}")
                words = logs.words()
                kept, log = self.kept(home, label)
                with stored.opened(home) as db:
                    bodies = stored.read(db)[1]
                calls = self.calls_once(log, bodies, label)
                # Commands: no word twice, and one for each that is known to have been carried out.
                self.assertEqual([w for w, n in collections.Counter(words).items() if n > 1], [], f"{label}: commands were repeated")
                for e in log:
                    if e["type"] == "call_ended" and e["target"] == CMD + "execute_command" and e["reason"] == "finished":
                        command = json.loads(bodies[calls[e["agent"], e["number"]]["said"][0]])["command"]
                        self.assertIn(command.split()[1], words, label)
                self.assertEqual({p.name: p.read_bytes() for p in (home.path / "project").iterdir()}, before, f"{label}: the user's folder")
                self.assertEqual(list((home.path / "home" / "work").iterdir()), [], f"{label}: workspaces are left")
                verify_stores(home.path, home.env)
                home.damaged = "it is verified, and deleted"
                self.assertEqual(home.run("rm", "last").returncode, 0)
                left = [p for p in (home.path / "home" / "snapshots").rglob("*") if p.is_file() and p.name != "lock"]
                self.assertEqual(left, [], f"{label}: rm leaves something")
                resumed = sum(e["type"] == "task_resumed" for e in log)
                counts["kills"] += kills
                counts["runs resumed"] += resumed > 0
                counts["resumed twice"] += resumed > 1
                counts["had ended before"] += events is not None and kills == 0
                for e in log:
                    if e["type"] == "call_ended" and e["reason"] == "unknown":
                        counts["open: " + e["target"].split("__")[-1]] += 1
                for name, why in model.refused:
                    counts["told: " + name.split("__")[-1] + ": " + why] += 1
                return kept, len(log)
            finally:
                provider.stop()

    def test_files_of_answers_are_those_of_an_undisturbed_run(self):
        rng, counts = random.Random(SEED), collections.Counter()
        undisturbed, events = self.one(rng, "undisturbed", None, False, counts)
        self.assertEqual(sorted(undisturbed), ["agent1.1", "agent1.final", "agent2.1", "changes"])
        self.assertEqual(sum(counts.values()), 0, counts)
        self.assertEqual(undisturbed["changes"][0], 5, undisturbed["changes"])
        trace = hashlib.sha256("".join(f"built {k}\ndone {k}\n" for k in range(1, PARTS + 1)).encode()).hexdigest()
        for label in ("agent1.1", "agent2.1", "agent1.final"):
            self.assertEqual(undisturbed[label]["trace.txt"], ("f", trace), undisturbed[label])
        for i in range(KILLS):
            label = f"kill {i} of seed {SEED}"
            kept, _ = self.one(rng, label, events, i % 3 == 0, counts)
            self.assertEqual(kept, undisturbed, label)
        print(f"{KILLS} runs of {events} events, seed {SEED}: " + "; ".join(f"{k}: {n}" for k, n in sorted(counts.items())))
        self.assertGreater(counts["runs resumed"], KILLS // 2, "hardly a kill hit anything")


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
