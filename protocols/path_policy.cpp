// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_policy.hpp"

#include "protocols/glob.hpp"
#include "protocols/name_fold.hpp"
#include "protocols/path_text.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace conclave::path_policy {

namespace {

constexpr std::size_t max_shown_roots = 12;

bool writes(access what) {
  return what == access::create || what == access::modify || what == access::remove;
}

/// Outside of the own workspace: not written. Source of the lists: .gitignore templates of the tools that make these folders.
constexpr std::string_view excluded[] = {
    ".massgen", ".git",          ".env",        "node_modules", "__pycache__", ".venv",
    "venv",     ".pytest_cache", ".mypy_cache", ".ruff_cache",  ".ds_store",   "massgen_logs",
};
constexpr std::string_view secret[] = {".env",    ".ssh", ".aws", ".gnupg", ".netrc", ".npmrc", ".pypirc", ".git-credentials",
                                       ".pgpass", ".kube"};
constexpr std::string_view secret_starts[] = {".env.", ".env-", ".env_", ".envrc", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"};
constexpr std::string_view secret_ends[] = {".pem", ".key", ".p12", ".pfx"};
// What editors and people call copies of a file. A lock of Emacs (a link) is ".#name", what it saves by itself "#name#".
constexpr std::string_view copy_ends[] = {"~", ".bak", ".old", ".orig", ".swp", "#"};
constexpr std::string_view copy_starts[] = {".#", "#"};

/// In the own workspace: never deleted by themselves. Of these, what tools make again may go with the folder that holds it.
constexpr std::string_view lasting[] = {".git", ".env", ".massgen", "massgen_logs", ".venv", "venv"};
constexpr std::string_view made_again[] = {"node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"};

template <std::size_t N>
bool is_one_of(const std::string_view (&list)[N], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

/// Whether the workspace keeps what is called so, in a deletion of it, or of a folder around it.
bool kept_in_workspace(const std::string& name, bool around) {
  return is_one_of(lasting, name) || (!around && is_one_of(made_again, name));
}

std::string comparable(const root& r, std::string_view text) {
  return r.folds_names ? folded_name(text) : std::string(text);
}

std::string compared_name(const root& r, std::string_view name) {
  return lower(comparable(r, name));
}

/// The part of `path` below the folder that a root's patterns count from.
std::string_view base_of(const root& r) {
  return r.kind == root_kind::context_file ? parent_of(r.path) : std::string_view(r.path);
}

/// The path below its folder that a line names, read as a path: no character of it means anything.
std::string named_by(std::string_view line) {
  std::string out;
  for (auto c : components(line))
    out += (out.empty() ? "" : "/") + std::string(c);
  return out;
}

ignore_list protection(const root& r) {
  ignore_list list(r.folds_names);
  for (auto& entry : r.protected_paths) {
    auto line = comparable(r, entry_below(base_of(r), entry));
    if (!list.add(line, named_by(line))) // it can be no pattern: all is protected rather than nothing
      list.add("/");
  }
  return list;
}

struct place {
  const rules& all;
  std::string_view path;
  std::size_t root = SIZE_MAX;    ///< that decides
  std::size_t sibling = SIZE_MAX; ///< a file root whose folder holds the path
  bool is_kept = false;
};

place find_place(const rules& all, std::string_view path) {
  place p{all, path};
  std::size_t depth = 0;
  for (std::size_t i = 0; i < all.roots.size(); ++i) {
    auto& r = all.roots[i];
    if (r.kind == root_kind::context_file) {
      if (r.path == path) {
        p.root = i;
        break;
      }
      if (p.sibling == SIZE_MAX && is_within(path, parent_of(r.path)))
        p.sibling = i;
    } else if (is_within(path, r.path) && (p.root == SIZE_MAX || r.path.size() > depth)) {
      p.root = i;
      depth = r.path.size();
    }
  }
  for (auto& k : all.kept)
    p.is_kept =
        p.is_kept
        || (is_within(path, k) && (p.root == SIZE_MAX || all.roots[p.root].path == k || !is_within(all.roots[p.root].path, k)));
  return p;
}

std::string listed_roots(const rules& all) {
  std::string out;
  std::size_t n = 0;
  for (auto& r : all.roots) {
    if (++n > max_shown_roots)
      return out + ", ...";
    out += (out.empty() ? "" : ", ") + shown(r.path) + (r.writable ? " (read and write)" : " (read)");
  }
  return out.empty() ? "nothing" : out;
}

verdict outside(const rules& all, std::string_view path) {
  return {denial::outside, SIZE_MAX, "outside of all roots",
          shown(path) + " is outside of what you may use, which is " + listed_roots(all) + ". Use a path there."};
}

/// What the model can do where it may not write.
std::string instead(const rules& all, const place& p) {
  auto& r = all.roots[p.root];
  if (!r.copy.empty()) {
    auto below = p.path.size() > r.path.size() ? p.path.substr(r.path.size()) : std::string_view();
    return "Write to " + shown(r.copy + std::string(below)) + " instead: what is changed there is proposed to the user.";
  }
  if (r.later)
    return "It may become writable in the final phase; until then write in your workspace.";
  for (auto& w : all.roots)
    if (w.writable && w.kind == root_kind::workspace)
      return "Write in your workspace " + shown(w.path) + " instead.";
  return "You may read it.";
}

verdict denied(const place& p, denial code, std::string rule, std::string text) {
  return {code, p.root, std::move(rule), std::move(text)};
}

/// Names below the root that decides, and what they forbid.
verdict judge_names(const place& p, access what, bool around) {
  auto& r = p.all.roots[p.root];
  auto rest = p.path.substr(r.path.size());
  for (auto name : components(rest)) {
    auto c = compared_name(r, name);
    if (r.kind == root_kind::workspace) {
      if (what == access::remove && kept_in_workspace(c, around))
        return denied(p, denial::excluded, c,
                      shown(p.path) + " belongs to " + shown(name)
                          + ", which the file tools do not delete. Delete other files instead.");
      continue;
    }
    if (writes(what) && is_excluded_name(c))
      return denied(p, denial::excluded, c,
                    shown(p.path) + " is not written: " + shown(name) + " is an excluded name outside of your workspace. "
                        + "Use another name, or your workspace.");
    if (!writes(what) && !r.allow_secrets && is_secret_name(c))
      return denied(p, denial::secret, c,
                    shown(p.path) + " is not read: names like " + shown(name)
                        + " hold secrets. Work without it, or ask for what you need.");
  }
  return {denial::none, p.root, {}, {}};
}

verdict judge_protection(const place& p) {
  for (std::size_t i = 0; i < p.all.roots.size(); ++i) {
    auto& r = p.all.roots[i];
    auto base = base_of(r);
    auto holds = r.kind == root_kind::context_file ? p.path == r.path : is_within(p.path, base);
    if (r.protected_paths.empty() || !holds)
      continue;
    auto line = protection(r).match(comparable(r, below(p.path, base)));
    if (!line)
      continue;
    auto& entry = r.protected_paths[*line];
    return denied(p, denial::protected_path, entry,
                  shown(p.path) + " is protected by the entry " + shown(entry) + ": it can be read, not changed, moved or deleted. "
                      + "Write somewhere else.");
  }
  return {denial::none, p.root, {}, {}};
}

verdict judge_at(const rules& all, std::string_view path, access what, bool around) {
  if (path.empty() || path.find('\0') != std::string_view::npos)
    return {denial::args, SIZE_MAX, "not a path", "The path is empty or holds a NUL. Give a path in your workspace."};
  auto p = find_place(all, path);
  if (!is_canonical(path) || p.is_kept)
    return outside(all, path);
  if (p.root == SIZE_MAX) {
    if (p.sibling == SIZE_MAX)
      return outside(all, path);
    auto& file = all.roots[p.sibling].path;
    p.root = p.sibling;
    return denied(p, denial::sibling, file,
                  shown(path) + " is not an explicitly allowed file: of its folder you may use " + shown(file) + " alone.");
  }
  auto& r = all.roots[p.root];
  if (what == access::remove && p.path == r.path)
    return denied(p, denial::root, r.path,
                  shown(path) + " is a folder or file that was given to you and cannot be deleted or replaced itself. "
                      + "What is in a folder may be, where you may write.");
  if (auto v = judge_names(p, what, around); !v.ok())
    return v;
  if (writes(what)) {
    if (auto v = judge_protection(p); !v.ok())
      return v;
    if (!r.writable)
      return denied(p, denial::readonly, r.path, shown(path) + " is in a read-only path. " + instead(all, p));
  }
  return {denial::none, p.root, r.path, {}};
}

/// What the rules name below `path`, whether it is there or not.
verdict judge_known_below(const rules& all, std::string_view path) {
  auto p = find_place(all, path);
  for (auto& r : all.roots) {
    if (r.path != path && is_within(r.path, path))
      return denied(p, denial::root, r.path,
                    shown(path) + " holds " + shown(r.path)
                        + ", which was given to you and stays. Delete or move other things in it.");
    if (r.kind == root_kind::context_file)
      continue;
    auto list = protection(r);
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list.literal(i).empty())
        continue;
      auto entry = comparable(r, base_of(r)) + "/" + list.literal(i);
      if (is_within(entry, comparable(r, path)))
        return denied(p, denial::protected_path, r.protected_paths[i],
                      shown(path) + " holds what the entry " + shown(r.protected_paths[i])
                          + " protects, so it cannot be deleted, moved or replaced. Take other things in it one by one.");
    }
  }
  for (auto& k : all.kept)
    if (is_within(k, path))
      return outside(all, path);
  return {denial::none, p.root, {}, {}};
}

} // namespace

