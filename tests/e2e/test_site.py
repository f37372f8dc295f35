# SPDX-License-Identifier: Apache-2.0
"""Three agents build one site: each its own version, then they read each other's files, one joins them, they vote, the winner delivers, the user
applies and takes back. Models are played on loopback and every prompt is kept: whatever an agent looks at, it is told no id of an agent, no
name of a node and no path but of its own place. Beside it what files add to the ways a task can go."""

import base64
import hashlib
import html.parser
import re
import unittest

from attack_support import __file__ as WITHOUT_NAMESPACES
from attack_support import tiers_of
from played import CMD, FS, WS, Played, Until, answer, call, command, leaks, told, vote
from support import *
from test_node import Node
from test_workspace import tree

# What no agent may learn: the ids of all, and the name of a node.
QUARTZ, BASALT, OBSIDIAN, NODE = "quartz-frontend", "basalt painter", "Obsidian_42", "granite-cellar"
IDS = {"m1": QUARTZ, "m2": BASALT, "m3": OBSIDIAN}
NEVER = ["quartz", "basalt", "obsidian", "granite"]
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
JPG = bytes(range(256)) * 64  # any bytes: an image is not text
PAGE = """<!doctype html><title>%s</title><link rel="stylesheet" href="css/site.css"><script src="js/site.js"></script>
<h1>%s</h1><img src="img/logo.png"><a href="about.html">about</a>
"""
PLAIN = {"snapshot_storage": "s", "agent_temporary_workspace": "t"}


def snoop(run):
    """Everything by which a run could learn where it is and who else there is."""
    look = ("pwd; id -un; env; ls -la / . .. ../.. ../../.. ../../../.. ../view ../view/*; find .. ../../.. -maxdepth 6 | head -500; "
            "cat /proc/self/mountinfo /proc/self/cgroup /proc/self/environ /proc/1/cmdline /proc/*/cmdline; readlink -f . ../view ../view/*; "
            "git config --list --show-origin; stat -c '%n %U %G' . .. ../view ../view/*; true")
    yield from (command(look), call(FS + "list_allowed_directories"), call(FS + "directory_tree", path="."), call(FS + "directory_tree", path="../view"),
                call(FS + "list_directory_with_sizes", path="../view"), call(FS + "search_files", path="../view", pattern="*"),
                call(FS + "get_file_info", path="../view"), call(FS + "list_directory", path=".."), call(FS + "directory_tree", path="../.."),
                call(FS + "list_directory", path="../../../.."), call(FS + "read_text_file", path="../home/.profile"),
                call(FS + "write_file", path="../view/agent1/mine.txt", content="no"), call(FS + "get_file_info", path="../nothing"),
                call(WS + "compare_directories", dir1="../view", dir2="."))


def write(path, content):
    return call(FS + "write_file", path=path, content=content)


def bytes_to(path, data):
    return command(f"mkdir -p $(dirname {path}) && echo {base64.b64encode(data).decode()} | base64 -d > {path} && wc -c < {path}")


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.to = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.to += [v for k, v in attributes if k in ("href", "src")]


def places_shown(case, run, *shown):
    """Of a run that judges: tag, choice, list of files, folder and the places that answers name are of the same agents."""
    want = sorted(shown)
    case.assertEqual(re.findall(r"^<(agent\d+)(?: \(yours\))?>$", run.asked, re.M), want)
    case.assertEqual(re.findall(r"^  (agent\d+)/$", run.system, re.M), want)
    if run.kind == "judge":
        case.assertEqual(run.tools["vote"]["parameters"]["properties"]["agent_id"]["enum"], want)
    case.assertEqual(sorted(p.name for p in pathlib.Path(run.view).iterdir()), want)
    answers, reasons = (run.asked + "\nYour answer got").split("\nYour answer got")[:2]
    for text, kept in ((answers, True), (reasons, False)):  # what was made while judging is named in a reason and lies nowhere
        for path in re.findall(r"(?<![\w/])(?:file://)?(/[^\s/]\S*/view/\S+?)(?=[,;.]?(?:\s|$))", text):
            case.assertTrue(path.startswith(run.view + "/") and (not kept or os.path.exists(path)), path)


