// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/foreign_calls.hpp"

#include "protocols/secret_words.hpp"
#include "protocols/text.hpp"
#include "transports/git_folders.hpp"

#include <algorithm>
#include <filesystem>

namespace conclave {

namespace {

namespace fs = std::filesystem;
using path_policy::access;
using path_policy::denial;
using path_policy::verdict;
using wire::path_use;

/// Turns a file URL into its path. Returns false for a URL of something else, which is no path of this machine.
bool is_local(std::string& text) {
  if (lower(text.substr(0, 5)) == "file:") {
    auto rest = text.substr(5);
    if (rest.starts_with("//"))
      rest = rest.find('/', 2) == std::string::npos ? "/" : rest.substr(rest.find('/', 2));
    text = secret_words::percent_decoded(rest);
    return true;
  }
  if (fs::path{text}.lexically_normal().string().starts_with("..")) // who takes it for a path gets out
    return true;
  auto colon = text.find("://");
  auto in_scheme = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.'; };
  return colon == std::string::npos || colon < 2
         || !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon), in_scheme);
}

/// A text that only looks like a path is one if its first folder is there. Not the whole of it: who asks would learn what exists.
bool begins_here(const std::string& path) {
  std::error_code e;
  return path.size() > 1 && fs::exists(fs::symlink_status(path.substr(0, path.find('/', 1)), e));
}

verdict judge_use(const path_policy::rules& rules, const std::string& path, path_use use) {
  std::error_code e;
  switch (use) {
  case path_use::read:
    return path_policy::judge(rules, path, access::read);
  case path_use::remove: {
    auto v = path_policy::judge_tree(rules, path, access::remove, {});
    return v.ok() ? git::judge(rules, path, access::remove) : v;
  }
  case path_use::create:
    return git::judge(rules, path, access::create);
  case path_use::modify:
    return git::judge(rules, path, access::modify);
  default: {
    auto v = path_policy::judge(rules, path, access::read); // what may not be read is not looked at
    if (!v.ok() && v.code != denial::secret)
      return v;
    return git::judge(rules, path, fs::is_regular_file(fs::symlink_status(path, e)) ? access::modify : access::create);
  }
  }
}

verdict judge_one(const path_policy::rules& rules, const std::string& work, const wire::foreign_path& p) {
  auto text = p.text;
  if (!is_local(text))
    return {};
  if (text.starts_with('~')) // servers put the home of somebody in its place
    return {denial::outside, SIZE_MAX, "", path_policy::shown(text) + " is of a home directory: name the path itself"};
  std::string path;
  auto v = path_policy::absolute(work, text, path);
  if (!v.ok())
    return p.by_name ? v : verdict{};
  if (!p.by_name && !begins_here(path))
    return {};
  // A folder of ours itself may be named by whoever lists it or makes something below it.
  auto is_root = std::any_of(rules.roots.begin(), rules.roots.end(), [&](auto& r) { return r.path == path; });
  auto use = is_root && p.use != path_use::remove ? path_use::read : p.use;
  if (v = judge_use(rules, path, use); !v.ok())
    return v;
  std::error_code e;
  auto found = fs::weakly_canonical(path, e).string();
  if (e || found == path)
    return e && e != std::errc::no_such_file_or_directory && e != std::errc::not_a_directory
               ? verdict{denial::symlink, SIZE_MAX, "", path_policy::shown(text) + " cannot be followed"}
               : v;
  return judge_use(rules, found, use);
}

} // namespace

path_policy::verdict judge_foreign(const path_policy::rules& rules, const std::string& work,
                                   const std::vector<wire::foreign_path>& paths, std::string& where) {
  for (auto& p : paths)
    if (auto v = judge_one(rules, work, p); !v.ok()) {
      where = p.where;
      return v;
    }
  return {};
}

} // namespace conclave
