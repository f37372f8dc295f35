// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Workspaces: folders of the user's that agents may use, and how commands are confined.

#include "app/load_config_parts.hpp"
#include "app/question_paths.hpp"
#include "app/user_folders.hpp"
#include "protocols/text.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <tuple>

namespace conclave::loader {

namespace {

/// The path as agents and the sandbox see it: absolute, links resolved. Empty where there is none; that was reported.
std::string real_path(const section& s, const entry& at, const std::string& where, std::string given, folder_use use) {
  auto fault = given.empty() ? "is empty: name a file or folder, or leave the entry out" : expand_home(given);
  if (!fault.empty()) {
    s.to().error(at.at, where, fault);
    return {};
  }
  std::error_code e;
  auto found = std::filesystem::canonical(given, e);
  if (e) { // a file that is only judged may be meant for another machine
    s.to().add(severity::warning, at.at, where, "'" + shown_text(given) + "' is not there: " + e.message(), true);
    return std::filesystem::absolute(given, e).lexically_normal().string();
  }
  auto path = found.string();
  if (fault = folder_fault(path, use); !fault.empty()) {
    s.to().error(at.at, where, "'" + shown_text(path, 200) + "' " + fault);
    return {};
  }
  return path;
}

void read_permission(const section& c, context_path& out) {
  std::string word;
  if (!c.read("permission", word))
    return;
  word = lower(word);
  out.write = word == "write";
  if (!out.write && word != "read")
    c.warning("permission", "'" + shown_text(word) + "' is neither read nor write: it counts as read");
}

/// Adds a path to those of the agent, and says which permission holds if it was given another one before.
void add_told(std::vector<context_path>& to, const context_path& x, report& say, mark at, const std::string& where) {
  auto same = std::find_if(to.begin(), to.end(), [&](auto& y) { return y.path == x.path; });
  if (same != to.end() && same->write != x.write)
    say.warning(at, where,
                "'" + shown_text(x.path, 200)
                    + "' is given with `permission: read` and with `write`: `read` counts; leave out one of the two");
  add_context(to, x);
}

/// Makes what `protected_paths` says count from the path as it was found, and tells of entries that protect nothing.
void settle_protected(const section& s, context_path& x, const std::string& given) {
  std::error_code e;
  auto asked = std::filesystem::absolute(given, e).lexically_normal().string();
  if (asked.size() > 1 && asked.ends_with('/'))
    asked.pop_back();
  auto base = std::filesystem::is_directory(x.path, e) ? x.path : std::filesystem::path(x.path).parent_path().string();
  for (auto& p : x.protected_paths) {
    auto tell = [&](const std::string& text) { s.warning("protected_paths", "'" + shown_text(p, 200) + "' " + text); };
    if (p.find_first_not_of(" \t") == std::string::npos) {
      tell("is empty and protects nothing: name a path below '" + shown_text(x.path, 200) + "', or leave it out");
      continue;
    }
    if (asked != x.path && (p == asked || p.starts_with(asked + "/")))
      p = x.path + p.substr(asked.size());
    auto absolute = p.front() == '/';
    auto inside = (absolute ? std::filesystem::path(p) : base / std::filesystem::path(p)).lexically_normal().string();
    auto out = inside != base && !(inside + "/").starts_with(base + "/");
    if (out && !absolute)
      tell("leads out of '" + shown_text(base, 200) + "' and protects nothing: name a path below that folder");
    else if (out && std::filesystem::exists(p, e) && !std::filesystem::exists(base + p, e))
      tell("stands for '" + shown_text(base + p, 200)
           + "', as in a .gitignore, not for what lies there on this machine, which is outside of "
             "the folder and not written anyway");
  }
}

std::vector<context_path> read_context(const section& s) {
  std::vector<context_path> out;
  const auto* paths = s.get("context_paths");
  if (!paths)
    return out;
  const auto& value = *paths->value;
  bool none = false;
  if (value.kind == tree::scalar ? value.text.empty() || (to_flag(value, none) && !none) : value.items.empty())
    return out; // it asks for nothing
  if (value.kind != tree::list) {
    s.error("context_paths", "expected a list of paths, or of mappings with path and permission");
    return out;
  }
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    const auto& e = value.items[i];
    auto at = "context_paths[" + std::to_string(i) + "]";
    // As validate() counts them: it sees none that is wrong or was given before.
    auto counted = s.canonical("context_paths[" + std::to_string(out.size()) + "]");
    s.to().place(counted, s.path(at), e.at);
    context_path x;
    auto where = s.path(at);
    if (e.value->kind == tree::null) {
      s.to().error(e.at, where, "is empty: name a file or folder, or leave the entry out");
      continue;
    }
    if (e.value->kind == tree::scalar) {
      x.path = e.value->text;
    } else {
      section c{e.value.get(), key_scope::context_path, s.path(at), counted, s.to()};
      c.read_rows(x);
      read_permission(c, x);
      if (!c.get("path")) {
        if (e.value->kind == tree::map)
          s.to().error(e.at, s.path(at), "needs a path");
        continue;
      }
      where += ".path";
      auto given = x.path;
      x.path = real_path(s, e, where, given, x.write ? folder_use::writing : folder_use::reading);
      if (expand_home(given); !x.path.empty())
        settle_protected(c, x, given);
      if (!x.path.empty())
        add_told(out, x, s.to(), e.at, s.path(at));
      continue;
    }
    x.path = real_path(s, e, where, x.path, folder_use::reading);
    if (!x.path.empty())
      add_told(out, x, s.to(), e.at, s.path(at));
  }
  return out;
}

/// The lists of commands have two spellings each, and may stand under both. What either blocks is blocked; of two lists of all that
/// is allowed none can be guessed.
void read_patterns(const section& s, workspace_config& out) {
  for (auto& [ours, other, list, unites] :
       {std::tuple{"command_line_blocked_commands", "command_line_blacklist_patterns", &out.blocked_commands, true},
        std::tuple{"command_line_allowed_commands", "command_line_whitelist_patterns", &out.allowed_commands, false}}) {
    std::vector<std::string> more;
    if (!s.read(other, more))
      continue;
    if (!s.get(ours))
      s.to().place(s.canonical(ours), s.path(other), s.at(other));
    else if (!unites && list->empty())
      *list = std::move(more);
    else if (!unites && !more.empty()
             && std::set<std::string>(more.begin(), more.end()) != std::set<std::string>(list->begin(), list->end()))
      s.error(other,
              std::string{"says something else than `"} + ours + "`, which is another spelling of it: put all patterns into one");
    else if (unites)
      for (auto& x : more)
        if (std::find(list->begin(), list->end(), x) == list->end())
          list->push_back(std::move(x));
  }
}

} // namespace