class Site:
    """The scripts of the three, and what they found. `who`: the number of the agent."""

    def __init__(self, case, project):
        self.case, self.project, self.found, self.names = case, project, {}, set()

    def scripts(self):
        return {f"m{i}": (lambda run, i=i: self.play(run, i)) for i in (1, 2, 3)}

    def note(self, run, what, results):
        self.found.setdefault((run.model, run.number, what), []).extend(results)

    def play(self, run, i):
        home = pathlib.Path(run.place).parent.parent.parent
        self.names |= {p for base, folders, files in os.walk(home / "work") for p in [*folders, *files]}
        self.note(run, "snoop", (yield list(snoop(run))))
        own = str(self.project / "index.html")
        self.note(run, "denied", (yield [call(FS + "read_text_file", path=own), write(own, "no"), write(str(self.project / "new.html"), "no"),
                                         command(f"echo no > {own}; rm -rf {self.project}; cat {self.project}/.env; true")]))
        yield from getattr(self, run.kind)(run, i)

    def first(self, run, i):
        if i == 1:
            made = [write("index.html", PAGE % ("One", "Version one")), write("js/site.js", "document.title += '!';\n"),
                    write("about.html", "<!doctype html><p>about</p>\n"), bytes_to("img/logo.png", PNG)]
        elif i == 2:
            made = [write("css/site.css", "h1 { color: teal }\n"), write("index.html", PAGE % ("Two", "Version two"))]
        else:
            made = [bytes_to("img/photo.jpg", JPG), write("gallery.html", '<img src="img/photo.jpg">\n'), write("secret-plan.txt", "gone before the answer")]
        self.note(run, "made", (yield made))
        if i == 3:
            yield [call(WS + "delete_file", path="secret-plan.txt")]
        page = {1: "index.html", 2: "css/site.css", 3: "gallery.html"}[i]
        yield answer(f"My page is {run.work}/{page}, to be opened as file://{run.work}/{page}. I kept notes in {run.place}/home/notes, see also "
                     f"{run.place}.")

    def judge(self, run, i):
        places_shown(self.case, run, "agent1", "agent2", "agent3")
        self.note(run, "read", (yield [
            call(FS + "read_text_file", path=f"{run.view}/agent1/index.html"), call(FS + "read_text_file", path="../view/agent2/css/site.css"),
            call(FS + "read_multiple_files", paths=[f"{run.view}/agent{k}/index.html" for k in (1, 2)]),
            call(WS + "compare_files", file1="../view/agent1/index.html", file2="../view/agent2/index.html"),
            call(WS + "compare_directories", dir1="../view/agent1", dir2="../view/agent3"), command("sha256sum ../view/agent3/img/*")]))
        if i != 2 or run.number == 3:
            yield [write("scratch.txt", "what I think of it"), command("echo more >> scratch.txt")]
            yield vote("agent1" if run.number == 2 else "agent2", f"I looked at {run.view}/agent2/index.html and tried it in {run.work}/scratch.txt")
            return
        self.note(run, "took", (yield [
            call(WS + "copy_files_batch", source_base_path="../view/agent1", destination_base_path="", overwrite=True),
            call(WS + "copy_file", source_path=f"{run.view}/agent3/img/photo.jpg", destination_path="img/photo.jpg"),
            call(WS + "copy_file", source_path="../view/agent3/gallery.html", destination_path="gallery.html"),
            call(FS + "read_text_file", path="index.html")]))
        yield [write("index.html", PAGE % ("Three", "Version three") + '<a href="gallery.html">gallery</a>\n')]
        self.note(run, "joined", (yield [call(FS + "read_text_file", path="index.html"), call(FS + "directory_tree", path=".")]))
        yield answer(f"All of it: {run.work}/index.html with the pictures of {run.view}/agent3/img.")

    def present(self, run, i):
        places_shown(self.case, run, "agent1", "agent2", "agent3")
        to = run.place + "/target1"
        self.note(run, "target", (yield [call(FS + "read_text_file", path=f"{to}/index.html"), call(FS + "read_text_file", path=f"{to}/stale.css"),
                                         call(FS + "read_text_file", path=f"{to}/img/logo.png"), call(FS + "directory_tree", path=".")]))
        self.note(run, "delivered", (yield [call(WS + "deliver_files", source_path=".", destination_path=to), write(f"{to}/keep.txt", "no"),
                                            write(f"{to}/.env", "no"), call(WS + "delete_file", path=f"{to}/stale.css"),
                                            command(f"echo no > {to}/keep.txt; cmp img/photo.jpg {to}/img/photo.jpg && echo same")]))
        yield f"The site is in {to}, from {run.work}/index.html."


