# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts of this folder; sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# A clone that was moved or copied has build folders that belong to the other one, and so would be what is built.
own_builds() { # own_builds PRESET...
  local p source
  for p in "$@"; do
    source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "build/$p/CMakeCache.txt" 2>/dev/null || true)
    [ -z "$source" ] || [ "$source" -ef "$root" ] ||
      die "build/$p was made for the sources in $source: delete that folder and try again: rm -r $root/build/$p"
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    die "this needs packages that are not installed; run as root or install sudo. Missing:${missing:-}"
  fi
}

# Installs the Debian packages named that are not there yet.
need_packages() {
  missing=""
  local p
  command -v dpkg-query >/dev/null 2>&1 || die "this script installs Debian packages; on another system install: $*"
  for p in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
  done
  [ -n "$missing" ] || return 0
  say "installing:$missing"
  as_root apt-get update -qq || die "the package lists cannot be updated; install these yourself:$missing"
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    die "some packages cannot be installed (Debian 12 has them all):$missing"
}

build_packages="g++ cmake ninja-build ccache git ca-certificates libcaf-dev nlohmann-json3-dev libsimdjson-dev libcurl4-openssl-dev libyaml-cpp-dev
  libboost1.81-dev libre2-dev libsqlite3-dev zlib1g-dev libssl-dev libcli11-dev libseccomp-dev libgit2-dev pkg-config"
check_packages="librapidcheck-dev libbenchmark-dev clang-format clang clang-tidy python3 python3-venv openssl patch spin"

is_gguf() { [ -f "$1" ] && [ "$(head -c 4 "$1")" = GGUF ]; }

# Where quickstart keeps the local model and its server; the same rule as transports/home.cpp.
local_dir() {
  if [ -n "${CONCLAVE_HOME:-}" ]; then
    printf '%s/local\n' "$CONCLAVE_HOME"
  else
    printf '%s/conclave/local\n' "${XDG_STATE_HOME:-$HOME/.local/state}"
  fi
}
