# SPDX-License-Identifier: Apache-2.0
"""What a command leaves behind is gone, in whatever way it ends; limits bite; and programs that people use work in a sandbox."""

import glob
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import unittest
import zipfile

from sandbox_support import PYTHON, Place, alive, comes, need_sandbox, processes_with, quoted, users

TIERS = (2, 1, 0)


def left_groups():
    """Control groups of launchers, which are called after them, that have outlived theirs."""
    return {g for g in glob.glob("/sys/fs/cgroup/**/conclave-[0-9]*", recursive=True) if not alive(g.rsplit("-", 1)[1])}


def parent_of(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def children_of(pid):
    """As fast as can be."""
    try:
        return [int(p) for t in os.listdir(f"/proc/{pid}/task") for p in pathlib.Path(f"/proc/{pid}/task/{t}/children").read_text().split()]
    except OSError:
        return []


def group_places():
    """Where a launcher makes its groups."""
    own = {line.split(":")[1]: line.split(":")[2].rstrip("/") for line in pathlib.Path("/proc/self/cgroup").read_text().split()}
    return [f"/sys/fs/cgroup/{c}{own.get(c, '')}" for c in ("pids", "memory")] + ["/sys/fs/cgroup" + os.path.dirname(own.get("", ""))]


def mark():
    """Part of a command line that no other process has."""
    mark.last += 1
    return f"86400.{os.getpid():07d}{mark.last:03d}"


mark.last = 0


def brood(m):
    """Processes that hide from their shell in every way, and a file when they are there."""
    return (f"setsid sleep {m} & nohup sleep {m} >/dev/null 2>&1 & (sh -c 'setsid sleep {m} & exit' &) ; "
            f"(trap '' TERM HUP INT; sleep {m}) & touch ready; ")


class Ends(unittest.TestCase):
    def each(self, tiers=TIERS):
        for user, who in users().items():
            for tier in tiers:
                with Place(who) as place:
                    before = left_groups()
                    try:
                        yield place, tier
                    except GeneratorExit:
                        print(f"as {user}, tier {tier}:", file=sys.stderr)
                        return
                    self.assertTrue(comes(lambda: not left_groups() - before), f"cgroups stay: {left_groups() - before}")
                    self.assertNotIn(str(place.base), pathlib.Path("/proc/self/mounts").read_text())

    def gone(self, m):
        self.assertTrue(comes(lambda: not processes_with(m)), f"alive: {processes_with(m)}")

    def test_the_shell_ends(self):
        for place, tier in self.each():
            m = mark()
            [end, after] = place.run(tier, brood(m) + "exit 3", "echo next")
            self.assertEqual((end["why"], end["status"], after["out"]), ("exited", 3, "next\n"))
            self.gone(m)

    def test_it_is_gone_when_the_end_is_told(self):
        """Not a moment later: the next command must not meet what the last one left."""
        for place, tier in self.each((2, 1)):
            m = mark()
            r = place.start(tier, brood(m) + "exit 0", "sleep 2")
            r.stdout.readline()
            self.assertEqual(processes_with(m), [])
            r.communicate(timeout=60)

    def test_a_timeout(self):
        for place, tier in self.each():
            m = mark()
            [end] = place.run(tier, brood(m) + f"echo partial; sleep {m}", timeout=700)
            self.assertEqual((end["why"], end["out"]), ("timed_out", "partial\n"))
            self.gone(m)

    def test_a_kill(self):
        for place, tier in self.each():
            m = mark()
            ends = place.run(tier, f"bg:{brood(m)} echo hello; sleep {m}", "until [ -e ready ]; do sleep 0.05; done", "read:0", "kill:0")
            self.assertEqual([e.get("why") for e in ends], ["exited", None, "killed"])
            self.assertTrue(ends[1]["running"])
            self.gone(m)

    def killed(self, place, tier, victim):
        m = mark()
        r = place.start(tier, f"{brood(m)} sleep {m}")
        self.assertTrue(comes(lambda: (place.base / "work/open/ready").exists() and len(processes_with(m)) >= 4))
        os.kill(victim(r), signal.SIGKILL)
        out, _ = r.communicate(timeout=30)
        self.gone(m)
        return out

    def test_the_launcher_is_killed(self):
        for place, tier in self.each():
            launcher = lambda r: next(p for p in processes_with(f"{place.bin}/conclave-sandbox\0serve") if parent_of(p) == r.pid)
            out = self.killed(place, tier, launcher)
            self.assertIn('"failed"', out)

    def test_the_engine_is_killed(self):
        for place, tier in self.each():
            self.killed(place, tier, lambda r: r.pid)

    def test_the_launcher_is_killed_while_it_begins(self):
        """At a random moment, and just when it has made a control group: whatever it made by then goes."""
        chance = random.Random(int(os.environ.get("CONCLAVE_SEED", "13")))
        for place, tier in self.each((2, 1)):
            for i in range(40 if "CONCLAVE_LONG" in os.environ else 10):
                m, moment = mark(), chance.uniform(0, 0.02)
                r = place.start(tier, f"sleep {m}")
                launcher = next(iter(comes(lambda: children_of(r.pid), 2, pause=0) or comes(lambda: processes_with(f"{place.bin}/conclave-sandbox"))))
                groups = lambda: [g for g in (f"{x}/conclave-{launcher}" for x in group_places()) if os.path.isdir(g)]
                comes(lambda: i % 2 and groups(), moment, pause=0)  # the moment is the point
                os.kill(launcher, signal.SIGKILL)
                r.kill()
                r.communicate(timeout=30)
                self.gone(m)
                self.assertTrue(comes(lambda: not groups()), f"{i}, {moment:.4f} s: {groups()}")

    def test_a_fork_bomb(self):
        """Also one whose processes are sessions, or lose their parents. The next command is there at once."""
        breed = "import os\nm='{}'\nwhile True:\n try:\n  if os.fork() == 0: {}\n except OSError: pass"
        for place, tier in self.each((2, 1)):
            m = mark()
            for bomb in (f"f() {{ sleep {m} & f & f; }}; f; wait", f"{PYTHON} -c {quoted(breed.format(m, 'os.setsid()'))}",
                         f"{PYTHON} -c {quoted(breed.format(m, 'os.fork() and os._exit(0)'))}"):
                end, after = place.run(tier, bomb, "echo on", timeout=1000)
                self.assertIn(end["why"], ("exited", "timed_out", "too_many_processes"))
                self.assertLess(end["ms"], 20_000)  # it hung for minutes once, far beyond its timeout
                self.assertEqual(after["out"], "on\n")
                self.gone(m)

    def test_how_many_processes_and_sessions(self):
        """Without a namespace the kernel's limit on processes of the user is set, whoever that is; who asks for many sessions is told that
        it has them."""
        count = ("import os,subprocess,time\nps=[subprocess.Popen(['sleep','9'], start_new_session=True) for _ in range(60)]\n"
                 "print(len({os.getsid(p.pid) for p in ps}), all(p.poll() is None for p in ps))")
        for place, tier in self.each((2, 1)):
            limit, many = place.run(tier, "ulimit -p", f"{PYTHON} -c {quoted(count)}")
            if tier == 1:
                threads = int(pathlib.Path("/proc/loadavg").read_text().split()[3].split("/")[1])
                self.assertLess(int(limit["out"]), threads + 3000)
            sessions, alive = many["out"].split()
            self.assertEqual((alive, 20 < int(sessions) < 40), ("True", True), many)

    def test_processes(self):
        """As many as are allowed can be there, twice as many cannot."""
        count = ("import os,time,sys\nn=0\nfor i in range({}):\n try:\n  p=os.fork()\n except OSError: break\n"
                 " if p==0: time.sleep(60); os._exit(0)\n n+=1\nprint(n, flush=True); time.sleep(0.5)")
        for place, tier in self.each((2, 1)):
            few, many = place.run(tier, *(f"{PYTHON} -c {quoted(count.format(n))}" for n in (100, 700)))
            self.assertEqual(few["out"], "100\n")
            self.assertTrue(many["why"] == "too_many_processes" or int(many["out"]) <= 560, many)

    def test_memory(self):
        eat = "x=bytearray(900<<20); x[::4096]=b'1'*len(x[::4096]); import time; time.sleep(5); print('had it')"
        for place, tier in self.each((2, 1)):
            [end] = place.run(tier, f"{PYTHON} -c {quoted(eat)}", memory=200 << 20)
            self.assertEqual(end["why"], "out_of_memory", end)
            self.assertNotIn("had it", end["out"])
            self.assertLess(end["ms"], 5000)

    def test_memory_that_no_process_has_mapped(self):
        eat = {"memfd": "f=os.memfd_create('x')\nfor i in range(900): os.write(f, b'1' * (1 << 20))",
               "shared": "for i in range(8):\n m=mmap.mmap(-1, 120 << 20)\n if os.fork() == 0:\n  for k in range(0, 120 << 20, 4096): m[k] = 1\n"
                         "  time.sleep(20); os._exit(0)\n m.close()\nif any(os.wait()[1] for i in range(8)): os._exit(0)"}
        for place, tier in self.each((2, 1)):
            for name, program in eat.items():  # a control group ends one of them only
                program = f"import mmap,os,time\n{program}\ntime.sleep(20)\nprint('had it')"
                [end] = place.run(tier, f"{PYTHON} -c {quoted(program)}", memory=400 << 20)
                self.assertEqual((end["why"], end["out"]), ("out_of_memory", ""), (name, end))

    def test_memory_that_is_shared_counts_once(self):
        program = ("import mmap,os,time\nm=mmap.mmap(-1, 150 << 20)\nfor k in range(0, 150 << 20, 4096): m[k] = 1\n"
                   "for i in range(7):\n if os.fork() == 0:\n  for k in range(0, 150 << 20, 4096): m[k]\n  time.sleep(1); os._exit(0)\n"
                   "for i in range(7): os.wait()\nprint('fine')")
        for place, tier in self.each((2, 1)):
            [end] = place.run(tier, f"{PYTHON} -c {quoted(program)}", memory=400 << 20)
            self.assertEqual((end["why"], end["out"]), ("exited", "fine\n"), end)

    def test_files_that_have_no_name(self):
        deleted = "f=os.open('gone', os.O_RDWR | os.O_CREAT); os.unlink('gone')"
        fill = "os.posix_fallocate(f, 0, 900 << 20)"
        ways = {"deleted": (deleted, fill), "nameless": ("f=os.open('.', os.O_TMPFILE | os.O_RDWR)", fill),
                "mapped": (deleted, fill + "; maps.append(mmap.mmap(f, 900 << 20)); os.close(f)")}
        for place, tier in self.each((2, 1)):
            for name, (make, take) in ways.items():
                program = f"import mmap,os,time\nmaps=[]\nfor i in range(3):\n {make}\n {take}\ntime.sleep(20)\nprint('had it')"
                [end] = place.run(tier, f"{PYTHON} -c {quoted(program)}")
                self.assertEqual((end["why"], end["out"]), ("too_much_disk", ""), (name, end))

    def test_what_covers_a_file_is_taken_away(self):
        """A file of the user's that is saved anew, by a rename: what it was covered with goes, in all namespaces."""
        for path in ("work/.env", "work/sub/protected"):
            for place, tier in self.each((2,)):
                f = place.base / path
                loop = f"touch {place.base}/work/open/begun; sleep 5; echo HACK >> {f}"
                r = place.start(tier, loop, f"cat {f}; echo HACK >> {f}; echo on", timeout=60_000)
                self.assertTrue(comes(lambda: (place.base / "work/open/begun").exists()))
                new = f.with_name("new")
                new.write_text("NEWSECRET")
                shutil.chown(new, f.stat().st_uid, f.stat().st_gid)
                new.rename(f)
                out, err = r.communicate(timeout=60)
                first, second = (json.loads(x) for x in out.splitlines())
                self.assertEqual(first["why"], "failed", first)
                self.assertIn("was replaced", first["error"])
                self.assertEqual(second["why"], "exited", second)
                self.assertEqual((second["out"], f.read_text()), (("" if "env" in path else "NEWSECRET") + "on\n", "NEWSECRET"), second)

    def test_what_is_hidden_in_a_folder_one_may_read_stays_so_without_its_cover(self):
        """A folder put in place of one that is covered has none; a file that is replaced has none until the commands are ended, and
        somebody waits for that."""
        watch = ("turns=open('turns', 'ab', 0)\nwhile True:\n turns.write(b'.')\n for f in ('{0}/.env', '{0}/deep/keys/key'):\n"
                 "  try: text=open(f).read()\n  except OSError: continue\n  if text: open('leak', 'a').write(f)")
        for place, tier in self.each((2,)):
            read, turns, leak = place.base / "read", place.base / "work/open/turns", place.base / "work/open/leak"
            for n in range(5):
                r = place.start(tier, f"{PYTHON} -c {quoted(watch.format(read))}", f"cat {read}/file {read}/.env; echo on", timeout=60_000,
                                hidden=read / "deep/keys")
                self.assertTrue(comes(lambda: turns.exists() and turns.stat().st_size > 9))
                other = shutil.copytree(read / "deep/keys", place.base / "other")
                (read / "deep/keys").rename(place.base / f"old{n}")
                other.rename(read / "deep/keys")
                some = turns.stat().st_size + 9
                self.assertTrue(comes(lambda: turns.stat().st_size > some))
                new = place.base / "new"
                new.write_text("NEWSECRET")
                for path in (new, read / "deep/keys", read / "deep/keys/key"):
                    shutil.chown(path, (read / "file").stat().st_uid, (read / "file").stat().st_gid)
                new.rename(read / ".env")
                out, err = r.communicate(timeout=60)
                self.assertEqual([(e["why"], e["out"]) for e in map(json.loads, out.splitlines())], [("failed", ""), ("exited", "SECRETon\n")], err)
                self.assertFalse(leak.exists())
                turns.unlink()

    def test_limits_bite_within_a_second(self):
        """What gets beyond a limit tells so with the time since its start, and would stay for long."""
        begin = "import os,time\nt=float(os.environ['BEGUN'])\n"
        memory = begin + ("x=[]\nwhile True:\n x.append(b'1'*(4<<20))\n if len(x)==60: print(time.time()-t, flush=True)\n"
                          " if len(x)>60: time.sleep(60)\n")
        many = begin + ("n=0\nfor i in range(700):\n try:\n  p=os.fork()\n except OSError: break\n if p==0: time.sleep(60); os._exit(0)\n"
                        " n+=1\n if n==561: print(time.time()-t, flush=True)\nif n>561: time.sleep(60)\n")
        for place, tier in self.each((2, 1)):
            for why, program, most in (("out_of_memory", memory, 200 << 20), ("too_many_processes", many, 4 << 30)):
                [end] = place.run(tier, f"BEGUN=$(date +%s.%N) {PYTHON} -c {quoted(program)}", memory=most)
                if end["out"]:  # else it never got that far
                    self.assertEqual(end["why"], why)
                    self.assertLess(end["ms"] - 1000 * float(end["out"]), 1000, end)
                self.assertLess(end["ms"], 30_000, end)

    def test_output(self):
        for place, tier in self.each():
            [end] = place.run(tier, "yes | head -c 50000000; echo last; (printf ab; yes é) 2>/dev/null | head -c 3000002 >&2")
            self.assertEqual(end["why"], "exited")
            self.assertEqual(end["out_cut"], 50_000_005 - (1 << 20))
            self.assertLess(len(end["out"]), (1 << 20) + 100)
            self.assertTrue(end["out"].startswith("y\ny\n") and end["out"].endswith("y\nlast\n"))
            self.assertIn(f"[... {end['out_cut']} bytes left out ...]", end["out"])
            self.assertNotIn("\ufffd", end["err"])

    def test_other_limits(self):
        for place, tier in self.each((2, 1)):
            [end] = place.run(tier, "ulimit -n; ulimit -c; ulimit -t; ulimit -f; nice; cat; pwd", timeout=30_000)
            self.assertEqual(end["out"].split(), ["1024", "0", "60", str((2 << 30) // 512), "5", f"{place.base}/work/open"])

    def test_faults_are_told(self):
        for place, tier in self.each():
            [long, after] = place.run(tier, ": " + "x" * 110_000, "echo on")
            self.assertEqual((long["why"], after["out"]), ("failed", "on\n"))
            self.assertIn("102400 bytes", long["error"])
            [end] = place.run(tier, "true", readable=f"{place.base}/none") if tier else [{"error": "none"}]
            self.assertIn("none", end["error"])
            [end] = place.run(tier, "true", work=f"{place.base}/none")
            self.assertIn("cannot enter the folder", end["error"])


class Tools(unittest.TestCase):
    def works(self, command, expected, tiers=(2, 1), needs=(), **more):
        for program in needs:
            if not shutil.which(program, path="/usr/bin:/bin"):
                self.skipTest(f"skipped: {program} is not installed")
        for user, who in users().items():
            for tier in tiers:
                with self.subTest(user=user, tier=tier), Place(who) as place:
                    [end] = place.run(tier, command.replace("BASE", str(place.base)), limit=300, **more)
                    self.assertEqual((end["why"], end["status"]), ("exited", 0), end["err"][-2000:])
                    self.assertIn(expected, end["out"])

    def test_gcc_and_make(self):
        self.works(r"""printf '#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n' > a.c
printf 'a: a.c\n\tgcc -O1 -o a a.c\n' > Makefile; make && ./a && touch -d '2001-01-01' a.c && make -q && chmod 700 a && stat -c %a a""",
                   "700", needs=("gcc", "make"))

    def test_git(self):
        self.works("""git init -q r && cd r && git config user.email a@b.c && git config user.name n && echo 1 > f && git add f &&
git commit -qm one && git clone -q . ../s && cd ../s && git log --oneline""", "one", needs=("git",))

    def test_programs_out_of_reach_are_not_searched_for(self):
        for user, who in users().items():
            with self.subTest(user=user), Place(who) as place:
                b = place.base
                (b / "outside" / "python3").write_text("#!/bin/sh\n")
                (b / "outside" / "python3").chmod(0o755)
                [end] = place.run(1, 'echo "$PATH"; python3 -c "print(6 * 7)"', env=f"PATH={b}/outside:{b}/read:{b}/nothing:of/work:/usr/bin:/bin")
                self.assertEqual(end["out"], f"{b}/read:of/work:/usr/bin:/bin\n42\n", end["err"])

    def test_modes_owners_and_attributes(self):
        """What everyday copies do; setuid and setgid bits alone are not set."""
        self.works("""set -e; echo 1 > f; chmod 751 f; install -m 755 f g; cp -p f h; cp -a f i; mkdir -m 2755 d; install -d -m 2755 e; chmod g+s e
git init -q --shared=group r; mkdir s; echo x > s/x; chmod 6755 s/x s; tar cf t.tar --mode=6755 s; rm -r s; tar xpf t.tar
python3 -c "import os; os.chmod('f', 0o700, follow_symlinks=False); os.chown('f', -1, -1)"
! chown $(id -u) not-there 2>/dev/null; ! chown $(id -u) /usr/bin 2>/dev/null || [ $(id -u) = 0 ]
stat -c %a f g h i d e s s/x | tr '\\n' ' '; find . -perm /6000 | wc -l""", "700 755 751 751 755 755 755 755 0", needs=("git", "tar", "python3"))

    def test_python_venv(self):
        if subprocess.run([PYTHON, "-c", "import venv, ensurepip"], capture_output=True).returncode != 0:
            self.skipTest("skipped: python3-venv is not installed")
        wheel = "/var/tmp/conclave_probe-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as z:
            z.writestr("conclave_probe.py", "print('from a wheel')\n")
            z.writestr("conclave_probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: conclave_probe\nVersion: 1\n")
            z.writestr("conclave_probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            z.writestr("conclave_probe-1.dist-info/RECORD", "")
        try:
            self.works(f"{PYTHON} -m venv v && v/bin/pip install -q --no-index {wheel} && v/bin/python -c 'import conclave_probe'",
                       "from a wheel", readable=wheel)
        finally:
            os.unlink(wheel)

    def test_node(self):
        self.works("""node -e 'new WebAssembly.Memory({initial:1}); require("child_process").exec("echo child", (e, o) => console.log(o))'""",
                   "child", needs=("node",))

    def test_javac(self):
        self.works(r"""mkdir -p src/p out && printf 'package p; public class A { public static void main(String[] a) { System.out.println("built " + a[0]); } }' > src/p/A.java
javac -d out src/p/A.java && java -cp out p.A here""", "built here", needs=("javac", "java"))

    def test_a_server_is_reached_by_the_next_command(self):
        for user, who in users().items():
            with self.subTest(user=user), Place(who) as place:
                fetch = ("import time,urllib.request\nfor i in range(200):\n try: print(urllib.request.urlopen('http://127.0.0.1:8000/hello')"
                         ".read().decode()); break\n except OSError: time.sleep(0.05)")
                ends = place.run(2, "echo served > hello", f"bg:exec {PYTHON} -m http.server 8000 --bind 127.0.0.1",
                                 f"{PYTHON} -c {quoted(fetch)}")
                self.assertEqual(ends[1]["out"], "served\n\n", ends)

    def test_network_when_it_is_granted(self):
        for user, who in users().items():
            with self.subTest(user=user), Place(who) as place:
                connect = f"import socket; socket.create_connection(('127.0.0.1', {place.targets['tcp']})); print('connected')"
                [end] = place.run(2, f"{PYTHON} -c {quoted(connect)}", network=True)
                self.assertEqual(end["out"], "connected\n", end["err"])
                self.assertEqual(place.end_host(), ["tcp"])


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
