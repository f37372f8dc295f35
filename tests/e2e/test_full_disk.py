# SPDX-License-Identifier: Apache-2.0
"""Disks that are full while the real program keeps the files of answers and writes changes: earlier snapshots stay whole, one line says it, the task
ends, and a folder of the user's is the old one or the new one. Real file systems (tmpfs, ext4 in a file), filled to the last page but n.

CONCLAVE_TEST_FULL_DISK_STEPS=N: how many n are tried for each (default 6; all that matter: 48).
"""

import ctypes
import hashlib
import re
import shutil
import unittest

from support import *
from test_workspace import CMD, FS, call, step, team, tree

STEPS = int(os.environ.get("CONCLAVE_TEST_FULL_DISK_STEPS", "6"))
PAGE = 4096
LIBC = ctypes.CDLL(None, use_errno=True)

# A workspace keeps 1 GiB of its disk free, so that of a small one nothing would be used at all. This tells of room that is not there: what then fails
# is a write.
ROOMY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/statvfs.h>
#define ROOMY(name, type)                                                       \
  int name(int fd, struct type *b) {                                            \
    int (*real)(int, struct type *) = (int (*)(int, struct type *))dlsym(RTLD_NEXT, #name); \
    int r = real(fd, b);                                                        \
    if (r == 0)                                                                 \
      b->f_bavail += (2ULL << 30) / b->f_frsize;                                \
    return r;                                                                   \
  }
ROOMY(fstatvfs, statvfs)
ROOMY(fstatvfs64, statvfs64)
"""


class Disk:
    """A small file system at `where`. Ends a test, as skipped, where there can be none."""

    def __init__(self, case, where, kind, mib):
        self.where = where
        where.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() != 0:
            case.skipTest("skipped: only root can mount a small file system")
        self.image = None
        if kind == "tmpfs":
            if LIBC.mount(b"tmpfs", os.fsencode(where), b"tmpfs", 0, f"size={mib}m,mode=700".encode()) != 0:
                case.skipTest("skipped: a tmpfs cannot be mounted here: " + os.strerror(ctypes.get_errno()))
        else:
            for program in ("mkfs.ext4", "mount", "losetup"):
                if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
                    case.skipTest(f"skipped: {program} is not installed")
            self.image = where.parent / f"{where.name}.img"
            with open(self.image, "wb") as f:
                f.truncate(mib << 20)
            env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
            made = subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-b", str(PAGE), str(self.image)], capture_output=True, text=True, env=env)
            case.assertEqual(made.returncode, 0, made.stderr)
            put = subprocess.run(["mount", "-o", "loop", str(self.image), str(where)], capture_output=True, text=True, env=env)
            if put.returncode != 0:
                case.skipTest("skipped: an ext4 in a file cannot be mounted here: " + put.stderr.strip())
        case.addCleanup(self.end)

    def end(self):
        LIBC.umount2(os.fsencode(self.where), 2)
        if self.image:
            self.image.unlink(missing_ok=True)

    def free_pages(self):
        s = os.statvfs(self.where)
        return s.f_bavail * s.f_frsize // PAGE

    def fill(self, leave):
        """Leaves as many pages, or a few more where the file system needs some for the filler itself."""
        with open(self.where / "filler", "ab") as f:
            at, piece = 0, 1 << 30
            while (piece := min(piece, self.free_pages() - leave)) > 0:
                try:
                    os.posix_fallocate(f.fileno(), at, piece * PAGE)
                    at += piece * PAGE
                except OSError:
                    piece //= 2

    def empty(self):
        (self.where / "filler").unlink(missing_ok=True)


# The system's words, or those of who looked before it wrote.
FULL = re.compile("No space left on device|[Tt]here is no room|MiB would be free on the disk")


def lines_of(text, what):
    return [line for line in text.splitlines() if what in line]


def on_each_disk(test):
    def run(self):
        for kind in ("tmpfs", "ext4"):
            with self.subTest(kind):
                self.setUp()
                test(self, kind)

    return run


class FullDisk(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.addCleanup(self.home.__exit__)

    def roomy(self):
        """The environment of a program that takes each disk for one with room."""
        if not shutil.which("gcc"):
            self.skipTest("skipped: gcc is not installed")
        source, library = self.home.path / "roomy.c", self.home.path / "roomy.so"
        source.write_text(ROOMY)
        built = subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], capture_output=True, text=True)
        self.assertEqual(built.returncode, 0, built.stderr)
        preloaded = os.environ.get("LD_PRELOAD", "")
        return {"LD_PRELOAD": f"{library} {preloaded}".strip()}

    def ran(self, config, *more, env=None, code=0):
        r = self.home.run("--config", self.home.write("team.json", config), "--apply", "no", *more, "make it", env=env)
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r

    def log(self):
        return events_of(self.home.run("show", "last", "--json").stdout)

    def task(self):
        return events_of(self.home.run("list", "--json").stdout)[0]["task"]

    def objects_are_whole(self):
        """What the store holds is what its names say."""
        seen = 0
        for p in (self.home.path / "home" / "snapshots").rglob("*"):
            if p.is_file() and not p.is_symlink() and len(p.name) >= 60 and all(c in "0123456789abcdef" for c in p.parent.name + p.name):
                name = p.name if len(p.name) == 64 else p.parent.name + p.name
                self.assertEqual(hashlib.sha256(p.read_bytes()).hexdigest(), name, p)
                seen += 1
        return seen

    def first_is_whole(self, task, files):
        out = self.home.path / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        r = self.home.run("apply", task, "--to", str(out))
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual({p.name: p.read_text() for p in out.iterdir()}, files)

    def steps(self, most):
        """Numbers of pages that are left: from none on, evenly to `most`."""
        return sorted({round(i * most / max(STEPS - 1, 1)) for i in range(STEPS)})

    @on_each_disk
    def test_each_write_of_a_snapshot(self, kind):
        disk = Disk(self, self.home.path / "home" / "snapshots", kind, 3 if kind == "tmpfs" else 8)
        env = self.roomy()

        def drafts(i):
            return {f"f{n}": f"{i} " + "abcdefgh"[n] * 4100 for n in range(8)}

        def ask(i):
            return self.ran(team([], first=[step(*[call(FS + "write_file", path=p, content=text) for p, text in drafts(i).items()])]), env=env)

        self.assertEqual(lines_of(ask(0).stderr, "without its files"), [])
        first = self.task()
        failed = whole = 0
        for left in self.steps(48):
            disk.fill(left)
            r = ask(left + 1)
            disk.empty()
            self.assertTrue(r.stdout.endswith("done\n"), r.stdout)
            events = self.log()
            told = [e for e in events if e["type"] == "snapshot_failed"]
            said = lines_of(r.stderr, "without its files")
            self.assertEqual(len(said), len(told), r.stderr)
            for line in said:
                self.assertRegex(line, FULL)
            ended = next(e for e in events if e["type"] == "task_ended")
            self.assertEqual(ended["reason"], "answered")
            failed += bool(told)
            whole += not told
            self.assertGreater(self.objects_are_whole(), 0)
            self.assertEqual(list((self.home.path / "home" / "snapshots" / "incoming").iterdir()), [])
        self.assertGreater(failed, 0)
        self.assertGreater(whole, 0)
        self.first_is_whole(first, drafts(0))

    @on_each_disk
    def test_a_disk_that_fills_during_a_run(self, kind):
        """What the answers before have stays, the answer is taken as text, and the task ends."""
        disk = Disk(self, self.home.path / "home", kind, 1200)
        signs = self.home.path / "signs"
        signs.mkdir()
        ann = [step(call(FS + "write_file", path="a.txt", content="from ann\n")), {"answer": "ann has a file"}, {"vote": "agent1", "optional": True},
               {"text": "ann's last word", "optional": True}]
        wait = f"touch {signs}/ready; until [ -e {signs}/go ]; do sleep 0.02; done"
        bob = [step(call(FS + "write_file", path="b.txt", content="from bob\n")), step(call(CMD + "execute_command", command=wait)),
               {"answer": "bob has a file, too"}, {"vote": "agent1"}]

        def backend(name, steps):
            # No sandbox: the signs are between the test and the model that it plays.
            return {"id": name, "backend": {"type": "scripted", "cwd": name, "enable_mcp_command_line": True, "sandbox": {"mode": "off"},
                                            "steps": steps}}

        p = self.home.start("--config", self.home.write("team.json", {"agents": [backend("ann", ann), backend("bob", bob)], "orchestrator": {
            "snapshot_storage": "s", "agent_temporary_workspace": "t"}}), "--apply", "no", "--json", "make it")
        self.addCleanup(lambda p=p: (p.poll() is None and p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        out = Lines(p.stdout)
        out.until('"snapshot_taken"')
        end = time.monotonic() + 30
        while not (signs / "ready").exists():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        disk.fill((500 << 20) // PAGE)
        (signs / "go").touch()
        out.until('"task_ended"', 60)
        while out.next(time.monotonic() + 30) is not None:
            pass
        self.assertEqual(p.wait(30), 0, out.seen)
        events = [json.loads(line) for line in out.seen if line.startswith("{")]
        failed = [e for e in events if e["type"] == "snapshot_failed"]
        self.assertEqual([e["agent"] for e in failed][:1], ["bob"], [e["type"] for e in events])
        self.assertRegex(failed[0]["reason"], FULL)
        ended = next(e for e in events if e["type"] == "task_ended")
        self.assertEqual(ended["reason"], "answered")
        # The winner's next run finds no room for its files: what it had handed in is the answer, with them.
        self.assertIn("presentation_fallback", [e["type"] for e in events])
        self.assertIn("bob has a file, too", [e.get("text") for e in events if e["type"] == "new_answer"])
        disk.empty()
        self.assertGreater(self.objects_are_whole(), 0)
        self.first_is_whole(self.task(), {"a.txt": "from ann\n"})

    def proposed(self, project, count=20):
        """A task that changes `count` files of the project."""
        project.mkdir()
        for i in range(count):
            (project / f"f{i}").write_text("a" * 5000)
        edits = f"cd ../target1; for i in $(seq 0 {count - 1}); do head -c 9000 /dev/zero | tr '\\0' b > f$i; done; mkdir new; echo new > new/x"
        self.ran(team([step(call(CMD + "execute_command", command=edits))], project), "-q")
        return self.task()

    @on_each_disk
    def test_each_write_of_an_apply(self, kind):
        for small in ("project", "deliveries"):
            self.setUp()
            with self.subTest(small=small):
                place = self.home.path / "disk" if small == "project" else self.home.path / "home" / "deliveries"
                disk = Disk(self, place, kind, 3 if kind == "tmpfs" else 8)
                project = (disk.where if small == "project" else self.home.path) / "project"
                env, task = self.roomy(), self.proposed(project)
                old, failed = tree(project), 0
                self.assertEqual(self.home.run("apply", task, env=env).returncode, 0)
                new = tree(project)
                self.assertEqual(len(new) - len(old), 2)
                self.assertEqual(self.home.run("undo", task, env=env).returncode, 0)
                self.assertEqual(tree(project), old)
                for left in self.steps(96 if small == "project" else 6):
                    disk.fill(left)
                    r = self.home.run("apply", task, env=env)
                    now = tree(project)
                    disk.empty()
                    if r.returncode == 0:
                        self.assertEqual(now, new)
                        self.assertEqual(self.home.run("undo", task, env=env).returncode, 0)
                    else:
                        failed += 1
                        self.assertEqual((r.returncode, now == old), (2, True), r.stderr)
                        self.assertEqual(len([line for line in r.stderr.splitlines() if FULL.search(line)]), 1, r.stderr)
                    self.assertEqual(tree(project), old)
                self.assertGreater(failed, 0)
                self.assertEqual(self.home.run("apply", task, env=env).returncode, 0)
                self.assertEqual(tree(project), new)

    @on_each_disk
    def test_a_run_whose_changes_find_no_room(self, kind):
        disk = Disk(self, self.home.path / "disk", kind, 3 if kind == "tmpfs" else 8)
        env, project = self.roomy(), disk.where / "project"
        project.mkdir()
        (project / "a").write_text("old\n")
        old = tree(project)
        disk.fill(0)
        big = step(call(CMD + "execute_command", command="cd ../target1; head -c 50000 /dev/zero | tr '\\0' b > a; cp a b; cp a c"))
        r = self.home.run("--config", self.home.write("team.json", team([big], project)), "--apply", "yes", "make it", env=env)
        self.assertEqual((r.returncode, r.stdout), (2, "done\n"), r.stderr)
        self.assertEqual(len([line for line in r.stderr.splitlines() if FULL.search(line)]), 1, r.stderr)
        self.assertEqual(tree(project), old)
        disk.empty()
        self.assertEqual(self.home.run("apply", "last", env=env).returncode, 0)
        self.assertEqual((project / "c").stat().st_size, 50000)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
