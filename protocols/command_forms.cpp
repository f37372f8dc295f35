// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/command_forms.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace conclave::shell {

namespace {

constexpr int max_levels = 8;
constexpr std::size_t max_forms = 20'000;

/// A command that runs the command in its arguments.
struct wrapper {
  std::string_view name;
  std::string_view flags;  ///< short options without a value
  std::string_view valued; ///< short options with one
  std::string_view longs;  ///< long options that take the next word, each with a space behind it
  int operands = 0;        ///< words in front of the command
  bool assigns = false;    ///< NAME=VALUE words come first
};

constexpr wrapper wrappers[] = {
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
    {"linux32", "", "", ""},
    {"linux64", "", "", ""},
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
    {"xargs", "0oprtx", "aEdIiLlnPs", "--arg-file --delimiter --max-args --max-procs --max-chars --process-slot-var "},
    {"xvfb-run", "alh", "efnpsw", "--error-file --auth-file --server-num --xauth-protocol --server-args --wait "},
};

constexpr std::string_view shells[] = {"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"};

simple_command rest_of(const simple_command& c, std::size_t first) {
  simple_command out;
  out.words.assign(c.words.begin() + static_cast<std::ptrdiff_t>(std::min(first, c.words.size())), c.words.end());
  out.background = c.background;
  out.piped = c.piped;
  return out;
}

bool is_assignment(const std::string& text) {
  auto equal = text.find('=');
  return equal != std::string::npos && equal > 0
         && std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(equal),
                        [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

class expander {
public:
  explicit expander(forms& out) : out_(out) {}

  void add_line(std::string_view text, int level) {
    if (level > max_levels)
      return doubt("it runs commands through too many others");
    auto line = parse(text);
    if (!line.doubt.empty())
      doubt(line.doubt);
    for (auto& f : line.functions)
      out_.is_fork_bomb = out_.is_fork_bomb || multiplies(line, f);
    for (auto& c : line.commands)
      add(c, level);
    if (line.odd)
      add_all_that_may_begin(text);
  }

private:
  /// Any word may be the name of a command, whatever quotes and signs are around it.
  void add_all_that_may_begin(std::string_view text) {
    std::vector<simple_command> parts(1);
    std::string word;
    auto end_word = [&] {
      if (!word.empty())
        parts.back().words.emplace_back().text = std::exchange(word, {});
    };
    for (auto c : text) {
      auto ends_part = std::string_view(";&|()`\n<>").find(c) != std::string_view::npos;
      if (ends_part || std::string_view(" \t{},").find(c) != std::string_view::npos)
        end_word();
      else if (std::string_view("'\"\\").find(c) == std::string_view::npos)
        word += c;
      if (ends_part && !parts.back().words.empty() && parts.size() < max_forms)
        parts.emplace_back();
    }
    end_word();
    for (auto& part : parts)
      for (std::size_t i = 0; i < std::min<std::size_t>(part.words.size(), 64) && out_.possible.size() < max_forms; ++i)
        out_.possible.push_back(rest_of(part, i));
  }

  static bool multiplies(const command_line& line, const function& f) {
    int calls = 0;
    auto beside = false;
    for (auto i = f.first; i < std::min(f.last, line.commands.size()); ++i) {
      auto& c = line.commands[i];
      if (c.words.empty() || c.words.front().text != f.name)
        continue;
      ++calls;
      beside = beside || c.background;
    }
    return calls > 1 || beside;
  }

  void doubt(const std::string& why) {
    if (out_.doubt.empty())
      out_.doubt = why;
  }

  void add(const simple_command& c, int level) {
    if (out_.commands.size() + out_.possible.size() >= max_forms)
      return doubt("it has too many commands");
    out_.commands.push_back(c);
    if (c.words.empty())
      return;
    auto name = base_name(c);
    if (std::find(std::begin(shells), std::end(shells), name) != std::end(shells))
      return add_shell(c, level);
    if (name == "su" || name == "script" || name == "runuser")
      return static_cast<void>(add_script_option(c, "c", level));
    if (name == "flock")
      add_script_option(c, "c", level);
    if (name == "eval" || name == "watch")
      return add_joined(c, level);
    if (name == "trap") {
      auto first = c.words.size() > 1 && c.words[1].text == "--" ? std::size_t{2} : 1;
      return c.words.size() > first + 1 ? add_script(c.words[first], level) : void();
    }
    if (name == "alias")
      return add_aliases(c, level);
    if (name == "find")
      return add_executed(c, level);
    if (name.starts_with("ld-") && name.find(".so") != std::string::npos)
      name = "ld.so";
    for (auto& w : wrappers)
      if (w.name == name)
        return add_wrapped(c, w, level);
  }

  /// What it is given to read is commands, too, where it is not data of those it has got.
  void add_shell(const simple_command& c, int level) {
    if (add_script_option(c, "c", level, true))
      return;
    for (auto& text : c.documents)
      add_line(text, level + 1);
    for (auto& r : c.redirections)
      if (r.op.ends_with("<<<"))
        add_script(r.target, level);
  }

  void add_script(const word& w, int level) {
    if (w.dynamic)
      doubt("a command line comes from an expansion");
    add_line(w.text, level + 1);
  }

  /// sh -c 'text': the option may stand in a group, and others before the text. `names`: each `o` of a group has a word behind it.
  /// Returns whether there is one.
  bool add_script_option(const simple_command& c, std::string_view letter, int level, bool names = false) {
    auto found = false;
    for (std::size_t i = 1; i < c.words.size(); ++i) {
      auto& t = c.words[i].text;
      if (c.words[i].dynamic && !found)
        doubt("the options of a shell come from an expansion");
      auto option = t == "-" || t == "+" || (t.size() > 1 && (t[0] == '-' || t[0] == '+'));
      auto group = option && t.rfind("--", 0) != 0;
      if (group && t.find(letter) != std::string::npos)
        found = true;
      else if (t.rfind("--command", 0) == 0 || t == "--session-command")
        found = true;
      else if (found && !option) {
        add_script(c.words[i], level);
        return true;
      }
      if (option && t.rfind("--command=", 0) == 0) {
        add_line(std::string_view(t).substr(10), level + 1);
        return true;
      }
      if (group && names)
        i += static_cast<std::size_t>(std::count_if(t.begin(), t.end(), [](char x) { return x == 'o' || x == 'O'; }));
    }
    return false;
  }

  /// env -S 'text', which stands alone, behind other letters, or behind a `=`. The name of a long option may be shortened.
  bool add_split_string(const simple_command& c, std::size_t i, int level) {
    auto& t = c.words[i].text;
    std::string script;
    auto first = i + 1;
    if (t.starts_with("--")) {
      auto equal = std::min(t.find('='), t.size());
      if (equal < 3 || !std::string_view("--split-string").starts_with(std::string_view(t).substr(0, equal)))
        return false;
      script = equal < t.size() ? t.substr(equal + 1) : "";
    } else {
      auto at = t.find('S');
      if (!t.starts_with('-') || at == std::string::npos || t.find_first_not_of("0iv", 1) != at)
        return false;
      script = t.substr(at + 1);
    }
    if (script.empty() && first < c.words.size())
      script = c.words[first++].text;
    for (auto k = i; k < std::min(first, c.words.size()); ++k)
      if (c.words[k].dynamic)
        doubt("a command line comes from an expansion");
    auto inner = rest_of(c, first).text();
    add_line("env " + script + (inner.empty() ? "" : " " + inner), level + 1);
    return true;
  }

  void add_joined(const simple_command& c, int level) {
    for (auto& w : c.words)
      if (w.dynamic)
        doubt("a command line comes from an expansion");
    auto rest = rest_of(c, 1);
    while (!rest.words.empty() && rest.words.front().text.starts_with('-')) // of watch; the value of one is taken for a name
      rest.words.erase(rest.words.begin());
    add_line(rest.text(), level + 1);
  }

  void add_aliases(const simple_command& c, int level) {
    for (std::size_t i = 1; i < c.words.size(); ++i) {
      auto equal = c.words[i].text.find('=');
      if (c.words[i].dynamic)
        doubt("a command line comes from an expansion");
      if (equal != std::string::npos)
        add_line(std::string_view(c.words[i].text).substr(equal + 1), level + 1);
    }
  }

  void add_executed(const simple_command& c, int level) {
    for (std::size_t i = 1; i < c.words.size(); ++i) {
      auto& t = c.words[i].text;
      if (t != "-exec" && t != "-execdir" && t != "-ok" && t != "-okdir")
        continue;
      auto inner = rest_of(c, i + 1);
      auto ends =
          std::find_if(inner.words.begin(), inner.words.end(), [](const word& w) { return w.text == ";" || w.text == "+"; });
      inner.words.erase(ends, inner.words.end());
      add_inner(inner, level);
    }
  }

  void add_inner(const simple_command& inner, int level) {
    if (inner.words.empty())
      return;
    if (inner.words.front().dynamic)
      doubt("the name of a command comes from an expansion");
    if (level >= max_levels)
      return doubt("it runs commands through too many others");
    add(inner, level + 1);
  }

  void add_wrapped(const simple_command& c, const wrapper& w, int level) {
    std::size_t i = 1;
    for (; i < c.words.size(); ++i) {
      auto& t = c.words[i].text;
      if (w.name == "env" && add_split_string(c, i, level))
        return;
      if (w.name == "env" && t == "-") // as -i
        continue;
      if (w.assigns && is_assignment(t))
        continue;
      if (t == "--") {
        ++i;
        break;
      }
      if (t.size() < 2 || t[0] != '-')
        break;
      if (t[1] == '-') {
        if (t.find('=') != std::string::npos)
          continue;
        if (w.longs.find(t + " ") != std::string_view::npos) {
          ++i;
          continue;
        }
        return add_possible(c, i);
      }
      auto at = t.find_first_not_of(w.flags, 1);
      if (at == std::string::npos)
        continue;
      if (w.valued.find(t[at]) == std::string_view::npos)
        return w.name == "command" ? void() : add_possible(c, i); // command -v only tells
      auto optional = w.name == "xargs" && (t[at] == 'i' || t[at] == 'l');
      if (at + 1 == t.size() && !optional)
        ++i;
    }
    for (; w.assigns && i < c.words.size() && is_assignment(c.words[i].text); ++i)
      continue;
    for (std::size_t k = 1; k < std::min(i, c.words.size()); ++k)
      if (c.words[k].dynamic)
        doubt("the options of a command come from an expansion");
    auto inner = rest_of(c, i + static_cast<std::size_t>(w.operands));
    add_inner(inner, level);
  }

  /// With an option that is not known, the command may begin at any word behind it.
  void add_possible(const simple_command& c, std::size_t from) {
    doubt("an option of " + c.words.front().text + " is not known");
    for (auto i = from; i < c.words.size() && out_.possible.size() < max_forms && i < from + 64; ++i)
      out_.possible.push_back(rest_of(c, i));
  }

  forms& out_;
};

} // namespace

std::string base_name(const simple_command& c) {
  if (c.words.empty())
    return {};
  auto& name = c.words.front().text;
  return name.substr(name.rfind('/') + 1); // npos + 1 = 0
}

forms all_forms(std::string_view line) {
  forms out;
  expander(out).add_line(line, 0);
  return out;
}

} // namespace conclave::shell