class OneSite(unittest.TestCase):
    def built(self, tier):
        with Home() as home:
            (home.path / "home").rename(home.path / "real")
            (home.path / "home").symlink_to("real")  # paths are ours by either name
            project = home.path / "project"
            (project / "img").mkdir(parents=True)
            for name, text in {"index.html": "<p>old</p>\n", "stale.css": "p {}\n", "keep.txt": "keep\n", ".env": "KEY=songbird-of-site-4711\n", "deploy.sh": "#!/bin/sh\n"}.items():
                (project / name).write_text(text)
            (project / "deploy.sh").chmod(0o755)
            (project / "img" / "logo.png").write_bytes(b"\x89PNG\0old!")
            before = tree(project)
            site = Site(self, project)
            with Played(site.scripts()) as played:
                team = {"agents": [{"id": IDS[m], "backend": played.backend(m, cwd=f"of-{IDS[m].split()[0]}", enable_mcp_command_line=True)} for m in IDS],
                        "orchestrator": {**PLAIN, "context_paths": [{"path": str(project), "permission": "write", "protected_paths": ["keep.txt"]}]}}
                argv = [str(BIN), "--config", home.write("team.json", team), "--apply", "no", "-q", "Build a small web site"]
                r = subprocess.run(argv if tier == 2 else [sys.executable, WITHOUT_NAMESPACES, *argv], cwd=home.path, env={**home.env, "TEST_KEY": "sk-x"},
                                   capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
                self.assertEqual((r.returncode, played.faults), (0, []), r.stdout + r.stderr)
                self.assertEqual(tree(project), before, "a run wrote into the user's folder")
                self.judge(home, played, site, r.stdout)
            self.deliver(home, project, before)

    def judge(self, home, played, site, said):
        """Every prompt, with all results in it, of every run."""
        places = {m: {r.place for r in played.of(m)} for m in IDS}
        self.assertEqual([len(p) for p in places.values()], [1, 1, 1])
        every = [p for one in places.values() for p in one]
        homes = [home.path / "real", home.path / "home"]
        self.assertGreater(len(played.requests), 3 * 3 * 4)
        for request in played.requests:
            [own] = places[request["model"]]
            self.assertEqual(leaks(told(request), NEVER, homes, every, own), [], request["model"])
            self.assertNotIn("songbird-of-site", told(request))
            self.assertIn(own, told(request))  # what is looked for would be found
        for name in site.names:
            self.assertEqual([w for w in NEVER if w in name.lower()], [], "a name on the disk")
        self.assertEqual(leaks(said, NEVER, homes, every, ""), [])
        self.assertIn(str(site.project), said, "the copy is told as the user's folder")
        found = site.found
        self.assertEqual({m: len(played.of(m)) for m in IDS}, {"m1": 3, "m2": 4, "m3": 3})
        for (model, number, what), results in found.items():
            if what == "denied":
                self.assertEqual(results[0], "<p>old</p>\n")
                self.assertTrue(all("E_READONLY" in x for x in results[1:3]), results)
            elif what == "read":
                joined = number == 3
                self.assertIn("Version one", results[0])
                self.assertEqual(results[1], "h1 { color: teal }\n")
                self.assertIn("Version three" if joined else "Version two", results[2])
                self.assertIn(hashlib.sha256(JPG).hexdigest(), results[5])
            elif what == "snoop":  # what was made while judging goes with no answer
                shown = results[3] + results[5]
                self.assertFalse("scratch" in shown or "secret-plan" in shown, shown)
                self.assertTrue(number == 1 or "gallery.html" in shown, shown)
                self.assertEqual([re.search("E_[A-Z]+", x).group() for x in results[7:11]], ["E_OUTSIDE"] * 4, results[7:11])
                self.assertIn("E_READONLY", results[11])
        asked = played.of("m1", "judge")[0].asked
        self.assertIn(f"My page is {played.of('m1')[0].view}/agent3/gallery.html, to be opened as file://{played.of('m1')[0].view}/agent3/gallery.html.", asked)
        presenter = played.of("m2", "present")[0]
        self.assertEqual({"vote", "new_answer"} & presenter.tools.keys(), set())
        self.assertIn(f"I looked at {presenter.view}/agent2/index.html and tried it in ", presenter.asked)
        self.assertNotIn("scratch", found["m2", 4, "target"][3], "who presents starts from its answer")
        self.assertIn("binary file of 9 bytes", found["m2", 4, "target"][2])  # so it may be replaced
        self.assertIn('"added":5,"modified":2,"identical":0,"skipped":0,"errors":0', found["m2", 4, "delivered"][0])
        self.assertIn("same", found["m2", 4, "delivered"][4])
        self.assertEqual([re.search("E_[A-Z]+", x).group() for x in found["m2", 4, "delivered"][1:3]], ["E_PROTECTED", "E_EXCLUDED"])

    def deliver(self, home, project, before):
        names = home.run("diff", "last", "--name-only")
        self.assertEqual([x.split()[-1] for x in names.stdout.splitlines()[1:] if not x.endswith("/")],
                         ["about.html", "css/site.css", "gallery.html", "img/logo.png", "img/photo.jpg", "index.html", "js/site.js", "stale.css"], names.stdout)
        applied = home.run("apply", "last")
        self.assertEqual(applied.returncode, 0, applied.stderr)
        self.assertEqual(((project / "img/logo.png").read_bytes(), (project / "img/photo.jpg").read_bytes()), (PNG, JPG))
        self.assertEqual(((project / "keep.txt").read_text(), (project / "deploy.sh").stat().st_mode & 0o777, (project / "stale.css").exists()), ("keep\n", 0o755, False))
        for page in ("index.html", "gallery.html"):
            for to in Links((project / page).read_text()).to:
                self.assertTrue((project / to).is_file(), f"{page} leads to {to}")
        for p in project.rglob("*"):
            if p.is_file() and p.name != ".env":
                data = p.read_bytes().decode("latin-1")
                self.assertEqual(leaks(data, NEVER, [home.path], [], ""), [], p)
            self.assertEqual([w for w in NEVER if w in str(p.relative_to(project)).lower()], [])
        undone = home.run("undo", "last")
        self.assertEqual((undone.returncode, tree(project)), (0, before), undone.stderr)

    def test_three_agents_build_one_site_and_learn_nothing_of_each_other(self):
        for tier in (2, 1):
            lacks = tiers_of([], tier)
            with self.subTest(tier=tier):
                if lacks:
                    self.skipTest(f"skipped: tier {tier}: {lacks}")
                self.built(tier)


SERVER = """import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if 'id' not in m:
        continue
    r = {}
    if m['method'] == 'initialize':
        r = {'protocolVersion': m['params']['protocolVersion'], 'capabilities': {'tools': {}}, 'serverInfo': {'name': 'press', 'version': '1'}}
    if m['method'] == 'tools/list':
        r = {'tools': [{'name': 'publish', 'inputSchema': {'type': 'object', 'properties': {'what': {'type': 'string'}}}}]}
    if m['method'] == 'tools/call':
        open(sys.argv[1], 'a').write(m['params']['arguments']['what'] + '\\n')
        r = {'content': [{'type': 'text', 'text': 'published'}]}
    print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)
"""


STORY = {"session_start", "context_received", "new_answer", "restart_triggered", "restart_completed", "vote_ignored", "final_round_start",
         "final_agent_selected", "final_answer", "session_end", "task_ended"}


class Ways(unittest.TestCase):
    """What files add to the ways a task can go."""

    def ran(self, home, played, agents, *more, settings=None, **top):
        members = [{"id": IDS.get(m, m), **a} for m, a in agents.items()]
        team = {"agents": members, "orchestrator": {**PLAIN, **(settings or {})}, **top}
        r = home.run("--config", home.write("team.json", team), "--apply", "no", *more, "make it", env={"TEST_KEY": "sk-x"}, timeout=120)
        self.assertEqual((r.returncode, played.faults), (0, []), r.stdout + r.stderr)
        return r

    def test_agents_that_plan_act_once_and_in_the_presentation_alone(self):
        with Home() as home:
            home.write("press.py", SERVER)
            log = home.path / "published"
            found = []

            def script(run):
                results = yield [call("mcp__press__publish", what=f"in {run.kind}"), write("plan.txt", "x"), command("touch made")]
                found.append((run.kind, results, sorted(p.name for p in pathlib.Path(run.work).iterdir())))
                if run.kind == "present":
                    yield "published it"
                yield vote("agent1") if run.kind == "judge" else answer(f"publish, then done, by {run.model}")

            with Played({m: script for m in ("m1", "m2")}) as played:
                press = {"press": {"command": "python3", "args": [str(home.path / "press.py"), str(log)], "sandbox": "off"}}
                self.ran(home, played, {m: {"backend": played.backend(m, cwd=m, enable_mcp_command_line=True, mcp_servers=press)} for m in ("m1", "m2")},
                         settings={"coordination": {"enable_planning_mode": True, "planning_mode_instruction": "Only plan, with the word marmalade."}})
                self.assertEqual([k for k, _, _ in sorted(found)], ["first", "first", "judge", "judge", "present"])
                for kind, results, files in found:
                    if kind == "present":
                        self.assertEqual((results[0], files), ("published", ["made", "plan.txt"]))
                    else:
                        self.assertEqual([("E_PLANNING" in x) for x in results], [True] * 3, results)
                        self.assertEqual(files, [])
                self.assertEqual(log.read_text(), "in present\n")
                for run in played.runs:
                    self.assertEqual("marmalade" in run.system, run.kind != "present")
                    self.assertEqual("vote" in run.tools or "new_answer" in run.tools, run.kind != "present")
                    self.assertIn("mcp__press__publish", run.tools)

    def test_files_of_a_run_that_was_sent_back_stay_its_own_and_numbers_are_of_the_registration(self):
        """pacing: eager. The last of three answers while the others are in their first run; what they hand in then is stale, and would be corrected."""
        with Home() as home:
            found, drafts = {}, []

            def script(run):
                i = int(run.model[1])
                if run.kind == "first":
                    drafts.extend((yield [write(f"draft-{i}.txt", f"draft of {i}")]))
                    if i == 3:
                        yield Until(lambda: len(drafts) == 3)
                        yield answer(f"see {run.work}/draft-3.txt")
                    yield Until(lambda: len(played.of("m3")) > 1)
                    yield answer("too long " * 200)
                if run.kind == "judge":
                    if run.number == 2:
                        places_shown(self, run, "agent3")
                        found[i] = yield [call(FS + "directory_tree", path="."), call(FS + "read_text_file", path=f"{run.view}/agent3/draft-3.txt"),
                                          call(FS + "read_text_file", path="../view/agent1/draft-1.txt")]
                    yield vote("agent3")
                yield "the end"

            with Played({m: script for m in IDS}) as played:
                self.ran(home, played, {m: {"backend": played.backend(m, cwd=f"of-{m}")} for m in IDS}, settings={"pacing": "eager", "max_answer_bytes": 1000})
                self.assertEqual(sorted(found), [1, 2, 3])
                for i, (files, draft, other) in found.items():
                    self.assertIn(f"draft-{i}.txt", files)
                    self.assertEqual(draft, "draft of 3")
                    self.assertIn("is not there", other)
                for m in ("m1", "m2"):
                    self.assertEqual([r.kind for r in played.of(m)][:2], ["first", "judge"], "no fresh run")
                shown = home.run("show", "last", "--files").stdout
                self.assertEqual(set(re.findall(r"draft-\d", shown)), {"draft-3"}, "a draft went with an answer")

    def test_what_is_recorded_of_a_consensus_with_files(self):
        with Home() as home:
            def script(run):
                if run.kind == "present":
                    yield [write("final.txt", "final")]
                    yield "the end"
                if run.model == "m1" and run.kind == "first":
                    yield [write("a.txt", "a")]
                    yield answer("A")
                if run.kind == "first":
                    yield Until(lambda: len(played.of("m1")) > 1)
                    yield answer("too long " * 200)
                if run.model == "m1":
                    yield Until(lambda: len(played.of("m2")) > 1)
                yield vote("agent1")

            with Played({m: script for m in ("m1", "m2")}) as played:
                self.ran(home, played, {m: {"backend": played.backend(m, cwd=m)} for m in ("m1", "m2")}, settings={"pacing": "eager", "max_answer_bytes": 1000})
            logs = next((home.path / "home" / "logs").glob("*"))
            told_of = [(e["type"], e.get("agent"), e.get("label"), e.get("labels")) for e in events_of((logs / "events.jsonl").read_text())]
            first, second = IDS["m1"], IDS["m2"]
            story = [x for x in told_of if x[0] in STORY]
            story[1:3] = sorted(story[1:3], key=lambda x: x[1] != first)  # whose workspace is ready first begins first
            self.assertEqual(story, [
                ("session_start", None, None, [first, second]), ("context_received", first, None, None), ("context_received", second, None, None),
                ("new_answer", first, "agent1.1", None), ("restart_triggered", first, None, [first, second]), ("restart_completed", first, None, None),
                ("context_received", first, None, ["agent1.1"]), ("restart_completed", second, None, None), ("context_received", second, None, ["agent1.1"]),
                ("final_round_start", first, None, None), ("final_agent_selected", first, None, ["agent1.1"]), ("context_received", first, None, ["agent1.1"]),
                ("final_answer", first, "agent1.final", None), ("session_end", None, None, None), ("task_ended", None, None, None)], told_of)
            votes = sorted((x[1], x[2]) for x in told_of if x[0] == "vote_cast")
            self.assertEqual(votes, [(second, "agent2.vote1"), (first, "agent1.vote1")])
            labels = json.loads((logs / "snapshot_mappings.json").read_text())
            self.assertEqual({k: v["path"] is not None for k, v in labels.items()}, {"agent1.1": True, "agent1.vote1": False, "agent2.vote1": False, "agent1.final": True})
            for v in labels.values():
                self.assertTrue(v["path"] is None or (home.path / "home" / v["path"]).is_file(), v)
            self.assertEqual([w for w in NEVER if w in json.dumps(labels).lower()], [])

    def test_an_answer_that_names_its_own_place_is_no_other_answer(self):
        with Home() as home:
            found = {}

            def script(run):
                if run.kind == "present":
                    yield "the end"
                elif run.kind == "first":
                    yield [write("a.txt", "same")]
                    yield answer(f"see {run.work}/a.txt" if run.model == "m1" else "nothing yet")
                else:
                    if run.model == "m2":
                        results = yield answer(f"See  {run.work}/a.txt ")
                        found.setdefault("same", results)
                    yield vote("agent1")

            with Played({m: script for m in ("m1", "m2")}) as played:
                self.ran(home, played, {m: {"backend": played.backend(m, cwd=m)} for m in ("m1", "m2")})
                self.assertIn("This equals the answer of agent1", found["same"][0])
                self.assertEqual(len(played.of("m2")), 2)

    def test_a_member_on_a_node_reads_of_files_and_learns_no_path(self):
        with Home() as home:
            node = Node(home)
            try:
                def script(run):
                    if run.kind == "present":
                        yield "the end"
                    if run.kind == "first":
                        if run.place:
                            yield [write("a.txt", "a"), command("ls -la .. ../..; env")]
                        yield answer(f"see {run.work}/a.txt" if run.place else "a critic")
                    yield vote("agent1", f"I read {run.view}/agent1/a.txt" if run.place else "good")

                with Played({m: script for m in IDS}) as played:
                    agents = {m: {"backend": played.backend(m, **({"cwd": f"of-{m}", "enable_mcp_command_line": True} if m != "m3" else {}))} for m in IDS}
                    agents["m3"] |= {"node": NODE}
                    agents["m3"]["backend"].pop("api_key")
                    self.ran(home, played, agents, cluster={"nodes": {NODE: node.address}})
                    places = {m: played.of(m)[0].place for m in IDS}
                    for request in played.requests:
                        self.assertEqual(leaks(told(request), NEVER, [home.path / "home"], [p for p in places.values() if p], places[request["model"]]), [])
                    self.assertIn("see workspace://agent1/a.txt", played.of("m3", "judge")[0].asked)
            finally:
                node.stop()

    def test_each_question_is_a_task_of_its_own(self):
        """There are no sessions of several turns: what one question left is given to the next as a folder."""
        with Home() as home:
            turns = []

            def script(run):
                turns.append((run, sorted(p.name for p in pathlib.Path(run.work).iterdir())))
                if run.kind == "first":
                    yield [write("x.txt", f"turn {home.turn}")]
                    yield answer(f"see {run.work}/x.txt")
                elif run.kind == "judge":
                    yield vote("agent1")
                elif home.turn > 1:
                    yield [call(FS + "read_text_file", path="../target1/x.txt")]
                    yield [write("../target1/x.txt", "edited")]
                yield "the end"

            def failing(run):
                raise ValueError("of the test")
                yield

            home.turn = 1
            with Played({"m1": script}) as played:
                given = {"m1": {"backend": played.backend("m1", cwd="w")}}
                r = self.ran(home, played, given, "--output-dir", str(home.path / "turn1"), settings={"session_storage": "sessions"})
                self.assertRegex(r.stderr, "session_storage: .*each question is a task of its own")
                self.assertFalse((home.path / "sessions").exists())
                self.assertEqual((home.path / "turn1" / "x.txt").read_text(), "turn 1")
                home.turn = 2
                self.ran(home, played, given, "--path", f"{home.path}/turn1:w")
                self.assertEqual((home.path / "turn1" / "x.txt").read_text(), "turn 1", "a run wrote into the user's folder")
                self.assertEqual(home.run("apply", "last").returncode, 0)
                self.assertEqual((home.path / "turn1" / "x.txt").read_text(), "edited")
                begun = [(run, files) for run, files in turns if run.kind == "first"]
                self.assertEqual([files for _, files in begun], [[], []], "the next question finds files of the last")
                self.assertNotIn("HISTORY", begun[1][0].asked)
                self.assertNotIn("turn 1", begun[1][0].asked)
                kept = tree(home.path / "home" / "snapshots")
                played.scripts["m1"] = failing
                r = home.run("--config", home.write("team.json", {"agents": [{"id": "m1", **given["m1"]}], "orchestrator": PLAIN}), "make it", env={"TEST_KEY": "k"})
                self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
                after = tree(home.path / "home" / "snapshots")
                self.assertEqual({p for p in after if after[p][1] != "folder"}, {p for p in kept if kept[p][1] != "folder"}, "a task that failed keeps files")
                self.assertNotEqual(home.run("apply", "last").returncode, 0)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
