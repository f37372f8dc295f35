// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to command_forms.cpp: the commands that run others, and how they are told to.

#include <string_view>

namespace conclave::shell {

/// A command that runs the command in its arguments.
struct wrapper {
  std::string_view name;
  std::string_view flags;  ///< short options without a value
  std::string_view valued; ///< short options with one
  std::string_view longs;  ///< long options that take the next word, each with a space behind it
  int operands = 0;        ///< words in front of the command
  bool assigns = false;    ///< NAME=VALUE words come first
};

inline constexpr wrapper wrappers[] = {
    {"aa-exec", "dvi", "pn", "--profile --namespace "},
    {"builtin", "", "", ""},
    {"busybox", "", "", ""},
    {"catchsegv", "", "", ""},
    {"cgexec", "", "g", ""},
    {"choom", "", "np", "--adjust --pid "},
    {"chroot", "", "", "", 1},
    {"chrt", "abdfiormpv", "", "", 1},
    {"command", "p", "", ""},
    {"dbus-launch", "", "", ""},
    {"dbus-run-session", "", "", "--dbus-daemon --config-file "},
    {"doas", "Lns", "Cu", ""},
    {"eatmydata", "", "", ""},
    {"env", "0iv", "uC", "--unset --chdir ", 0, true},
    {"exec", "cl", "a", ""},
    {"fakechroot", "s", "ldebc", "--lib --elfloader --environment --config-dir --bindir "},
    {"fakeroot", "", "", ""},
    {"faketime", "mp", "f", "", 1},
    {"flock", "eFnosux", "cEw", "--command --timeout --conflict-exit-code ", 1},
    {"ionice", "t", "cn", "--class --classdata "},
    {"ld.so", "", "", "--library-path --preload --audit --argv0 --inhibit-rpath --glibc-hwcaps-prepend --glibc-hwcaps-mask "},
    {"i386", "", "", ""},
    {"linux32", "", "", ""},
    {"linux64", "", "", ""},
    {"logsave", "asv", "", "", 1},
    {"ltrace", "", "", ""},
    {"nice", "0123456789", "n", "--adjustment "},
    {"nohup", "", "", ""},
    {"nsenter", "", "", ""},
    {"numactl", "alsHV", "iICmNpPwB", "--interleave --cpunodebind --physcpubind --membind --preferred --localalloc --balancing "},
    {"parallel", "", "", ""},
    {"pkexec", "", "", ""},
    {"prlimit", "", "p", "--pid "},
    {"proxychains", "q", "f", ""},
    {"proxychains4", "q", "f", ""},
    {"rlwrap", "acinNrRvw", "bCDefgHlOpPqsSzm", ""},
    {"setarch", "", "", "", 1},
    {"setpriv", "d", "",
     "--ruid --euid --reuid --rgid --egid --regid --groups --inh-caps --ambient-caps --bounding-set --securebits --pdeathsig "},
    {"setsid", "cfw", "", ""},
    {"ssh-agent", "cDdks", "aEOPt", ""},
    {"stdbuf", "", "ioe", "--input --output --error "},
    {"strace", "", "", ""},
    {"sudo", "AbEHKknPSi", "CDghpRrTtUu", "--user --group --chdir --host --prompt ", 0, true},
    {"systemd-run", "GPStqd", "pEuHM", "--unit --property --setenv --uid --gid --nice --working-directory --slice "},
    {"taskset", "ac", "", "", 1},
    {"time", "apqv", "fo", "--format --output "},
    {"timeout", "v", "ks", "--kill-after --signal ", 1},
    {"torsocks", "adiq", "uP", "--user --pass --address --port "},
    {"toybox", "", "", ""},
    {"uclampset", "amM", "p", ""},
    {"unbuffer", "p", "", ""},
    {"unshare", "imnpuUCTrcf", "wGSR", "--root --wd --setuid --setgid --propagation --setgroups --map-user --map-group "},
    {"valgrind", "", "", ""},
    {"x86_64", "", "", ""},
    {"xargs", "0oprtx", "aEdIiLlnPs", "--arg-file --delimiter --max-args --max-procs --max-chars --process-slot-var "},
    {"xvfb-run", "alh", "efnpsw", "--error-file --auth-file --server-num --xauth-protocol --server-args --wait "},
};

inline constexpr std::string_view shells[] = {"sh",    "bash", "dash", "ash", "ksh",  "mksh", "zsh",
                                              "rbash", "posh", "yash", "csh", "tcsh", "fish"};

/// They run what they read, or a shell that does.
inline constexpr std::string_view readers[] = {"at", "batch", "newgrp", "parallel"};

/// They start a shell where no command is behind them.
inline constexpr std::string_view shell_starters[] = {"aa-exec", "chroot",  "doas",        "fakechroot", "fakeroot",
                                                      "i386",    "linux32", "linux64",     "nsenter",    "pkexec",
                                                      "setarch", "sudo",    "systemd-run", "unshare",    "x86_64"};

/// Other commands than wrappers and shells that run what is in their arguments.
inline constexpr std::string_view runners[] = {"eval", "find", "runuser", "script", "sg", "split", "su", "trap", "watch"};

} // namespace conclave::shell
