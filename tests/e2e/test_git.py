# SPDX-License-Identifier: Apache-2.0
"""Folders that are git repositories: each agent gets a checkout of its own, whose files go with its answers; the user's repository stays as it is,
whatever agents, `apply` and `apply --branch` do. Real git, real sandbox, scripted models; as root also as nobody."""

import shutil
import re
import unittest

from support import *
from test_workspace import CMD, FS, call, results, select_wait, step, team, tree

USERS = [None, 65534] if os.geteuid() == 0 else [None]


class GitHome(Home):
    """Everything in it belongs to `user`, and is run by it."""

    def __init__(self, user):
        super().__init__()
        self.who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.project = self.path / "project"
        self.project.mkdir()
        self.env.update(GIT_CONFIG_NOSYSTEM="1")
        self.own()
        self.git("init -q -b main . && git config user.name Ann && git config user.email ann@example.org && mkdir src locked && echo one > readme.txt "
                 "&& echo 'print(1)' > src/a.py && echo old > old.txt && echo keep > keep.txt && echo x > locked/x && echo KEY=canary-4711 > .env.example "
                 "&& git add -A && git commit -qm first && echo two >> readme.txt && git commit -qam second && git branch side HEAD~1 && git tag v1")
        self.sh("echo dirty >> readme.txt; echo mine > untracked.txt; echo staged > staged.txt; git add staged.txt; "
                 f"printf '#!/bin/sh\\ntouch {self.path}/ran\\n' > .git/hook; chmod +x .git/hook; for h in pre-commit post-commit reference-transaction "
                 "post-index-change post-checkout; do cp .git/hook .git/hooks/$h; done; git config core.fsmonitor .git/hook; "
                 "git config filter.x.clean .git/hook; git config core.hooksPath .git/hooks")
        (self.path / "ran").unlink(missing_ok=True)

    def own(self):
        if self.who:
            subprocess.run(["chown", "-R", f"{self.who['user']}:{self.who['group']}", str(self.path)], check=True)

    def run(self, *args, **kw):
        self.own()
        return super().run(*args, **self.who, **kw)

    def git(self, command, folder=None):
        return self.sh("git " + command, folder)

    def sh(self, command, folder=None):
        r = subprocess.run(["sh", "-ec", command], cwd=folder or self.project, env=self.env, capture_output=True, text=True, **self.who)
        assert r.returncode == 0, r.stderr
        return r.stdout


def shell(command):
    return step(call(CMD + "execute_command", command=command))


