# SPDX-License-Identifier: Apache-2.0
"""Programs that people use, as commands of an agent: the real binary, the real sandbox, at both tiers, as root and as nobody. What a machine has not is
skipped by its name.

    test_agent_tools.py [BUILD] [TIER/USER ...]      e.g. 2/root 1/nobody; CONCLAVE_LONG: the whole matrix"""

import json
import os
import shutil
import subprocess
import sys
import time

from attack_support import BUILD, NOBODY, PYTHON, Rig, tiers_of
from support import need_binary

WHEEL = r"""
import zipfile
with zipfile.ZipFile("agent_probe-1-py3-none-any.whl", "w") as z:
    z.writestr("agent_probe.py", "print('from a wheel')\n")
    z.writestr("agent_probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: agent_probe\nVersion: 1\n")
    z.writestr("agent_probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("agent_probe-1.dist-info/RECORD", "")
"""
FETCH = """
import sys, time, urllib.request
for i in range(600):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8123/page.txt").read().decode())
        sys.exit()
    except OSError:
        time.sleep(0.05)
"""
JAVA = 'package p; public class A { public static void main(String[] a) { System.out.println("built " + a[0]); } }\n'
C = '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n'
# name -> (needs, tiers, files, commands: the last prints, what it prints)
TOOLS = {
    "gcc and make": (("gcc", "make"), (2, 1), {"c/a.c": C, "c/Makefile": "a: a.c\n\tgcc -O1 -o a a.c\n"}, ["cd c && make && make -q && ./a"], "compiled"),
    "git": (("git",), (2, 1), {"r/f": "1\n"}, [
        "cd r && git init -q && git add f && git -c user.name=n -c user.email=a@b.c commit -qm first",
        "git clone -q r s && cd s && git log --format=%s"], "first"),
    # A `.venv` of the workspace is what the next command's `python` and `pip` are.
    "venv and pip": ((), (2, 1), {"w.py": WHEEL}, [
        f"{PYTHON} w.py && {PYTHON} -m venv .venv", "pip install -q --no-index --disable-pip-version-check ./agent_probe-1-py3-none-any.whl",
        "python -c 'import agent_probe'"], "from a wheel"),
    "node": (("node",), (2, 1), {"n.js": 'new WebAssembly.Memory({initial: 1});\nconsole.log("memory of " + WebAssembly.validate(new Uint8Array('
                                 '[0, 97, 115, 109, 1, 0, 0, 0])));\n'}, ["node n.js"], "memory of true"),
    "javac": (("javac", "java"), (2, 1), {"src/p/A.java": JAVA}, ["mkdir -p out && javac -d out src/p/A.java", "java -cp out p.A here"], "built here"),
    "a server": ((), (2,), {"page.txt": "served", "fetch.py": FETCH}, [f"&exec {PYTHON} -m http.server 8123 --bind 127.0.0.1", f"{PYTHON} fetch.py"], "served"),
}


def lack(name):
    """What keeps a tool from being tried here, or nothing."""
    for program in TOOLS[name][0]:
        if not shutil.which(program, path="/usr/bin:/bin"):
            return f"{program} is not installed"
    if name == "venv and pip" and subprocess.run([PYTHON, "-c", "import venv, ensurepip"], capture_output=True).returncode != 0:
        return "python3-venv is not installed"
    return ""


def run(agent, command, **more):
    tool = "execute_command_background" if command.startswith("&") else "execute_command"
    text = agent.call(tool, command=command.lstrip("&"), **({} if tool != "execute_command" else {"timeout": 300}), **more)
    try:
        return json.loads(text)
    except ValueError:
        return {"success": False, "stdout": "", "stderr": text}


def play(tier, user, who):
    """Returns how each tool went: nothing, or what went wrong."""
    out = {}
    with Rig(tier, user, who, names=("ann",)) as rig:
        ann = rig.agents["ann"]
        rig.own(rig.base, rig.base / "home", rig.base / "bin")
        rig.start({"agents": [{"id": "ann", "backend": rig.backend("ann")}],
                   "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t"}}, "--quiet")
        ann.wait()
        for name, (_, tiers, files, commands, expected) in TOOLS.items():
            if tier not in tiers or lack(name):
                continue
            begun = time.monotonic()
            for path, text in files.items():
                wrote = ann.call("write_file", path=path, content=text)
                assert wrote.startswith("Successfully"), wrote
            for command in commands:
                r = run(ann, command)
                if not r.get("success"):
                    break
            good = r.get("success") and r["stdout"].strip().endswith(expected)
            out[name] = "" if good else f"{command}: {json.dumps(r)[:1500]}"
            print(f"  {time.monotonic() - begun:.1f} s: {name}{'' if good else ': FAILED'}")
        ann.answer("they work")
        ann.wait()
        ann.vote()
        ann.wait()
        ann.say("done")
        rig.process.wait(60)
        if rig.process.returncode != 0 or not rig.said().startswith("done"):
            out["the run"] = rig.said()
    return out


def main():
    sys.stdout.reconfigure(line_buffering=True)
    need_binary()
    if not (BUILD / "conclave-sandbox").exists():
        print("skipped: conclave-sandbox is not built")
        return 77
    users = {"root": [], "nobody": NOBODY} if os.geteuid() == 0 and shutil.which("setpriv") else {"user": []}
    everything = [(t, u) for t in (2, 1) for u in users]
    asked = [(int(a.split("/")[0]), a.split("/")[1]) for a in sys.argv[2:] if "/" in a]
    short = everything if "CONCLAVE_LONG" in os.environ or len(users) == 1 else [(2, "nobody"), (1, "root")]
    for name in TOOLS:
        if why := lack(name):
            print(f"skipped: {name}: {why}")
    tried, failed = 0, 0
    for tier, user in asked or short:
        if why := tiers_of(users[user], tier):
            print(f"skipped: tier {tier} as {user}: {why}")
            continue
        print(f"tier {tier} as {user}:")
        for name, wrong in play(tier, user, users[user]).items():
            tried += 1
            failed += bool(wrong)
            if wrong:
                print(f"FAILED: {name} at tier {tier} as {user}: {wrong}")
    print(f"{tried} tried, {failed} failed")
    return 1 if failed else 0 if tried else 77


if __name__ == "__main__":
    sys.exit(main())
