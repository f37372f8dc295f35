# SPDX-License-Identifier: Apache-2.0
"""Cases 1 to 39: paths that lead elsewhere, links, and what is no file."""

import os
import socket
import subprocess

from attack_cases import allow, case, deny
from attack_support import CANARY, Skip

# -- A. paths

deny(1, "E_OUTSIDE", "read_text_file", path="../../../etc/passwd")
deny(1, "E_OUTSIDE", "read_text_file", path="../" * 20 + "etc/passwd")
deny(2, "E_OUTSIDE", "write_file", path="/etc/cron.d/conclave-x", content="x")
deny(3, "E_OUTSIDE", "read_text_file", path="{BOB}/secret.txt")
deny(3, "E_OUTSIDE", "read_text_file", path="../../{BOBHEX}/work/secret.txt")
deny(3, "E_OUTSIDE", "write_file", path="{BOB}/secret.txt", content="x")
deny(3, "E_OUTSIDE", "read_text_file", path="workspace://agent2/secret.txt")
for p in ("~/.ssh/id_rsa", "~root/x", "{BASE}/.ssh/id_rsa"):
    deny(4, "E_OUTSIDE", "read_text_file", path=p)
for p in ("file:///etc/passwd", "/proc/self/root/etc/passwd", "/proc/self/environ", "/dev/fd/0", "/proc/self/cwd/home/tasks.db"):
    deny(5, "E_OUTSIDE", "read_text_file", path=p)
deny(6, "E_OUTSIDE", "read_text_file", path="{RO}0/f")


@case(6)
def prefix_of_the_workspace(c):
    (c.work.parent / "work0").mkdir()
    (c.work.parent / "work0" / "f").write_text(CANARY + "prefix")
    c.rig.own(c.work.parent / "work0")
    c.denies("E_OUTSIDE", "read_text_file", path="../work0/f")
    c.denies("E_OUTSIDE", "write_file", path="{W}0/f", content="x")
    (c.work.parent / "work0" / "f").unlink()


deny(7, "E_ARGS", "read_text_file", path="ok.txt\0/etc/passwd")
deny(8, "E_ARGS", "read_text_file", path="a" * 5000)
deny(8, "E_ARGS", "read_text_file", path="a/" * 300 + "a")
for v in (7, None, ["a"], {"a": "b"}, True):
    deny(9, "E_ARGS", "read_text_file", path=v)
deny(10, "E_ARGS", "delete_file", path="", recursive=True)
deny(10, "E_ROOT", "delete_file", path=".", recursive=True)
deny(10, "E_OUTSIDE", "delete_file", path="/", recursive=True)
deny(11, "E_ARGS", "read_text_file", path="here-ann", file="/etc/passwd")
deny(11, "E_ARGS", "read_text_file", path="/etc/passwd", file="here-ann")
deny(11, "E_ARGS", "write_file", file_path="here-ann", path="{OUT}/victim", content="x")
for i, p in enumerate(("%2e%2e%2fx", "..%2fx", "..\\..\\x")):
    allow(12, "write_file", path=p, content="literal", then=lambda c, _, p=p: (c.work / p).read_text() == "literal")
for p in ("{T1}//keep.txt", "{T1}/./keep.txt", "{T1}/keep.txt/", "{T1}/src/../keep.txt", "{T1}/locked//x/", "../target1/locked/./y"):
    deny(13, "E_PROTECTED", "write_file", path=p, content="x", phase="final")
deny(14, "E_READONLY", "write_file", path="{RO}/new.txt", content="x")
deny(14, "E_READONLY", "create_directory", path="{RO}/new")
deny(15, "E_READONLY", "write_file", path="{WC}/a", content="x")
deny(15, "E_READONLY", "write_file", path="{WC}/a", content="x", phase="final")
allow(15, "write_file", path="{T1}/a", content="x", phase="final", then=lambda c, _: (c.work.parent / "target1" / "a").read_text() == "x")
for where in ("{T1}", "{WC}"):
    for p in (".git/hooks/pre-commit", ".env", "sub/.git/config", "node_modules/y"):
        deny(16, "E_EXCLUDED", "write_file", path=f"{where}/{p}", content="x", phase="final")
    for p in (".ENV", ".env.local", ".Git/config", "NODE_MODULES/x"):
        deny(17, "E_EXCLUDED", "write_file", path=f"{where}/{p}", content="x", phase="final")
for p in ("{RO}/.env", "{RO}/deploy.pem", "{WC}/.env", "{RO}/innocent"):
    deny(18, "E_SECRET", "read_text_file", path=p)
