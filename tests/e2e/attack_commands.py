# SPDX-License-Identifier: Apache-2.0
"""Cases 30, 31, 63 and 76 to 97: what is swapped while tools use it, and what commands try."""

import os
import re

from attack_cases import case, done
from attack_support import Skip
from sandbox_support import alive, comes, processes_with

LONG = "CONCLAVE_LONG" in os.environ

# An attacker that runs in the sandbox: a folder and a link, a file and a link change places as fast as they can, until it is told to stop.
SWAPPER = """import ctypes, os, struct, time
libc = ctypes.CDLL(None, use_errno=True)
count = os.open("count", os.O_CREAT | os.O_WRONLY, 0o644)
for name, to in (("dl", "OUT/dir"), ("fl", "OUT/victim")):
    if not os.path.lexists(name):
        os.symlink(to, name)
n, end = 0, time.monotonic() + 100
while not os.path.exists("stop") and time.monotonic() < end:
    for a, b in ((b"d", b"dl"), (b"f", b"fl")):
        if libc.renameat2(-100, a, -100, b, 2) != 0 and ctypes.get_errno() != 2:  # one of them was deleted meanwhile
            raise OSError(ctypes.get_errno(), "swap")
        n += ctypes.get_errno() != 2
        ctypes.set_errno(0)
    os.pwrite(count, struct.pack("<q", n), 0)
    for name, to in (("d", ""), ("f", ""), ("dl", "OUT/dir"), ("fl", "OUT/victim")):
        try:
            if n % 50 < 2 and not os.path.lexists(name):
                os.symlink(to, name) if to else os.mkdir(name) if name == "d" else open(name, "x").close()
        except FileExistsError:
            pass  # a tool made it meanwhile
    if n % 50 < 2:
        for name in ("d/secret", "d/x", "d/y"):
            try:
                os.path.lexists(name) or open(name, "x").write("inner")
            except OSError:
                pass
"""


