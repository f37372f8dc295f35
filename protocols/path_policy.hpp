// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which paths an agent may read and change, and why not. Pure: judges canonical absolute paths by their text; whoever touches the
/// disk (transports/confined_dir.hpp) resolves links beneath a root first, and judges what it found.
///
///   path_policy::rules r{{{"/home/u/work/ab12/work", root_kind::workspace, true}}};
///   auto v = path_policy::judge(r, "/home/u/work/ab12/work/a.txt", access::create);

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::path_policy {

enum class access : std::uint8_t {
  read,
  list,   ///< names below it: also of a file's folder
  create, ///< something that is not there yet
  modify,
  remove, ///< also as the source of a move, and what a rename would replace
};

enum class root_kind : std::uint8_t {
  workspace,    ///< the agent's own
  view,         ///< the others' answers; read alone
  context,      ///< a folder of the user's
  context_file, ///< one file of the user's
  target,       ///< the private copy of a context folder that changes are made in
};

/// What a tool call is told it ran against (docs/workspaces.md). `none` = allowed.
enum class denial : std::uint8_t {
  none,
  outside,
  readonly,
  protected_path,
  excluded,
  secret,
  sibling,
  root,
  symlink,
  unread,
  args,
  size,
  tool,
  planning,
  hook_failed,
  command,
  sandbox,
  timeout,
};
/// "E_OUTSIDE", ...; empty for none.
std::string_view to_string(denial d);

struct root {
  std::string path; ///< absolute and canonical, no '/' at its end
  root_kind kind = root_kind::context;
  bool writable = false;
  bool later = false; ///< becomes writable for the presenter
  /// Each protects the path that it names, character by character, and what it matches as a pattern of .gitignore. Relative to the
  /// root (to its folder, of a file), or absolute below it.
  std::vector<std::string> protected_paths = {};
  bool allow_secrets = false; ///< secret names below it may be read
  std::string copy = {};      ///< where to write instead; empty = nowhere
  bool folds_names = false;   ///< its file system takes names without case and in any normal form
};

struct rules {
  std::vector<root> roots;            ///< the workspace first
  std::vector<std::string> kept = {}; ///< folders that are unreadable below every root, except roots of their own within
};

struct verdict {
  denial code = denial::none;
  std::size_t root = SIZE_MAX; ///< index into rules.roots; SIZE_MAX = none
  std::string rule;            ///< what decided: a root, a protected entry, an excluded name
  std::string text;            ///< one sentence for the model that says what it may do instead; empty if allowed
  bool ok() const { return code == denial::none; }
};

/// Judges one path. A denial for reading never tells whether the path exists. O(roots x length).
verdict judge(const rules& r, std::string_view path, access what);

/// Judges a removal, rename or replacement of `path` with everything below it: denied if anything that is protected or excluded
/// could be below by the rules. `below`: paths of what is there, relative to `path`, as far as the caller walked; the entries that
/// stand in the rules count whether they are among them or not.
verdict judge_tree(const rules& r, std::string_view path, access what, const std::vector<std::string>& below);

/// A protected entry as a line of .gitignore, relative to the folder `base`; empty if it leads out of it.
std::string entry_below(std::string_view base, std::string_view entry);

/// Makes an argument an absolute path by its text alone: relative to `workspace`, "~" and "~name" literal and so outside, "." and
/// ".." resolved, '//' and a trailing '/' dropped. Returns args for NUL, more than 4,096 bytes, more than 256 components, bytes
/// that are not UTF-8, and empty paths.
verdict absolute(const std::string& workspace, std::string_view argument, std::string& out);

/// Names that no write touches outside of a workspace, whatever the grants say (.git, .env, node_modules, ...); case does not
/// count.
bool is_excluded_name(std::string_view component);
/// Names that are not read outside of a workspace unless `allow_secrets` (.env, .ssh, id_rsa*, *.pem, ...), and copies of them
/// (*~, *.bak, ...); case does not count.
bool is_secret_name(std::string_view component);

/// An argument or file name as it may stand in a message, a list or a difference: what shows nothing by itself (controls, marks of
/// the direction, blanks but the space, bytes that are no UTF-8) is escaped as \n, \xNN or \u{...}, the backslash as \\, so that no
/// two names look the same for it. At most `most` characters, then a mark.
std::string shown(std::string_view path, std::size_t most = 200);

} // namespace conclave::path_policy