for p in ("{RO}/.env", "{RO}/innocent"):
    deny(18, "E_SECRET", "copy_file", source_path=p, destination_path="stolen")
allow(19, "write_file", path="{T2}/src/a", content="x", phase="final")
allow(20, "read_text_file", path="{ONE}/file.txt", then=lambda c, t: t == "the file\n")
deny(20, "E_SIBLING", "read_text_file", path="{ONE}/sibling.txt")


@case(20)
def sibling_among_several(c):
    text = c.call("read_multiple_files", paths=["{ONE}/file.txt", "{ONE}/sibling.txt"])
    assert "the file" in text and "E_SIBLING" in text, text


deny(21, "E_SIBLING", "compare_files", file1="{ONE}/file.txt", file2="{ONE}/sibling.txt")
deny(21, "E_SIBLING", "copy_file", source_path="{ONE}/sibling.txt", destination_path="s")
deny(21, "E_SIBLING", "copy_files_batch", source_base_path="{ONE}", destination_base_path="s")
for t, more in (("list_directory", {}), ("search_files", {"pattern": "*"}), ("directory_tree", {})):
    deny(22, "E_SIBLING", t, path="{ONE}", **more)
allow(23, "read_text_file", path="../view/agent2/mine.txt", phase="vote", then=lambda c, t: t == "of bob\n")
for t, more in (("write_file", {"content": "x"}), ("delete_file", {}), ("edit_file", {"edits": [{"oldText": "bob", "newText": "ann"}]})):
    deny(23, "E_READONLY|E_EXCLUDED", t, path="../view/agent2/mine.txt", phase="vote", **more)
deny(23, "E_READONLY", "move_file", source="../view/agent2/mine.txt", destination="taken", phase="vote")

# -- B. links and what is no file


@case(24)
def link_out(c):
    for name, to in (("l24", "/etc/passwd"), ("l24b", "{OUT}/secret"), ("l24c", "../../../../../out/secret"), ("l24d", "l24b")):
        c.link(name, to)
        c.denies("E_SYMLINK", "read_text_file", path=name)
        c.denies("E_SYMLINK", "write_file", path=name, content="x")
        c.denies("E_SYMLINK", "edit_file", path=name, edits=[{"oldText": "o", "newText": "x"}])
        c.denies("E_SYMLINK", "copy_file", source_path=name, destination_path="copy24")


@case(25)
def folder_link_out(c):
    c.link("l25", "{OUT}/dir")
    c.denies("E_SYMLINK", "write_file", path="l25/x", content="x")
    c.denies("E_SYMLINK", "write_file", path="l25/new", content="x")
    c.denies("E_SYMLINK", "create_directory", path="l25/new")
    c.denies("E_SYMLINK", "delete_file", path="l25/x")
    c.denies("E_SYMLINK", "move_file", source="l25/x", destination="x25")
    c.denies("E_SYMLINK", "move_file", source="here-ann", destination="l25/here")
    c.denies("E_SYMLINK", "list_directory", path="l25")
    assert (c.work / "here-ann").exists()


@case(26)
def folder_with_links_is_copied_without_them(c):
    c.put("d26/f")
    c.link("d26/out", "{OUT}/secret")
    c.link("d26/sub/outdir", "{OUT}/dir")
    text = c.allows("copy_file", source_path="d26", destination_path="c26")
    assert not os.path.lexists(c.work / "c26/out") and not os.path.lexists(c.work / "c26/sub/outdir") and (c.work / "c26/f").exists()
    assert "outdir" in text, text


@case(27)
def batch_over_links(c):
    c.put("d27/f")
    c.link("d27/out", "{OUT}/secret")
    c.link("d27/outdir", "{OUT}/dir")
    text = c.call("copy_files_batch", source_base_path="d27", destination_base_path="c27")
    assert sorted(os.listdir(c.work / "c27")) == ["f"], os.listdir(c.work / "c27")
    assert "E_SYMLINK" in text, text


@case(28)
def comparing_across_links(c):
    c.put("d28a/secret", "mine\n")
    c.put("d28b/f")
    c.link("d28b/secret", "{OUT}/secret")
    c.link("l28", "{OUT}/dir")
    c.call("compare_directories", dir1="d28a", dir2="d28b", show_content_diff=True)
    c.denies("E_SYMLINK", "compare_directories", dir1="d28a", dir2="l28", show_content_diff=True)
    c.denies("E_SYMLINK", "compare_files", file1="d28a/secret", file2="d28b/secret")


