#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler does not: arrows between folders, the address of each third-party header, file lengths, licence tags."""

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
    r"yaml-cpp/": ["app/load_config"],
    r"nlohmann/json\.hpp": ["protocols/wire/"],
    r"CLI/": ["app/cli", "app/main"],
    r"openssl/": ["transports/pki", "transports/tls_tunnel"],
    r"caf/io/": ["transports/node_link"],
    r"boost/": ["transports/child_", "transports/tls_tunnel", "transports/node_listener"],
}

# protocols/ is pure: CAF only where handles and errors are defined.
CAF_IN_PROTOCOLS = {"caf_error.hpp", "caf_error.cpp", "inspect.hpp", "interfaces.hpp", "type_ids.hpp"}

LIMITS = {".hpp": 400, ".cpp": 500}


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [pathlib.Path(p) for p in out.stdout.splitlines() if (ROOT / p).is_file()]


def includes(text):
    for n, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m:
            yield n, m.group(1) == '"', m.group(2)


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


def main():
    problems = []
    for path in tracked():
        if path.suffix in LIMITS:
            check(path, (ROOT / path).read_text(errors="replace"), problems)
    for p in problems:
        print(p)
    print(f"check_tree: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
