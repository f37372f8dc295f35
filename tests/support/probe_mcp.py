# SPDX-License-Identifier: Apache-2.0
"""A tool server that does what it is asked to: reads, writes, fetches, and tells what it sees. Paths come as "x:PATH", so that nothing looks
like one. Its whole protocol is below: no package is needed."""

import json
import os
import signal
import socket
import sys
import time
import urllib.request


def plain(at):
    return at[2:] if at.startswith("x:") else at


def get(at):
    with open(plain(at)) as f:
        return f.read()


def put(at, what):
    with open(plain(at), "w") as f:
        f.write(what)
    return "written"


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as r:
        return str(r.status)


def look():
    return json.dumps({"cwd": os.getcwd(), "home": os.environ.get("HOME"), "env": sorted(os.environ), "uid": os.getuid(), "place": os.environ.get("PLACE"), "pid": os.getpid(),
                       "args": sys.argv[1:], "root": sorted(os.listdir("/"))})


def remember(what):
    """Adds to a file in HOME, and gives what is in it."""
    path = os.path.expanduser("~/memory.txt")
    with open(path, "a") as f:
        f.write(what + "\n")
    return get(path)


def starts():
    """How often the server was started for this workspace."""
    return get(os.path.expanduser("~/starts")).count("s").__str__()


def write_on():
    """A process of its own session that writes into the workspace until it is ended, and hears no signal that can be caught."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        n = 0
        while True:
            n += 1
            with open("growing.txt", "w") as f:
                f.write(str(n))
    return "begun"


def stay(seconds):
    time.sleep(seconds)
    return "stayed"


def fill():
    """Two files in the workspace that hold more than it may, and then goes on working. They take no room on the disk."""
    for name in ("one", "two"):
        with open(name, "w") as f:
            f.truncate(1600 << 20)
    time.sleep(60)
    return "filled"


def eat(mib):
    held = []
    for _ in range(mib // 100):
        held.append(b"x" * (100 << 20))
    return str(len(held))


def sockets():
    out = {}
    for family in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_PACKET"):
        try:
            socket.socket(getattr(socket, family), socket.SOCK_RAW if family == "AF_PACKET" else socket.SOCK_STREAM).close()
            out[family] = "made"
        except OSError:
            out[family] = "refused"
    return json.dumps(out)


def touch_path(path):
    return put(path, "touched")


def read_path(path):
    return get(path)


def end(how):
    print("FATAL: told to end: " + how, file=sys.stderr, flush=True)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(7)


TOOLS = {f.__name__: f for f in (get, put, fetch, look, remember, touch_path, read_path, end, starts, write_on, sockets, stay, eat, fill)}


def main():
    if "refuse" in sys.argv:
        print("FATAL: this server does not want to", file=sys.stderr, flush=True)
        sys.exit(3)
    if "need" in sys.argv:
        open(sys.argv[sys.argv.index("need") + 1]).close()
    if os.environ.get("HOME", "").endswith("/servers/probe"):
        with open(os.path.expanduser("~/starts"), "a") as f:
            f.write("s")
    for line in sys.stdin:
        m = json.loads(line)
        if "id" not in m:
            continue
        out = {}
        if m["method"] == "initialize":
            out = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "probe", "version": "1"}}
        elif m["method"] == "tools/list":
            out = {"tools": [{"name": n, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": n in ("get", "look", "fetch", "read_path")}}
                             for n in TOOLS]}
        elif m["method"] == "tools/call":
            try:
                out = {"content": [{"type": "text", "text": TOOLS[m["params"]["name"]](**m["params"]["arguments"])}]}
            except Exception as e:
                out = {"content": [{"type": "text", "text": f"{type(e).__name__}: {e}"}], "isError": True}
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": out}), flush=True)


main()