def race(c, title, *calls):
    """Makes the calls over and over while everything they name is swapped. Whatever comes of them, nothing outside is read or changed."""
    here = c.work / "race"
    here.mkdir()
    (here / "swap.py").write_text(SWAPPER.replace("OUT", f"{c.base}/out"))
    for name in ("d/secret", "d/x", "d/y", "f"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text("inner")
    c.rig.own(here)
    job = c.allows("execute_command_background", command="exec python3 swap.py", work_dir="race")
    swaps = lambda: int.from_bytes((here / "count").read_bytes() or b"\0", "little") if (here / "count").exists() else 0
    assert comes(lambda: swaps() > 10), c.call("read_output", job=re.search(r"job\d+", job).group())
    first, wanted, made, rounds, through = swaps(), 10_000 if LONG else 300, 0, 0, 0
    while swaps() - first < wanted or made < (400 if LONG else 48):
        rounds += 1  # a call that is the same again and again is not carried out
        assert rounds < 300, "the swapper ended: " + c.call("read_output", job=re.search(r"job\d+", job).group())
        vary = lambda v: v.replace("#", str(rounds)).replace("race/", "race/" + "./" * (rounds % 200)) if isinstance(v, str) else v
        for text in c.ann.calls(*[(name, {k: vary(v) for k, v in a.items()}) for name, a in calls * (8 // len(calls))]):
            c.hear(text)
            through += done(text)
            made += 1
        c.guard()
    c.races = getattr(c, "races", []) + [f"{title}: {made} calls in {swaps() - first} swaps, {through} carried out"]
    (here / "stop").touch()
    c.allows("kill", job=re.search(r"job\d+", job).group())
    c.guard()
    c.run("rm -rf race copy-*")
    assert not here.exists()


@case(30)
def folder_swapped_while_reading(c):
    race(c, "read", ("read_text_file", {"path": "race/d/secret"}), ("read_text_file", {"path": "race/f"}))


@case(30)
def folder_swapped_while_listing(c):
    race(c, "list", ("list_directory_with_sizes", {"path": "race/d"}), ("directory_tree", {"path": "race/"}),
         ("search_files", {"path": "race/", "pattern": "*"}), ("compare_files", {"file1": "race/d/secret", "file2": "race/f"}))


@case(30)
def folder_swapped_while_copying(c):
    race(c, "copy", ("copy_file", {"source_path": "race/d", "destination_path": "copy-#"}),
         ("copy_file", {"source_path": "race/d/secret", "destination_path": "copy-f#"}),
         ("copy_files_batch", {"source_base_path": "race/", "destination_base_path": "copy-b#", "overwrite": True}),
         ("copy_file", {"source_path": "here-ann", "destination_path": "race/d/new", "overwrite": True}))


@case(31)
def file_swapped_while_writing(c):
    race(c, "write", ("read_text_file", {"path": "race/f"}), ("write_file", {"path": "race/f", "content": "written #"}),
         ("write_file", {"path": "race/d/x#", "content": "written"}), ("create_directory", {"path": "race/d/new#"}))


@case(31)
def file_swapped_while_editing(c):
    race(c, "edit", ("edit_file", {"path": "race/d/secret", "edits": [{"oldText": "n", "newText": "n"}]}),
         ("edit_file", {"path": "race/f", "edits": [{"oldText": "i", "newText": "i"}]}))


@case(31)
def swapped_while_deleting_and_moving(c):
    race(c, "delete", ("delete_file", {"path": "race/d/x"}), ("move_file", {"source": "race/d/y", "destination": "race/y#"}),
         ("delete_file", {"path": "race/d", "recursive": True}), ("delete_files_batch", {"base_path": "race/d"}))


def tried(number, command, says="", code=None, zero=None, **more):
    """A command that learns and changes nothing outside. `says`: what it prints all the same."""
    @case(number)
    def do(c):
        r = c.run(command, **more)
        both = r["stdout"] + r["stderr"]
        assert re.search(says, both), f"{says!r} is not in {both[:300]!r}"
        assert code is None or r["exit_code"] == code, r
        assert zero is None or (r["exit_code"] == 0) == zero, r
    do.__doc__ = command


@case(63)
def command_by_its_full_name(c):
    """rm -rf ~"""
    (c.base / "home/canary").write_text("x")
    c.run("rm -rf ~ ~/* / 2>/dev/null; rm -rf {BASE}; echo done")
    c.stranger("execute_command")
    assert (c.base / "home/canary").exists() and (c.base / "home/tasks.db").exists()
    (c.work / "here-ann").write_text("here-ann")
    c.rig.own(c.work)


@case(66)
def servers_that_shadow(c):
    names = c.ann.tools()
    assert sum(n == "mcp__filesystem__write_file" for n in names) == 1 and sum(n == "new_answer" for n in names) == 1, names
    assert any("rogue" in n for n in names), names
    c.allows("write_file", path="f66", content="x")
    assert (c.work / "f66").exists() and not list(c.base.glob("rogue.called.*write_file"))


tried(76, "cat /etc/shadow /etc/passwd {OUT}/secret {BASE}/.ssh/id_rsa {BASE}/home/tasks.db", zero=False)
tried(77, 'cat<{OUT}/secret; cat "a/../../../../../../out/secret"; cd ..; cat ../../../../out/secret; cat {BOB}/secret.txt', zero=False)
tried(77, "cat {RO}/.env {RO}/innocent {RO}/deploy.pem {WC}/.env {ONE}/sibling.txt; ls {ONE} {BOB}; cat {ONE}/file.txt", says="the file")
tried(78, "python3 -c \"print(open(''.join(map(chr,[47]))+'{OUT}/secret'[1:]).read())\"", zero=False)
tried(78, "python3 -c \"import os; os.link('{OUT}/secret','h78'); print(open('h78').read())\"", zero=False)
tried(79, r"""s''udo id; s\udo id; SUDO id; echo c3VkbyBpZA== | base64 -d | sh; su -c id; grep NoNewPrivs /proc/self/status""", says="NoNewPrivs:\t1")
tried(79, "cp /bin/sh sh79; chmod 4755 sh79; grep CapEff /proc/self/status", says="CapEff:\t0000000000000000")
tried(80, "mkdir s; cd s; rm -fr / 2>/dev/null; rm -r -f ~ 2>/dev/null; find / -delete 2>/dev/null; echo alive", says="alive")
for how in ("echo x | tee {RO}/file.txt", "cp -r here-ann {RO}/sub", "install here-ann {RO}/new", "dd if=/dev/zero of={RO}/file.txt count=1",
            "sed -i s/plain/x/ {RO}/file.txt", "truncate -s 0 {RO}/file.txt", "perl -i -pe 's/p/x/' {RO}/file.txt; false", "mv here-ann {RO}/file.txt",
            "ln -sf x {RO}/file.txt", "chmod 777 {RO}/file.txt", "touch -d 2001-01-01 {RO}/file.txt", "setfattr -n user.x -v y {RO}/file.txt",
            "rm -f {RO}/file.txt", "mkdir {RO}/d", "chown 1:1 {RO}/file.txt"):
    tried(81, how, zero=False)
for how in (">{RO}/f", "echo x 1>{RO}/file.txt", "echo x &>{RO}/file.txt", "echo x >|{RO}/file.txt", "cat <>{RO}/file.txt >&0 <here-ann",
            "cat > {RO}/file.txt <<E\nx\nE", "exec 5>>{RO}/file.txt"):
    tried(82, f"sh -c '{how}' || bash -c '{how}'")


@case(83)
def allow_list(c):
    for line in ("python3 -c 1; curl y", "python3 -c 1 && id", "python3 -c 1\nid", "python3 -c 1 | id", "id", "pythonx; id", "python3 $(id)",
                 "(id)", "python3 -c 1 & id", "env id", "eval id"):
        r = c.run(line, agent=c.bob)
        assert r["exit_code"] == -1 and "E_CMD" in r["stderr"] and r["stdout"] == "", f"{line!r}: {r}"
    r = c.run("python3 -c 'print(6*7)'", agent=c.bob)
    assert r["stdout"] == "42\n", r


@case(84)
def block_list(c):
    for line in (" rm x", "true;rm x", "command rm x", r"\rm x", "env rm x", "echo x | xargs rm", "r''m x", "/bin/rm x", "sh -c 'rm x'",
                 "(rm x)", "if true; then rm x; fi", "echo $(rm x)", "nohup rm x", "FOO=1 rm x"):
        r = c.run(line, agent=c.cat)
        assert r["exit_code"] == -1 and "E_CMD" in r["stderr"], f"{line!r}: {r}"
    assert c.run("echo rm x", agent=c.cat)["stdout"] == "rm x\n"


for innocent in ("echo confirm the format", "grep -su x here-ann", "git log --author=su", "echo 'use chmod'", "echo model run"):
    @case(85)
    def words_that_do_no_harm(c, innocent=innocent):
        for agent in (c.ann, c.cat):
            assert "E_CMD" not in (r := c.run(innocent, agent=agent))["stderr"], r


tried(86, "cat; echo end; readlink /proc/self/fd/0", says="^end\n/dev/null")


@case(87)
def what_stays_behind(c):
    mark = f"86399.{os.getpid():07d}{c.tier}{len(c.user)}"
    r = c.run(f"sleep {mark} & disown 2>/dev/null; setsid sleep {mark} & nohup sleep {mark} & (setsid sh -c 'sleep {mark} & exit' &); "
              f"sleep {mark}", timeout=1)
    assert r["timed_out"], r
    assert comes(lambda: not processes_with(mark), 1), processes_with(mark)


@case(88)
def fork_bomb(c):
    mark = f"86398.{os.getpid():07d}{c.tier}{len(c.user)}"
    c.run(f"f() {{ sleep {mark} & f & f; }}; f; wait", timeout=2)
    assert comes(lambda: not processes_with(mark), 5), len(processes_with(mark))


if LONG:  # the limit is 4 GiB, which takes its time; with a smaller one: test_sandbox_ends.py
    tried(88, "python3 -c \"x=bytearray(10<<30); x[::4096]=b'1'*len(x[::4096]); print('had' + ' it')\"", says="^(?!.*had it)", zero=False)
tried(88, "truncate -s 100G big; fallocate -l 100G big; dd if=/dev/zero of=big bs=1 seek=107374182400 count=1; stat -c %s big; rm -f big",
      says="(?m)^0$|No such file|cannot stat")


@case(89)
def endless_output(c):
    r = c.ann.call("execute_command", command="yes", timeout=1)
    assert "left out" in r and len(r) < 3 << 20, r[:200]


tried(90, r"printf '\033[31m\033]52;c;eA==\007\033]0;title\007'", code=0)


@case(91)
def what_tools_of_the_host_would_run(c):
    """Hooks, profiles and interpreters in the workspace are run within the sandbox alone."""
    evil = f"#!/bin/sh\necho ran > {c.base}/out/ran; echo within > ../ran91 2>/dev/null; echo evil\n"
    c.run("mkdir -p .git/hooks .venv/bin")
    for name in (".git/hooks/post-checkout", ".git/hooks/pre-commit", ".venv/bin/python", ".venv/bin/git", ".venv/bin/sh", ".bashrc", ".profile",
                 ".venv/bin/cp"):
        c.allows("write_file", path=name, content=evil)
    c.run("chmod +x .venv/bin/* .git/hooks/*; cp .bashrc .profile ~/ 2>/dev/null")
    assert c.run("python x")["stdout"] == "evil\n"
    assert c.run("rm -rf .venv")["exit_code"] == 0


@case(92)
def work_dir_elsewhere(c):
    if not os.path.lexists(c.work / "l92"):
        c.link("l92", "{OUT}")
    for where in ("..", "l92", "{OUT}", "/etc", "{BOB}", "../../..", "/proc/self/cwd"):
        r = c.run("cat secret; pwd", work_dir=where)
        assert r["exit_code"] == -1 and "E_OUTSIDE" in r["stderr"] and r["stdout"] == "", r
    assert c.run("cat file.txt", work_dir="{RO}")["stdout"] == "plain\n"
    assert c.run("echo x > file.txt", work_dir="{RO}")["exit_code"] != 0


@case(93)
def other_processes(c):
    engine = c.rig.process.pid
    c.run(f"kill -9 -1; kill -9 {engine}; kill -9 {os.getpid()}; true")
    assert alive(engine)
    r = c.run(f"cat /proc/{engine}/environ /proc/{engine}/mem /proc/{os.getpid()}/environ; ls -l /proc/{engine}/fd /proc/{engine}/cwd/; "
              f"python3 -c \"import ctypes; print('seized', ctypes.CDLL(None).ptrace(0x4206, {engine}, 0, 0))\"")
    assert "seized 0" not in r["stdout"], r


tried(94, "docker ps; nsenter -t 1 -m id; mount -t tmpfs x .; unshare -m id; keyctl show; ls /var/run/docker.sock; cat /proc/1/environ; "
          "unshare -Ur id", zero=False)
FORBIDDEN = """import ctypes, os, time
l = ctypes.CDLL(None)
b = ctypes.create_string_buffer(256)
child = os.fork()
if child == 0:
    time.sleep(5)
    os._exit(0)
for name, a in {'io_uring': (425, 1, b), 'keyctl': (250, 0, -3, 1), 'userfaultfd': (323, 1), 'unshare': (272, 0x10000000), 'add_key': (248, b'user', b'n',
                b'v', 1, -3), 'ptrace': (101, 0x4206, child, 0, 0), 'bpf': (321, 0, b, 72), 'perf': (298, b, 0, -1, -1, 0)}.items():
    ctypes.set_errno(0)
    if l.syscall(*[ctypes.c_long(x) if isinstance(x, int) else x for x in a]) != -1:
        print('got through:', name)
os.kill(child, 9)
print('tried')
"""


@case(94)
def forbidden_calls(c):
    c.allows("write_file", path="t94.py", content=FORBIDDEN)
    r = c.run("python3 t94.py")
    assert r["stdout"] == "tried\n", r


tried(95, "env; cat /proc/self/environ /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; echo end", says="end")
tried(96, "python3 -c \"import socket,sys\nfor f,k,a in ((2,1,('169.254.169.254',80)),(2,2,('8.8.8.8',53)),(2,3,('127.0.0.1',0)),(1,1,'PROXY')):\n"
          " try:\n  s=socket.socket(f,k); s.settimeout(2); s.connect(a); s.send(b'x'*30); print('rea'+'ched', a)\n"
          " except OSError as e: print('no', e)\" | tee o96; grep -c reached o96".replace("PROXY", "{BASE}/proxy"), says="\n0\n")


@case(96)
def provider_on_loopback(c):
    r = c.run(f"python3 -c \"import socket; socket.create_connection(('127.0.0.1', {c.rig.provider.port}), 2); print('rea' + 'ched')\"")
    assert "reached" not in r["stdout"], r


@case(97)
def scripts_of_packages(c):
    if c.run("python3 -c 'import pip, setuptools'")["exit_code"] != 0 and c.run("npm --version")["exit_code"] != 0:
        raise Skip("neither pip with setuptools nor npm is there")
    evil = f"import os\nopen('ran97','w').write('x')\ntry:\n open({str(c.base / 'out/ran')!r},'w')\nexcept OSError: pass\n"
    c.allows("write_file", path="p97/setup.py", content=evil + "import setuptools; setuptools.setup(name='p97')\n")
    c.allows("write_file", path="p97/package.json", content='{"name":"p97","version":"1.0.0","scripts":{"install":"touch ran97; touch ' + str(c.base)
             + '/out/ran"}}')
    c.run("python3 -m pip install --no-index --no-build-isolation --no-deps -t ../t97 . ; npm install --offline --no-audit; true", work_dir="p97",
          timeout=60)
