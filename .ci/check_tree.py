#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler does not: arrows between folders, the address of each third-party header, file lengths, licence tags,
and that every document, section and invariant a text cites is there."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A folder may include itself and what stands left of it.
ORDER = ["protocols", "transports", "actors", "app"]

# Header pattern -> files that may include it (prefix match). One address each; tests and examples are free.
ADDRESSES = {
    r"curl/": ["transports/http_client"],
    r"sqlite3\.h|SQLiteCpp/": ["transports/event_store"],
    r"zlib\.h": ["transports/event_store_record"],
    r"yaml-cpp/": ["app/load_config"],
    r"nlohmann/json\.hpp": ["protocols/wire/"],
    r"simdjson\.h": ["protocols/wire/delta_reader.cpp"],
    r"re2/": ["protocols/command_filter"],
    r"CLI/": ["app/cli", "app/main"],
    r"openssl/": ["protocols/wire/sha256", "transports/pki", "transports/tls_tunnel"],
    r"seccomp\.h": ["transports/sandbox_filter"],
    r"git2": ["transports/git_library"],
    r"caf/io/": ["transports/node_link"],
    r"boost/": ["transports/child_", "transports/tls_tunnel", "transports/node_listener"],
}

# protocols/ is pure: CAF only where handles and errors are defined.
CAF_IN_PROTOCOLS = {"caf_error.hpp", "caf_error.cpp", "inspect.hpp", "interfaces.hpp", "type_ids.hpp"}

LIMITS = {".hpp": 400, ".cpp": 500, ".py": 500}

# Clocks, chance and threads have one way in, transports/outside.hpp. These files (prefix match) are what the real one is made of.
REAL_OUTSIDE = {
    "transports/outside": "this machine itself",
    "transports/http_client": "the thread of all transfers, and their deadlines",
    "transports/child_": "the thread of all children",
    "transports/event_store": "the threads of a store, and how long it waits for locks",
    "transports/local_model": "looks at files where nobody waits for it",
    "transports/node_link": "joins a cluster: looks names up; draws when to try again, out of step with others, and no run with nodes is recorded",
    "transports/node_listener": "the cluster's door: draws whom it turns away when it is crowded; a node's, which is never recorded",
    "transports/sandbox_launcher/": "a program of its own, which ends commands in time and is no part of a recorded run",
    "transports/process_owner": "when this process began",
    "transports/pki": "serial numbers of certificates",
    "transports/process_room": "whether the system gives threads at all",
}
NAMES_OF_OUTSIDE = re.compile(
    r"\b(?:random_device|(?:system|steady|high_resolution|utc|file|tai|gps)_clock|localtime\w*|mktime|timelocal|gettimeofday"
    r"|clock_gettime|timespec_get|getrandom|getentropy|arc4random\w*|[dlm]?rand48|RAND_\w*bytes|pthread_create"
    r"|std::(?:jthread|thread|async)\b|s?rand\s*\(|\w+::now\s*\()"
    r"|(?<![\w.>:])(?:std::|::)?time\s*\(\s*(?:nullptr|NULL|0|&\w+)\s*\)"
)
# Who may begin with the machine: the host's own code, and the parts that a caller leaves as they are.
MACHINE = re.compile(r"\bof_machine\b")
MACHINE_HOMES = ["app/", "transports/outside", "actors/parts.hpp", "actors/orchestrator.hpp"]

# Files (prefix match) -> what they may call in one of them alone, so that no other forgets a part of it.
ONE_DOOR = {
    "transports/file_tools": (re.compile(r"\b(?:path_policy|git)::(?:judge\w*|is_repository)\b"), "transports/file_tools_judge.cpp"),
}


# A document as text names it, with sections if any: "docs/protocol.md 8.2, 8.3".
DOCUMENT = re.compile(
    r"(?<![\w/.*<-])([\w./-]*\w\.(?:md|pml))\b"
    r"(?:,? (?:section )?(\d+(?:\.\d+)?)((?:(?:, | to | and )\d+(?:\.\d+)?)*))?"
)
SLASHES, HASH, ALL = r"//(.*)", r"#(.*)", r"(.*)"
COMMENT = {".cpp": SLASHES, ".hpp": SLASHES, ".py": HASH, ".cmake": HASH, ".yaml": HASH, ".txt": HASH, ".md": ALL}
# Numbers of scenarios and decisions of documents that are not here.
FOREIGN = re.compile(r"\b[SD] ?- ?\d+\b")


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [pathlib.Path(p) for p in out.stdout.splitlines() if (ROOT / p).is_file()]


def includes(text):
    for n, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m:
            yield n, m.group(1) == '"', m.group(2)


def code_of(line):
    """A line without what it only speaks of: its comment and its literals."""
    return re.sub(r"//.*", "", re.sub(r'"(?:[^"\\]|\\.)*"', '""', line))


def check_outside(path, text, problems):
    """Nothing but the outside knows the time, chance or a thread (docs/architecture.md)."""
    real = any(str(path).startswith(home) for home in REAL_OUTSIDE)
    machine = any(str(path).startswith(home) for home in MACHINE_HOMES)
    for n, line in enumerate(text.splitlines(), 1):
        code = code_of(line)
        found = None if real else NAMES_OF_OUTSIDE.search(code)
        if found:
            problems.append(f"{path}:{n}: '{found.group().strip()}': clocks, chance and threads come from transports/outside.hpp")
        if not machine and MACHINE.search(code):
            problems.append(f"{path}:{n}: the outside is handed on by the parts structs, this machine is not asked for here")