class Git(unittest.TestCase):
    def ran(self, home, config, *more):
        r = home.run("--config", home.write("team.json", config), "--apply", "no", *more, "make it")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return r

    def commands(self, home, agent="ann secret-id"):
        return [json.loads(text) for who, tool, _, text in results(home)[0] if who == agent and tool == "execute_command" and text.startswith("{")]

    def test_each_agent_has_a_checkout_and_the_repository_stays_as_it_is(self):
        for user in USERS:
            with self.subTest(user=user), GitHome(user) as home:
                before = tree(home.project)
                config = team(
                    [step(call(FS + "read_text_file", path="target1/readme.txt")),
                     step(call(FS + "write_file", path="target1/late.txt", content="late\n"),
                          call(FS + "write_file", path="target1/.git/config", content="no\n"),
                          call(FS + "write_file", path="target1/locked/y", content="no\n"),
                          call(FS + "write_file", path=str(home.project / "late.txt"), content="no\n")),
                     shell("cd target1 && git status --short && git log --format=%s -1")],
                    home.project,
                    first=[shell("cd target1 && git status --short && git log --format=%s --all | sort && git diff && git branch --format='%(refname:short)'"),
                           shell("cd target1 && echo 'print(2)' > src/b.py && git rm -q old.txt && git add src && git commit -qm 'by the agent' && git log --format=%an:%s -1 && "
                                 "git checkout -q -f side && git checkout -q -f main && git gc -q && git fsck 2>&1 | grep -v dangling; echo done >> readme.txt"),
                           shell(f"cd {home.project}; git commit -am no; git branch no; echo no > .git/config; rm -rf .git; touch no")])
                config["agents"][1]["backend"]["steps"] = [
                    shell("cd target1 && git log --format=%s -1 && git status --short"),
                    {"answer": "nothing to add"},
                    step(call(FS + "read_text_file", path="../view/agent1/target1/src/b.py")),
                    {"vote": "agent1"}]
                r = self.ran(home, config)
                self.assertEqual(tree(home.project), before, "a run changed the user's repository")
                self.assertFalse((home.path / "ran").exists(), "a hook of the user's repository was run")
                seen, did, _, last = self.commands(home)
                self.assertEqual(seen["stdout"].splitlines()[:6], [" M readme.txt", "?? staged.txt", "?? untracked.txt", "first", "second", "diff --git a/readme.txt b/readme.txt"], seen)
                self.assertIn("+dirty", seen["stdout"])
                self.assertEqual(seen["stdout"].splitlines()[-2:], ["main", "side"], seen)
                self.assertEqual((did["exit_code"], did["stdout"]), (0, "agent:by the agent\n"), did)
                # Files go from the answer to the presentation; commits do not.
                self.assertEqual(last["stdout"].splitlines(), [" D old.txt", " M readme.txt", "?? late.txt", "?? src/b.py", "?? staged.txt", "?? untracked.txt", "second"], last)
                other, = self.commands(home, "bob")
                self.assertEqual(other["stdout"].splitlines(), ["second", " M readme.txt", "?? staged.txt", "?? untracked.txt"], other)
                got, bodies = results(home)
                self.assertIn(("bob", "read_text_file", "finished", "print(2)\n"), got)
                codes = [re.search(r"E_[A-Z]+", text).group() for _, _, status, text in got if status.startswith("denied:")]
                self.assertEqual(codes, ["E_EXCLUDED", "E_PROTECTED", "E_READONLY"], got)
                self.assertIn("/target1/late.txt instead", next(text for _, _, _, text in got if "E_READONLY" in text))
                self.assertNotIn(b"canary-4711", bodies)
                shown = home.run("diff", "last", "--name-only").stdout
                self.assertEqual([line.split()[-1] for line in shown.splitlines()[1:]], ["late.txt", "old.txt", "readme.txt", "src/b.py"], shown)
                self.assertEqual(list((home.path / "home" / "work").iterdir()), [], "checkouts are left")
                self.assertNotIn(".git/", home.run("show", "last", "--files").stdout)

                applied = home.run("apply", "last")
                self.assertEqual(applied.returncode, 0, applied.stderr)
                after = tree(home.project)
                self.assertEqual({p for p in before.keys() | after.keys() if after.get(p) != before.get(p)}, {"late.txt", "old.txt", "readme.txt", "src/b.py"})
                self.assertEqual(home.run("undo", "last").returncode, 0)
                self.assertEqual(tree(home.project), before)

                made = home.run("apply", "last", "--branch", "agents/one")
                self.assertEqual(made.returncode, 0, made.stderr)
                self.assertIn("by Ann <ann@example.org>", made.stdout)
                behind = events_of(home.run("show", "last", "--json").stdout)[-3:]
                self.assertEqual([e["type"] for e in behind], ["changes_applied", "changes_undone", "changes_applied"])
                self.assertEqual((behind[2]["target"], behind[2]["number"], behind[2]["target_label"], behind[2]["label"]),
                                 (str(home.project), 4, "agents/one", home.git("rev-parse agents/one").strip()))
                after = tree(home.project)
                self.assertEqual([p for p in before if before[p] != after.get(p)], [], "more than a branch was made")
                self.assertEqual([p for p in after if p not in before and not p.startswith((".git/objects/", ".git/refs/heads/agents", ".git/logs/refs/heads/agents"))], [])
                self.assertFalse((home.path / "ran").exists(), "a hook of the user's repository was run")
                self.assertEqual(home.git("-c core.fsmonitor=false diff --name-status main agents/one").split(),
                                 ["A", "late.txt", "D", "old.txt", "M", "readme.txt", "A", "src/b.py"])
                self.assertEqual(home.git("show agents/one:readme.txt"), "one\ntwo\ndone\n")
                now = tree(home.project)
                again = home.run("apply", "last", "--branch", "agents/one")
                self.assertEqual((again.returncode, tree(home.project)), (1, now), again.stderr)
                self.assertIn("there is a branch of this name", again.stderr)
                self.assertEqual(home.run("apply", "last", "--branch", "x", "--to", str(home.path)).returncode, 1)

    def test_a_run_that_was_cut_off_finds_its_checkout_as_it_was(self):
        with GitHome(None) as home:
            before = tree(home.project)
            config = team([shell("cd target1 && git status --short && cat kept.txt && git log --format=%s -2")], home.project,
                          first=[shell("cd target1 && echo kept > kept.txt && git add kept.txt && git commit -qm 'before the crash' && git checkout -q -b mine"),
                                 shell("touch ready; sleep 20"), shell("cd target1 && git branch --show-current && git log --format=%s -1")])
            p = home.start("--config", home.write("team.json", config), "--apply", "no", "make it")
            deadline = time.monotonic() + 30
            while not list((home.path / "home" / "work").glob("*/*/work/ready")):
                self.assertLess(time.monotonic(), deadline, "the command does not begin")
                select_wait()
            p.kill()
            p.wait()
            p.stdout.close(), p.stderr.close()
            r = home.run("resume", "last", "-q")
            self.assertEqual(r.returncode, 0, r.stderr)
            *_, went_on, presented = self.commands(home)
            self.assertEqual(went_on["stdout"], "mine\nbefore the crash\n", "the checkout was made anew")
            self.assertEqual(presented["stdout"].splitlines(), [" M readme.txt", "?? kept.txt", "?? staged.txt", "?? untracked.txt", "kept", "second", "first"])
            self.assertEqual(tree(home.project), before)

    def test_a_link_in_the_place_of_a_checkout_leads_nowhere(self):
        with GitHome(None) as home:
            (home.path / "outside").mkdir()
            (home.path / "outside" / "secret.txt").write_text("canary-outside")
            swap = f"rm -rf target1 && ln -s {home.path}/outside target1 && echo swapped"
            reads = step(call(FS + "read_text_file", path="target1/secret.txt"), call(FS + "write_file", path="target1/made.txt", content="no\n"))
            config = team([shell("ls target1"), shell(swap), reads], home.project, first=[shell(swap), reads])
            config["orchestrator"]["context_paths"][0]["protected_paths"] = []  # in the sandbox they are mounts, which would hold it
            self.ran(home, config)
            got, bodies = results(home)
            first, listed, last = self.commands(home)
            self.assertEqual((first["stdout"], last["stdout"]), ("swapped\n", "swapped\n"), "nothing was tried")
            self.assertIn("readme.txt", listed["stdout"], "the link stayed in the place of the checkout")
            self.assertEqual([status for _, tool, status, _ in got if tool in ("read_text_file", "write_file")], ["error"] * 4, got)
            self.assertNotIn(b"canary-outside", bodies)
            self.assertNotIn("secret.txt", home.run("diff", "last").stdout + home.run("show", "last", "--files").stdout)
            self.assertEqual([p.name for p in (home.path / "outside").iterdir()], ["secret.txt"])

    def test_isolated_makes_a_copy_without_history(self):
        with GitHome(None) as home:
            config = team([shell("ls -A ../target1; ls -A"), step(call(FS + "write_file", path="../target1/new.txt", content="new\n"))], home.project,
                          coordination={"write_mode": "isolated"})
            self.ran(home, config)
            listed, = self.commands(home)
            self.assertEqual(listed["stdout"].split(), ["keep.txt", "locked", "old.txt", "readme.txt", "src", "staged.txt", "untracked.txt"], listed)
            self.assertEqual(home.run("apply", "last", "--branch", "copy").returncode, 0)
            self.assertEqual(home.git("diff --name-only main copy"), "new.txt\n")

    def test_what_git_ignores_is_not_copied_however_much_it_is(self):
        with GitHome(None) as home:
            home.sh("printf 'data/\\nout/\\n*.log\\n' > .gitignore; mkdir data out src/data; echo kept > out/kept; echo o > out/own; echo l > run.log; "
                    "truncate -s 3G data/huge; truncate -s 1G src/data/more; git add -f out/kept .gitignore; git -c core.hooksPath=/nonexistent commit -qm ignore")
            for mode, copy in (("auto", "target1"), ("isolated", "../target1")):
                makes = (f"cd {copy} && ls -A && ls out && git status --short; mkdir data; echo mine > data/mine; echo mine > out/own; echo mine > out/new; "
                         "echo mine > run.log; echo new > out/kept; echo new > new.txt")
                config = team([shell(makes)], home.project, coordination={"write_mode": mode})
                r = self.ran(home, config)
                told = [x for x in r.stderr.splitlines() if "git ignores it" in x]
                self.assertIn(f"not in the {'checkout' if mode == 'auto' else 'copy'} of {home.project}, because git ignores it: data, out/own, run.log, src/data", r.stderr)
                listed = self.commands(home)[-1]["stdout"]
                self.assertNotIn("data\n", listed)
                self.assertIn("\nkept\n", listed)
                names = home.run("diff", "last", "--name-only").stdout
                self.assertEqual([x.split()[-1] for x in names.splitlines()[1:]], ["new.txt", "out/kept"], names)
                left = next(x for x in told if "not part of the changes" in x)
                for name in ("data", "out/new", "out/own", "run.log"):
                    self.assertIn(f"{name} (git ignores it)", left)
                self.assertEqual(home.run("apply", "last").returncode, 0)
                self.assertEqual(home.sh("cat run.log out/own out/kept new.txt"), "l\no\nnew\nnew\n")
                self.assertEqual(home.run("undo", "last").returncode, 0)
                self.assertEqual(home.sh("cat run.log out/own out/kept; ls new.txt 2>/dev/null || true"), "l\no\nkept\n")
                home.run("rm", "last")

    def test_what_a_sparse_checkout_leaves_out_is_not_deleted(self):
        with GitHome(None) as home:
            home.sh("mkdir other && echo o > other/o && echo p > other/p && git add other && git commit -qm other && git sparse-checkout set --no-cone '/*' '!/other/' && rm old.txt")
            self.assertFalse((home.project / "other").exists())
            config = team([shell("cd target1 && git status --short && git add -A && git commit -qm all && git show --format= --name-status && mkdir other && echo new > other/o && git status --short other")],
                          home.project)
            self.ran(home, config)
            seen, = self.commands(home)
            # What the user has deleted is; what is left out of the work tree is not.
            self.assertEqual(seen["stdout"].split()[:2], ["D", "old.txt"], seen)
            self.assertNotIn("other/p", seen["stdout"])
            self.assertNotIn("D\tother", seen["stdout"])
            made = home.run("apply", "last", "--branch", "agents")
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertEqual(home.git("diff --name-status main agents").split(), ["M", "other/o"])

    def test_a_file_that_git_ignores_from_now_on_is_not_deleted(self):
        with GitHome(None) as home:
            config = team([shell("cd target1 && echo more >> readme.txt")], home.project,
                          first=[shell(f"until grep -q untracked {home.project}/.gitignore; do sleep 0.02; done; ls target1")])
            p = home.start("--config", home.write("team.json", config), "--json", "--apply", "no", "make it")
            Lines(p.stdout).until(lambda line: '"call_started"' in line and "execute_command" in line)
            (home.project / ".gitignore").write_text("untracked.txt\n")
            self.assertEqual(p.wait(60), 0)
            p.stdout.close(), p.stderr.close()
            self.assertIn("untracked.txt", self.commands(home)[0]["stdout"])
            names = home.run("diff", "last", "--name-only").stdout
            self.assertEqual([x.split()[-1] for x in names.splitlines()[1:]], ["readme.txt"], names)

    def test_a_repository_that_leads_elsewhere_is_copied_without_history_and_said(self):
        with GitHome(None) as home:
            home.git("clone -q --shared project borrowed", home.path)
            config = team([shell("git -C ../target1 log"), step(call(FS + "write_file", path="../target1/new.txt", content="new\n"))], home.path / "borrowed")
            r = self.ran(home, config)
            self.assertIn("it borrows objects itself", r.stderr)
            self.assertNotEqual(self.commands(home)[0]["exit_code"], 0)
            refused = home.run("apply", "last", "--branch", "x")
            self.assertEqual(refused.returncode, 1, refused.stdout)
            self.assertIn("it borrows objects itself", refused.stderr)
            self.assertEqual(home.run("apply", "last").returncode, 0)

    def test_a_branch_begins_at_the_commit_that_agents_saw(self):
        with GitHome(None) as home:
            self.ran(home, team([step(call(FS + "write_file", path="target1/new.txt", content="new\n"))], home.project))
            home.git("rm -q --cached staged.txt && git -c core.hooksPath=/nonexistent commit -qam 'meanwhile'")
            self.assertEqual(home.run("apply", "last", "--branch", "b").returncode, 0)
            self.assertEqual(home.git("log --format=%s b").splitlines()[1:], ["second", "first"])
            plain = home.path / "plain"
            plain.mkdir()
            self.ran(home, team([step(call(FS + "write_file", path="../target1/new.txt", content="new\n"))], plain))
            refused = home.run("apply", "last", "--branch", "b2")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("is not the top of a git repository", refused.stderr)

    def test_what_lies_in_another_repository_is_in_no_branch(self):
        with GitHome(None) as home:
            home.sh("git init -q -b main ../real; for at in mine deep/mine; do git init -q -b main $at; echo m > $at/m; git -C $at add .; done; "
                    "git init -q --separate-git-dir ../real-git file; echo m > file/m; mkdir plain; echo p > plain/p; "
                    # Git knows files in this one by itself, and goes on to.
                    "mkdir known; echo k > known/k; git add known; git -c core.hooksPath=/nonexistent commit -qm known; git init -q -b main known")
            change = "; ".join(f"echo new >> {d}/{f}" for d in ("mine", "deep/mine", "file", "plain", "known") for f in ("m", "n"))
            self.ran(home, team([shell(f"cd target1 && mkdir -p mine/sub && echo s > mine/sub/s && rm -f file/m && {change}")], home.project))
            made = home.run("apply", "last", "--branch", "agents")
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertEqual(home.git("diff --name-only main agents").split(), ["known/m", "known/n", "plain/m", "plain/n"], made.stdout)
            left = [x for x in made.stdout.splitlines() if "left as it is" in x]
            self.assertEqual(left, [f"  left as it is: {x}: is a git repository of its own, and git adds no file of it to yours" for x in ("deep/mine/", "file/", "mine/")])
            self.assertIn("4 paths changed\n  known/m\n  known/n\n  plain/m\n  plain/n\n  left", made.stdout)
            self.assertEqual(home.run("apply", "last").returncode, 0)  # the files themselves are written
            self.assertEqual(home.sh("cat mine/n deep/mine/n"), "new\nnew\n")

    def test_a_branch_is_made_in_all_folders_or_in_none(self):
        with GitHome(None) as home:
            other, linked = home.path / "other", home.path / "linked"
            home.git(f"clone -q . {other} && git -C {other} branch taken && git worktree add -q {linked} side")
            for second, said in ((other, "there is a branch of this name already"), (linked, "is of the same repository as")):
                config = team([shell("cd target1 && echo 3 >> readme.txt; echo 3 >> ../target2/readme.txt")], home.project)
                config["orchestrator"]["context_paths"].append({"path": str(second), "permission": "write"})
                self.ran(home, config)
                refused = home.run("apply", "last", "--branch", "taken")
                self.assertEqual(refused.returncode, 1)
                self.assertIn(said, refused.stderr)
                self.assertIn("nothing was written", refused.stderr)
                self.assertEqual(home.git("branch --list taken"), "")
                if second == other:
                    made = home.run("apply", "last", "--branch", "free")
                    self.assertEqual(made.returncode, 0, made.stderr)
                    self.assertEqual(made.stdout.count("what you had not committed when the work began, if anything: of these paths"), 2)
                    self.assertIn("+dirty", home.git("diff main free"))
                    self.assertEqual(home.git("ls-tree free untracked.txt"), "")


if __name__ == "__main__":
    need_sandbox()
    if not shutil.which("git"):
        print("skipped: git is not there")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v"])
