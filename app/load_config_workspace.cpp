// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Workspaces: folders of the user's that agents may use, and how commands are confined.

#include "app/load_config_parts.hpp"
#include "protocols/text.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <filesystem>

namespace conclave {

std::string context_fault(const std::string& path, bool of_programs) {
  std::error_code e;
  std::string ignored;
  auto home = std::filesystem::weakly_canonical(home_path(ignored), e).string();
  if (path == "/")
    return "is the whole file system; name a folder below it";
  for (auto* place : {"/proc", "/dev"})
    if (!of_programs && (path + "/").starts_with(std::string{place} + "/"))
      return std::string{"is in "} + place + ", which is made of no files that could be copied or kept; name another folder";
  auto found = std::filesystem::status(path, e);
  if (!of_programs && std::filesystem::exists(found) && !std::filesystem::is_directory(found)
      && !std::filesystem::is_regular_file(found))
    return "is neither a file nor a folder (but a pipe, a socket or a device); name a file or a folder";
  if ((lower(path) + "/").find("/.git/") != std::string::npos)
    return "is in the folder of a git repository itself: what is written there, git runs; name the folder that holds .git";
  if (!home.empty() && (home + "/").starts_with(path + "/"))
    return "holds the folder where conclave keeps its own files (" + shown_text(home)
           + "); name a folder below it, or set CONCLAVE_HOME elsewhere";
  if (!home.empty() && (path + "/").starts_with(home + "/"))
    return "is within the folder where conclave keeps its own files (" + shown_text(home) + "), which agents never see";
  return {};
}

} // namespace conclave

namespace conclave::loader {

namespace {

/// The path as agents and the sandbox see it: absolute, links resolved. Empty where there is none; that was reported.
std::string real_path(const section& s, const entry& at, const std::string& where, std::string given, bool of_programs = false) {
  if (auto fault = expand_home(given); !fault.empty()) {
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
  if (auto fault = context_fault(path, of_programs); !fault.empty()) {
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
    context_path x;
    auto where = s.path(at);
    if (e.value->kind == tree::scalar) {
      x.path = e.value->text;
    } else {
      section c{e.value.get(), key_scope::context_path, s.path(at), s.canonical(at), s.to()};
      c.read_rows(x);
      read_permission(c, x);
      if (e.value->kind == tree::map && !c.get("path")) {
        s.to().error(e.at, s.path(at), "needs a path");
        continue;
      }
      where += ".path";
    }
    x.path = real_path(s, e, where, x.path);
    if (!x.path.empty())
      out.push_back(std::move(x));
  }
  return out;
}

/// Adds what is new; of the same path the stricter permission counts, and what either protects is protected.
void merge(std::vector<context_path>& into, const std::vector<context_path>& more) {
  for (const auto& x : more) {
    auto same = std::find_if(into.begin(), into.end(), [&](auto& y) { return y.path == x.path; });
    if (same == into.end()) {
      into.push_back(x);
      continue;
    }
    same->write = same->write && x.write;
    for (const auto& p : x.protected_paths)
      if (std::find(same->protected_paths.begin(), same->protected_paths.end(), p) == same->protected_paths.end())
        same->protected_paths.push_back(p);
  }
}

} // namespace

void read_sandbox(const section& owner, workspace_config& out) {
  auto s = owner.below("sandbox", key_scope::sandbox);
  s.read_rows(out);
  if (const auto* readable = s.get("readable"))
    for (auto& folder : out.readable)
      folder = real_path(s, *readable, s.path("readable"), folder, true);
  std::erase(out.readable, std::string{});
}

void read_workspace(const section& s, workspace_config& out) {
  s.read_rows(out);
  s.read("command_line_execution_mode", out.command_mode);
  read_sandbox(s, out);
  out.context = read_context(s);
}

void read_shared_context(const section& s, run_config& out) {
  auto shared = read_context(s);
  for (auto& a : out.agents) {
    auto& own = a.backend.workspace.context;
    auto all = shared;
    merge(all, own);
    own = std::move(all);
  }
}

} // namespace conclave::loader