void judge_cwds(const run_config& c, report& to) {
  bool told = false;
  for (std::size_t i = 0; i < c.agents.size(); ++i) {
    auto key = "agents[" + std::to_string(i) + "].backend.cwd";
    auto path = to.places().contains(key) ? absolute_cwd(c.agents[i]) : std::string{};
    if (path.empty())
      continue;
    auto named = "'" + shown_text(path, 200) + "' ";
    auto at = place_of(to.places(), key);
    if (auto fault = cwd_fault(path, i, c.agents); !fault.empty()) {
      to.error({at.line, at.column}, at.path, named + fault);
      continue;
    }
    if (!told)
      to.warning(
          {at.line, at.column}, at.path,
          named
              + "itself is neither read nor written: the agent works in a fresh folder below $CONCLAVE_HOME/work, as with a mere "
                "name. Its files at the end: --output-dir DIR, or conclave apply TASK --to DIR; files for it: `context_paths`");
    told = true;
  }
}

void read_sandbox(const section& owner, workspace_config& out) {
  auto s = owner.below("sandbox", key_scope::sandbox);
  s.read_rows(out);
  if (const auto* readable = s.get("readable"))
    for (auto& folder : out.readable)
      folder = real_path(s, *readable, s.path("readable"), folder, folder_use::programs);
  std::erase(out.readable, std::string{});
}

void read_workspace(const section& s, workspace_config& out) {
  s.read_rows(out);
  read_patterns(s, out);
  s.read("command_line_execution_mode", out.command_mode);
  read_sandbox(s, out);
  out.context = read_context(s);
}

void read_shared_context(const section& s, run_config& out) {
  auto shared = read_context(s);
  for (std::size_t i = 0; i < out.agents.size() && !shared.empty(); ++i) {
    auto& a = out.agents[i];
    auto& own = a.backend.workspace.context;
    auto all = shared;
    auto key = "agents[" + std::to_string(i) + "].backend.context_paths";
    place_map moved; // where the entries of both lists stand, by where they are in one
    auto stands = [&](std::size_t n, const std::string& list, std::size_t at) {
      for (const auto* part : {"", ".path", ".protected_paths"})
        moved[key + "[" + std::to_string(n) + "]" + part] = place_of(s.to().places(), list + "[" + std::to_string(at) + "]" + part);
    };
    for (std::size_t n = 0; n < shared.size(); ++n)
      stands(n, s.canonical("context_paths"), n);
    if (own.empty())
      moved[key] = place_of(s.to().places(), s.canonical("context_paths"));
    for (std::size_t n = 0; n < own.size(); ++n) {
      const auto& x = own[n];
      auto same = std::find_if(all.begin(), all.end(), [&](auto& y) { return y.path == x.path; });
      if (same != all.end() && x.write && !same->write) // one who is given less than all is meant to have less
        s.to().warning(s.at("context_paths"), s.path("context_paths"),
                       "'" + shown_text(x.path, 200) + "' is given to agent '" + shown_text(a.id)
                           + "' with `permission: write` and to all with `read`: `read` counts; leave out one of the two");
      if (same == all.end())
        stands(all.size(), key, n);
      add_context(all, x);
    }
    own = std::move(all);
    for (auto& [at, p] : moved)
      s.to().place(at, p.path, {p.line, p.column});
  }
}

} // namespace conclave::loader
