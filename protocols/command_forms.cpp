// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/command_forms.hpp"

#include "protocols/command_wrappers.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace conclave::shell {

namespace {

constexpr int max_levels = 8;
constexpr std::size_t max_forms = 20'000;
constexpr std::size_t max_possible_words = 64; ///< of one command that may be run

template <std::size_t N>
bool is_one_of(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

simple_command rest_of(const simple_command& c, std::size_t first, std::size_t most = SIZE_MAX) {
  simple_command out;
  first = std::min(first, c.words.size());
  auto from = c.words.begin() + static_cast<std::ptrdiff_t>(first);
  out.words.assign(from, from + static_cast<std::ptrdiff_t>(std::min(most, c.words.size() - first)));
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

std::string base_of(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1)); // npos + 1 = 0
}

/// Whether it may name what is open already: /dev/stdin, /dev/fd/3, ...
bool may_be_stream(const word& w) {
  auto base = base_of(w.text);
  return base == "-" || base == "stdin" || base.find_first_not_of("0123456789") == std::string::npos
         || (w.dynamic && base.find_first_of("$`)}") != std::string::npos)
         || (w.pattern && base.find_first_of("*?[{") != std::string::npos);
}

/// Whether its name is a variable in which a shell has its own.
bool is_own_shell(const simple_command& c) {
  static constexpr std::string_view names[] = {"$0", "${0}", "$SHELL", "${SHELL}", "$BASH", "${BASH}"};
  return c.words.front().dynamic && is_one_of(names, c.words.front().text);
}

/// Whether an option of xargs has a part of the name replaced by what is read.
bool is_read_by_xargs(const std::string& name, const simple_command& c, std::size_t options_end) {
  auto holds = [&name](const std::string& part) { return name.find(part) != std::string::npos; };
  for (std::size_t i = 1; i < std::min(options_end, c.words.size()); ++i) {
    auto& t = c.words[i].text;
    auto is_long = t.starts_with("--r");
    auto at = t.starts_with("--") ? t.find('=') : t.find_first_of("Ii");
    if (!is_long && (t[0] != '-' || at == std::string::npos))
      continue;
    if (at < t.size() - 1 ? holds(t.substr(at + 1)) : holds("{}") || (i + 1 < c.words.size() && holds(c.words[i + 1].text)))
      return true;
  }
  return false;
}

class expander {
public:
  explicit expander(forms& out) : out_(out) {}

  /// All of a line: documents are data, unless something in the line runs what it reads.
  void add_all(std::string_view line) {
    add_line(line, 0);
    for (std::size_t i = 0; reads_commands_ && i < documents_.size(); ++i) {
      auto [text, level] = documents_[i]; // they become more
      add_script(text, level);
    }
  }

private:
  /// `expanded`: what the shell makes of it is not known.
  void add_line(std::string_view text, int level, bool expanded = false) {
    if (level > max_levels)
      return cut("it runs commands through too many others");
    auto [seen, is_new] = seen_.emplace(text, level);
    if (!is_new && seen->second <= level)
      return;
    seen->second = level;
    auto line = parse(text);
    for (auto& d : line.documents)
      documents_.emplace_back(std::move(d), level);
    if (!line.doubt.empty())
      doubt(line.doubt);
    for (auto& f : line.functions)
      out_.is_fork_bomb = out_.is_fork_bomb || multiplies(line, f);
    for (auto& c : line.commands) {
      reads_commands_ = reads_commands_ || (expanded && !c.words.empty() && c.words.front().dynamic);
      add(c, level);
    }
    if (line.odd)
      add_all_that_may_begin(text);
  }