@case(32)
def hard_link_of_a_file_that_is_read_only(c):
    os.link(c.base / "ro/sub/f.txt", c.work / "h32")
    try:
        c.call("read_text_file", path="h32")
        c.call("write_file", path="h32", content="mine\n")
        assert (c.base / "ro/sub/f.txt").read_text() == "sub\n" and (c.work / "h32").read_text() == "mine\n"
        os.unlink(c.work / "h32")
        os.link(c.base / "ro/sub/f.txt", c.work / "h32")
        c.call("read_text_file", path="h32")
        c.call("edit_file", path="h32", edits=[{"oldText": "sub", "newText": "mine"}])
        assert (c.base / "ro/sub/f.txt").read_text() == "sub\n"
    finally:
        os.unlink(c.work / "h32")
    c.guard()


@case(33)
def deleting_links(c):
    c.link("l33", "{OUT}/secret")
    c.allows("delete_file", path="l33")
    assert not os.path.lexists(c.work / "l33")
    c.call("create_directory", path="d33")
    c.link("d33/outdir", "{OUT}/dir")
    c.link("d33/out", "{OUT}/secret")
    c.allows("delete_file", path="d33", recursive=True)
    assert not (c.work / "d33").exists()


@case(34)
def cycle_of_links(c):
    c.put("d34/f")
    c.link("d34/a", "b")
    c.link("d34/b", "a")
    c.link("d34/up", "..")
    text = c.allows("directory_tree", path="d34")
    assert text.count('"f"') == 1, text
    assert c.allows("search_files", path="d34", pattern="*f").count("d34/f") == 1
    c.allows("copy_file", source_path="d34", destination_path="c34")
    c.denies("E_SYMLINK", "read_text_file", path="d34/a")


@case(35)
def link_made_by_a_command(c):
    c.run("ln -s /etc/passwd l35; ln -s {OUT}/dir l35d; echo inner > f35; ln -s f35 l35i")
    c.denies("E_SYMLINK", "read_text_file", path="l35")
    c.denies("E_SYMLINK", "read_text_file", path="l35d/secret")
    assert c.allows("read_text_file", path="l35i") == "inner\n"


@case(36)
def mount_point(c):
    if os.geteuid() != 0:
        raise Skip("mounting needs root")
    (c.work / "d36/mnt").mkdir(parents=True)
    (c.work / "d36/f").write_text("x")
    c.rig.own(c.work)
    if subprocess.run(["mount", "--bind", c.base / "out/dir", c.work / "d36/mnt"], capture_output=True).returncode != 0:
        raise Skip("a mount is not allowed here")
    try:
        c.hear(c.call("copy_file", source_path="d36", destination_path="c36"))
        assert not (c.work / "c36/mnt/secret").exists()
        c.denies("E_OUTSIDE", "read_text_file", path="d36/mnt/secret")
        c.call("delete_file", path="d36", recursive=True)
        c.call("delete_file", path="d36/mnt/x")
        c.guard()
    finally:
        subprocess.run(["umount", c.work / "d36/mnt"])


@case(37)
def home_is_a_link(c):
    """The folder of workspaces is a link at the start and leads elsewhere later: what was opened stays."""
    link = c.base / "homelink"
    assert c.rig.env["CONCLAVE_HOME"] == str(link)
    link.unlink()
    link.symlink_to(c.base / "out")
    try:
        c.allows("write_file", path="f37", content="x")
        assert (c.work / "f37").exists()
    finally:
        link.unlink()
        link.symlink_to(c.base / "home")


@case(38)
def neither_file_nor_folder(c):
    (c.work / "d38").mkdir()
    os.mkfifo(c.work / "d38/fifo")
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(c.work / "d38")
        s.bind("socket")
        os.chdir(here)
    if os.geteuid() == 0:
        os.mknod(c.work / "d38/zero", 0o20666, os.makedev(1, 5))
    c.put("d38/f")
    for name in sorted(os.listdir(c.work / "d38")):
        if name != "f":
            c.fails("read_text_file", path=f"d38/{name}")
            c.fails("copy_file", source_path=f"d38/{name}", destination_path="c38x")
            c.fails("write_file", path=f"d38/{name}", content="x")
    c.allows("copy_file", source_path="d38", destination_path="c38")
    assert os.listdir(c.work / "c38") == ["f"]


@case(39)
def sparse_terabyte(c):
    with open(c.work / "s39", "wb") as f:
        f.truncate(1 << 40)
    c.rig.own(c.work)
    try:
        c.denies("E_SIZE", "copy_file", source_path="s39", destination_path="c39")
        c.denies("E_SIZE", "copy_files_batch", source_base_path=".", destination_base_path="c39", include_patterns=["s39"])
        c.call("read_text_file", path="s39", head=1)
    finally:
        (c.work / "s39").unlink()
