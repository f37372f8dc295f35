# SPDX-License-Identifier: Apache-2.0
"""The rows of a store, as transports/event_store_record.hpp says they are: for tests that look at what lies on the disk, or change it."""

import contextlib
import hashlib
import re
import sqlite3
import zlib

END, NUMBER, NAME, PLAIN, BODY = range(5)
WINDOW, GROUP = 16384, 65536


def unpack(data, before):
    kind, total, data = data[0], int.from_bytes(data[1:5], "little"), data[5:]
    text = data if kind == 0 else zlib.decompress(data[4:]) if kind == 2 else zlib.decompressobj(-15, zdict=before[-WINDOW:]).decompress(data)
    assert zlib.crc32(text) == total
    return text


def records(db, task=None):
    """Gives (id, text) of all records, in order."""
    before = b""
    nr = db.execute("SELECT nr FROM starts WHERE task = ?", (task,)).fetchone()[0] if task else None
    for row, back, data in db.execute("SELECT id, back, data FROM records ORDER BY id"):
        before = before if back else b""
        text = unpack(data, before)
        before += text
        if nr is None or row >> 32 == nr:
            yield row, text


def items(text):
    """Gives (is it a body, [bytes, or the mark that stands in their place, ...]) of each item of a record."""
    at = 0
    while at < len(text):
        body = text[at] == BODY
        at += body
        parts, plain = [], bytearray()
        while text[at] != END:
            if text[at] in (NUMBER, NAME):
                parts += [bytes(plain), text[at]]
                plain = bytearray()
            else:
                at += text[at] == PLAIN
                plain.append(text[at])
            at += 1
        at += 1
        yield body, parts + [bytes(plain)]


def read(db, task=None):
    """Returns ([(seq, json), ...], {name: bytes}) of a task, or of the only one there is."""
    events, bodies = [], {}
    for row, text in records(db, task):
        seq, names = row & 0xFFFFFFFF, []
        for body, parts in items(text):
            if body:
                names.append(hashlib.sha256(parts[0]).hexdigest())
                bodies[names[-1]] = parts[0]
                continue
            marks = {NUMBER: lambda: b'"seq":%d' % seq, NAME: lambda: names.pop(0).encode()}
            events.append((seq, b"".join(p if isinstance(p, bytes) else marks[p]() for p in parts).decode()))
            seq += 1
    of = "" if task is None else " WHERE task = ?"
    size = "size" if any(x[1] == "size" for x in db.execute("PRAGMA table_info(bodies)")) else "0"  # schema 3 has none
    for sha, first, last, size in db.execute(f"SELECT sha, first, last, {size} FROM bodies" + of, (task,) if task else ()).fetchall():
        rows = db.execute("SELECT bytes FROM pieces WHERE nr BETWEEN ? AND ? ORDER BY nr", (first, last))
        bodies[sha.hex()] = b"".join(x for x, in rows)
        if size > 0:
            bodies[sha.hex()] = zlib.decompress(bodies[sha.hex()])
    return events, bodies


def put_events(db, nr, events):
    """Stores events of the task that began as the nr-th, each as a record, as it is."""
    for seq, json in events:
        text = re.sub(rb"[\0-\4]", lambda m: bytes([PLAIN]) + m[0], json.encode()) + bytes([END])
        db.execute("INSERT INTO records VALUES(?, 0, ?)", (nr << 32 | seq, b"\0" + zlib.crc32(text).to_bytes(4, "little") + text))


def put_bodies(db, task, bodies):
    """Stores (name, bytes) each in a row of its own, as it is."""
    n, = db.execute("SELECT coalesce(max(nr), 0) FROM pieces").fetchone()
    for n, (sha, body) in enumerate(bodies, n + 1):
        db.execute("INSERT INTO pieces VALUES(?, ?)", (n, body))
        db.execute("INSERT INTO bodies(task, sha, first, last) VALUES(?, ?, ?, ?)", (task, bytes.fromhex(sha), n, n))


def write(db, events, bodies):
    """Stores the only task anew: each body in a row of its own, under the name it is given here."""
    nr, = db.execute("SELECT nr FROM starts").fetchone()
    task, = db.execute("SELECT task FROM tasks").fetchone()
    for table in "records", "bodies", "pieces":
        db.execute(f"DELETE FROM {table}")
    put_events(db, nr, events)
    put_bodies(db, task, bodies.items())


@contextlib.contextmanager
def opened(home):
    """The store of a test's Home, committed and closed at the end."""
    with contextlib.closing(sqlite3.connect(home.path / "home" / "tasks.db")) as db, db:
        yield db