std::string_view to_string(denial d) {
  switch (d) {
  case denial::none:
    return "";
  case denial::outside:
    return "E_OUTSIDE";
  case denial::readonly:
    return "E_READONLY";
  case denial::protected_path:
    return "E_PROTECTED";
  case denial::excluded:
    return "E_EXCLUDED";
  case denial::secret:
    return "E_SECRET";
  case denial::sibling:
    return "E_SIBLING";
  case denial::root:
    return "E_ROOT";
  case denial::symlink:
    return "E_SYMLINK";
  case denial::unread:
    return "E_UNREAD";
  case denial::args:
    return "E_ARGS";
  case denial::size:
    return "E_SIZE";
  case denial::tool:
    return "E_TOOL";
  case denial::planning:
    return "E_PLANNING";
  case denial::hook_failed:
    return "E_HOOK_FAILED";
  case denial::command:
    return "E_CMD";
  case denial::sandbox:
    return "E_SANDBOX";
  case denial::timeout:
    return "E_TIMEOUT";
  }
  return "";
}

bool is_secret_name(std::string_view component) {
  auto whole = lower(std::string(component));
  std::string_view name = whole;
  auto starts = [&name](std::string_view s) { return name.starts_with(s); };
  auto ends = [&name](std::string_view s) { return name.ends_with(s); };
  if (auto s = std::find_if(std::begin(copy_starts), std::end(copy_starts), starts); s != std::end(copy_starts))
    name.remove_prefix(s->size());
  for (auto e = std::begin(copy_ends); e != std::end(copy_ends);)
    if (ends(*e)) {
      name.remove_suffix(e->size());
      e = std::begin(copy_ends);
    } else {
      ++e;
    }
  return is_one_of(secret, name) || std::any_of(std::begin(secret_starts), std::end(secret_starts), starts)
         || std::any_of(std::begin(secret_ends), std::end(secret_ends), ends);
}