  /// Any word may be the name of a command, whatever quotes and signs are around it.
  void add_all_that_may_begin(std::string_view text) {
    if (out_.possible.size() >= max_forms)
      return cut("it has too many words");
    std::vector<simple_command> parts(1);
    std::string word;
    auto end_word = [&] {
      if (!word.empty())
        parts.back().words.emplace_back().text = std::exchange(word, {});
    };
    for (auto c : text) {
      auto ends_part = std::string_view(";&|()`\n<>").find(c) != std::string_view::npos || (c == '#' && word.empty());
      if (ends_part || std::string_view(" \t{},").find(c) != std::string_view::npos)
        end_word();
      else if (std::string_view("'\"\\").find(c) == std::string_view::npos)
        word += c;
      if (ends_part && !parts.back().words.empty())
        parts.emplace_back();
    }
    end_word();
    for (auto& part : parts)
      add_possible(part, 0);
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

  void cut(const std::string& why) {
    doubt(why);
    out_.cut = true;
  }

  void add(const simple_command& c, int level) {
    if (out_.commands.size() + out_.possible.size() >= max_forms)
      return cut("it has too many commands");
    out_.commands.push_back(c);
    look_for_readers(c);
    if (c.words.empty())
      return;
    auto name = base_name(c);
    if (is_one_of(shells, name) || is_own_shell(c))
      return add_shell(c, level);
    if (name == "su" || name == "script" || name == "runuser" || name == "sg") {
      if (add_script_option(c, "c", level))
        return;
      reads_commands_ = true;
      return name == "sg" ? add_inner(rest_of(c, 2), level) : name == "runuser" ? add_possible(c, 1) : void();
    }
    if (name == "split")
      return add_filter(c, level);
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

  /// Notes commands that take others from what they read; shells and wrappers see to themselves.
  void look_for_readers(const simple_command& c) {
    auto sets_script = [](std::string_view t) { return t.starts_with("BASH_ENV=") || t.starts_with("ENV="); };
    auto names_script = [&](const word& w) { return sets_script(w.text); };
    auto name = base_name(c);
    if (std::any_of(c.assignments.begin(), c.assignments.end(), sets_script)
        || std::any_of(c.words.begin(), c.words.end(), names_script) || is_one_of(readers, name)
        || ((name == "." || name == "source") && c.words.size() > 1 && may_be_stream(c.words[1])))
      reads_commands_ = true;
    auto holds_document = [](std::string_view t) { return t.find("<<") != std::string_view::npos; };
    fills_variable_ =
        fills_variable_ || name == "read" || name == "mapfile" || name == "readarray"
        || std::any_of(c.assignments.begin(), c.assignments.end(), holds_document)
        || std::any_of(c.words.begin(), c.words.end(), [&](const word& w) { return w.dynamic && holds_document(w.text); });
    auto is_variable = !c.words.empty() && c.words.front().dynamic;
    runs_variable_ = runs_variable_ || is_variable;
    auto is_fed =
        std::any_of(c.redirections.begin(), c.redirections.end(), [&](const redirection& r) { return holds_document(r.op); });
    if ((runs_variable_ && fills_variable_) || (is_variable && c.words.size() == 1 && is_fed))
      reads_commands_ = true;
  }

  /// It runs what it reads, unless it has got commands or the name of a file.
  void add_shell(const simple_command& c, int level) {
    add_script_option(c, "c", level, true);
    std::size_t i = 1;
    auto reads = std::any_of(c.redirections.begin(), c.redirections.end(),
                             [](const redirection& r) { return r.op.find("<<") != std::string::npos; });
    for (; i < c.words.size(); ++i) {
      auto& t = c.words[i].text;
      if (t == "--") {
        ++i;
        break;
      }
      if (t.size() < 2 || (t[0] != '-' && t[0] != '+'))
        break;
      auto is_long = t[1] == '-';
      if (t.rfind("--command", 0) == 0 || (!is_long && t[0] == '-' && t.find('c') != std::string::npos))
        return;
      reads = reads || (!is_long && t.find('s') != std::string::npos);
      auto takes_file = t == "--rcfile" || t == "--init-file";
      if (takes_file || (!is_long && t.find_first_of("oO") != std::string::npos))
        ++i;
      reads = reads || (takes_file && i < c.words.size() && may_be_stream(c.words[i]));
    }
    reads_commands_ = reads_commands_ || reads || i >= c.words.size() || may_be_stream(c.words[i]);
  }

  /// split --filter='text', whose name may be shortened.
  void add_filter(const simple_command& c, int level) {
    for (std::size_t i = 1; i < c.words.size(); ++i) {
      auto& t = c.words[i].text;
      auto equal = std::min(t.find('='), t.size());
      if (equal < 3 || !std::string_view("--filter").starts_with(std::string_view(t).substr(0, equal)))
        continue;
      auto value = c.words[equal < t.size() || i + 1 == c.words.size() ? i : i + 1];
      if (equal < t.size())
        value.text.erase(0, equal + 1);
      add_script(value, level);
    }
  }

  void add_script(const word& w, int level) {
    if (w.dynamic)
      doubt("a command line comes from an expansion");
    add_line(w.text, level + 1, w.dynamic);
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
    word line;
    for (auto k = i; k < std::min(first, c.words.size()); ++k)
      line.dynamic = line.dynamic || c.words[k].dynamic;
    auto inner = rest_of(c, first).text();
    line.text = "env " + script + (inner.empty() ? "" : " " + inner);
    add_script(line, level);
    return true;
  }

  void add_joined(const simple_command& c, int level) {
    word line;
    line.dynamic = std::any_of(c.words.begin(), c.words.end(), [](const word& w) { return w.dynamic; });
    auto rest = rest_of(c, 1);
    while (!rest.words.empty() && rest.words.front().text.starts_with('-')) // of watch; the value of one is taken for a name
      rest.words.erase(rest.words.begin());
    line.text = rest.text();
    add_script(line, level);
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
      return cut("it runs commands through too many others");
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
        return add_unknown(c, i);
      }
      auto at = t.find_first_not_of(w.flags, 1);
      if (at == std::string::npos)
        continue;
      if (w.valued.find(t[at]) == std::string_view::npos)
        return w.name == "command" ? void() : add_unknown(c, i); // command -v only tells
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
    if (inner.words.empty() && is_one_of(shell_starters, w.name))
      reads_commands_ = true;
    if (w.name == "xargs" && !inner.words.empty()) { // what it reads becomes words, of which one may be what runs
      auto name = base_name(inner);
      auto is_wrapper = [&name](const wrapper& o) { return o.name == name; };
      reads_commands_ = reads_commands_ || is_one_of(shells, name) || is_one_of(runners, name)
                        || std::any_of(std::begin(wrappers), std::end(wrappers), is_wrapper)
                        || is_read_by_xargs(inner.words.front().text, c, i);
    }
    add_inner(inner, level);
  }

  /// With an option that is not known, the command may begin at any word behind it.
  void add_unknown(const simple_command& c, std::size_t from) {
    doubt("an option of " + c.words.front().text + " is not known");
    reads_commands_ = reads_commands_ || base_name(c) == "xargs";
    add_possible(c, from);
  }

  void add_possible(const simple_command& c, std::size_t from) {
    if (out_.possible.size() + c.words.size() - from > max_forms)
      cut("it has too many words");
    for (auto i = from; i < c.words.size() && out_.possible.size() < max_forms; ++i) {
      out_.possible.push_back(rest_of(c, i, max_possible_words));
      reads_commands_ = reads_commands_ || is_one_of(shells, base_name(out_.possible.back()));
    }
  }

  using document = std::pair<word, int>; ///< and the level of its line

  forms& out_;
  std::map<std::string, int, std::less<>> seen_; ///< lines and their level
  std::vector<document> documents_;
  bool reads_commands_ = false; ///< one takes its commands from what it reads
  bool fills_variable_ = false, runs_variable_ = false;
};

} // namespace

std::string base_name(const simple_command& c) {
  return c.words.empty() ? std::string() : base_of(c.words.front().text);
}

forms all_forms(std::string_view line) {
  forms out;
  expander(out).add_all(line);
  return out;
}

} // namespace conclave::shell