def check_doors(path, text, problems):
    for files, (names, door) in ONE_DOOR.items():
        if str(path).startswith(files) and str(path) != door:
            for n, line in enumerate(text.splitlines(), 1):
                if found := names.search(code_of(line)):
                    problems.append(f"{path}:{n}: {found.group()} is called in {door} alone")


def check(path, text, problems):
    folder = path.parts[0]
    if path.suffix in LIMITS:
        lines = text.count("\n")
        if lines > LIMITS[path.suffix]:
            problems.append(f"{path}: {lines} lines, the limit is {LIMITS[path.suffix]}: a pure part wants out")
        if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
            problems.append(f"{path}:1: the licence tag is missing")
    if folder not in ORDER or path.suffix not in LIMITS:
        return
    check_outside(path, text, problems)
    check_doors(path, text, problems)
    for n, quoted, name in includes(text):
        where = f"{path}:{n}"
        if quoted:
            target = name.split("/")[0]
            if target in ORDER and ORDER.index(target) > ORDER.index(folder):
                problems.append(f"{where}: {folder} must not include {name}")
            continue
        for pattern, homes in ADDRESSES.items():
            if re.match(pattern, name) and not any(str(path).startswith(h) for h in homes):
                problems.append(f"{where}: <{name}> has another address: {', '.join(homes) or 'none'}")
        if folder == "protocols" and name.startswith("caf/") and path.name not in CAF_IN_PROTOCOLS:
            problems.append(f"{where}: protocols are pure, no CAF here")
        if name in {"thread", "mutex", "fstream", "filesystem", "unistd.h", "sys/socket.h"} and folder == "protocols":
            problems.append(f"{where}: protocols are pure, no <{name}> here")


def comment_of(path):
    """The pattern of a comment of this file; None = it is not searched."""
    return COMMENT.get(path.suffix) or (HASH if path.suffix == "" and path.parts[0] in {"scripts", ".ci"} else None)


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


class Library:
    """The documents of the tree: what they are called, which headings, sections and invariants they have."""

    def __init__(self, paths):
        self.documents = {}
        for path in paths:
            if path.suffix == ".md":
                self.documents[path] = (ROOT / path).read_text(errors="replace")

    def find(self, name, near):
        for path in (pathlib.Path(name), near.parent / name):
            known = pathlib.Path(os.path.normpath(path))
            if known in self.documents:
                return known
        return next((d for d in self.documents if d.name == name), None)

    def headings(self, path):
        return re.findall(r"^#+ (.*)$", self.documents[path], re.M)

    def has_section(self, path, number):
        return any(h.startswith(number + ". ") or h.startswith(number + " ") for h in self.headings(path))

    def has_invariant(self, number):
        return any(f"**I{number}**" in text for text in self.documents.values())


def check_citations(path, text, library, problems):
    """What a comment cites must be readable here. In code only comments count: a program may speak of files of its own."""
    if path.suffix == ".md":
        text = re.sub(r"^```.*?^```", lambda m: "\n" * m.group().count("\n"), text, flags=re.M | re.S)
        text = re.sub(r"^    .*$", "", text, flags=re.M)
    for n, line in enumerate(text.splitlines(), 1):
        m = re.search(comment_of(path), line)
        if not m:
            continue
        said = re.sub(r"https?://\S+", "", m.group(1))
        where = f"{path}:{n}"
        for name, number, more in DOCUMENT.findall(said):
            document = library.find(name, path)
            if document is None:
                problems.append(f"{where}: {name} is not in this tree")
                continue
            for cited in re.findall(r"\d+(?:\.\d+)?", f"{number} {more}"):
                if not library.has_section(document, cited):
                    problems.append(f"{where}: {document} has no section {cited}")
        for found in FOREIGN.findall(said):
            problems.append(f"{where}: '{found}' cites a document that is not in this tree")
        for number in re.findall(r"\bI(\d+)\b", said):
            if not library.has_invariant(number):
                problems.append(f"{where}: no document states the invariant I{number}")


def check_links(path, library, problems):
    text = re.sub(r"^```.*?^```", "", library.documents[path], flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / path.parent / name).resolve() if name else ROOT / path
        if not file.exists():
            problems.append(f"{path}: the link to {name} leads nowhere")
        elif anchor and file.suffix == ".md":
            known = file.relative_to(ROOT)
            if known in library.documents and anchor not in map(slug, library.headings(known)):
                problems.append(f"{path}: {known} has no heading #{anchor}")


def main():
    problems = []
    paths = tracked()
    library = Library(paths)
    for path in library.documents:
        check_links(path, library, problems)
    for path in paths:
        if comment_of(path):
            check_citations(path, (ROOT / path).read_text(errors="replace"), library, problems)
        if path.suffix in LIMITS:
            check(path, (ROOT / path).read_text(errors="replace"), problems)
    for p in problems:
        print(p)
    print(f"check_tree: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