bool is_excluded_name(std::string_view component) {
  return is_one_of(excluded, lower(std::string(component))) || is_secret_name(component);
}

std::string entry_below(std::string_view base, std::string_view entry) {
  auto parts = components(entry);
  auto dotted = [](std::string_view c) { return c == "." || c == ".."; };
  std::string resolved(entry);
  if (std::any_of(parts.begin(), parts.end(), dotted)) {
    if (!absolute(std::string(base), entry, resolved).ok() || !is_within(resolved, base))
      return {};
  }
  if (resolved != entry || (resolved.starts_with(base) && is_within(resolved, base)))
    return "/" + std::string(below(resolved, base));
  return resolved;
}

verdict judge(const rules& r, std::string_view path, access what) {
  auto v = judge_at(r, path, what, false);
  if (!v.ok() || what != access::remove)
    return v;
  auto known = judge_known_below(r, path);
  return known.ok() ? v : known;
}

verdict judge_tree(const rules& r, std::string_view path, access what, const std::vector<std::string>& below) {
  auto v = judge(r, path, what);
  if (!v.ok() || !writes(what))
    return v;
  if (auto& own = r.roots[v.root]; own.path == path && own.kind != root_kind::context_file)
    return judge(r, path, access::remove); // a root is not replaced
  if (auto known = judge_known_below(r, path); !known.ok())
    return known;
  for (auto& b : below) {
    auto found = judge_at(r, std::string(path) + "/" + b, access::remove, true);
    if (found.ok())
      continue;
    found.text = shown(path) + " cannot be deleted, moved or replaced as a whole: " + found.text;
    return found;
  }
  return v;
}

} // namespace conclave::path_policy
