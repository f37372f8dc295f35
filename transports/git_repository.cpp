// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/git_repository.hpp"

#include "protocols/text.hpp"
#include "transports/snapshot_disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave::git {

namespace {

using snapshots::descriptor;
using snapshots::found;

constexpr std::size_t max_small = 4'096;                     ///< HEAD, gitdir, one ref
constexpr std::size_t max_packed = std::size_t{64} << 20;    ///< packed-refs
constexpr std::size_t max_shallow = std::size_t{1} << 20;    ///< shallow
constexpr std::size_t max_refs = 20'000, max_packs = 20'000; ///< names
constexpr int max_ref_depth = 16;
constexpr std::string_view heads = "refs/heads/";
constexpr const char* too_many = "it has more than 20000 branches and tags";

descriptor open_dir(const std::string& path) {
  return descriptor{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
}

found look_at(int folder, const char* name) {
  found what;
  if (snapshots::look(folder, name, what) != 0)
    what = {};
  return what;
}

/// A file below a folder, no link on the way. Returns 0 or errno.
int read_below(int folder, const std::string& path, std::string& out, std::size_t limit) {
  out.clear();
  descriptor in;
  std::size_t at = 0;
  for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', at)) {
    in = descriptor{
        ::openat(in ? in.get() : folder, path.substr(at, slash - at).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!in)
      return errno;
    at = slash + 1;
  }
  auto file = snapshots::open_file(in ? in.get() : folder, path.substr(at).c_str());
  if (!file)
    return errno;
  auto what = look_at(file.get(), "");
  if (what.is_folder())
    return EISDIR;
  if (!what.is_file())
    return ELOOP;
  return snapshots::read_whole(file.get(), out, limit);
}

/// What a file that was looked for is not: empty = it was read, or is not there.
std::string unread(const std::string& what, int error) {
  if (error == 0 || error == ENOENT || error == ENOTDIR || error == EISDIR)
    return {};
  return shown_text(what, 200) + " in its .git cannot be read: " + std::strerror(error);
}

/// The one line of a small file, "" if there is none. One that cannot be read whole is told in `why` (the first one stays), and is
/// "".
std::string line_of(int folder, const std::string& path, std::string& why) {
  std::string text;
  auto error = read_below(folder, path, text, max_small);
  if (error != 0) {
    if (why.empty())
      why = unread(path, error);
    return {};
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.pop_back();
  return text;
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// Calls `f(name, hash)` for each line of packed-refs, until it returns false. Returns why they cannot be read.
template <class F>
std::string each_packed(int common, F f) {
  std::string text;
  if (auto error = read_below(common, "packed-refs", text, max_packed); error != 0)
    return unread("packed-refs", error == EISDIR ? EIO : error);
  std::string_view rest = text;
  while (!rest.empty()) {
    auto end = std::min(rest.find('\n'), rest.size());
    auto line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.size() > 41 && line[40] == ' ' && is_hex(line.substr(0, 40)))
      if (!f(std::string{line.substr(41)}, std::string{line.substr(0, 40)}))
        return {};
  }
  return {};
}

/// What a ref stands for; empty = nothing, or `why` says what is wrong.
std::string resolve(int common, const std::string& ref, std::string& why) {
  // Git leaves empty folders of former branches: a branch of the name is a packed one then.
  auto text = line_of(common, ref, why);
  if (text.empty() && why.empty())
    why = each_packed(common, [&](const std::string& name, const std::string& hash) {
      if (name == ref)
        text = hash;
      return text.empty();
    });
  return text;
}

/// The repository of a `.git` file: that of a linked worktree, if both say so.
std::string follow_file(int folder, const std::string& path, repository& r) {
  std::string why;
  auto text = line_of(folder, ".git", why);
  constexpr std::string_view mark = "gitdir: ";
  std::error_code e;
  auto given = text.starts_with(mark) ? std::filesystem::path{text.substr(mark.size())} : std::filesystem::path{};
  auto dir = std::filesystem::canonical(given.is_absolute() ? given : path / given, e);
  if (given.empty() || e)
    return "its .git is a file that names no repository";
  auto common = dir.parent_path().parent_path();
  auto own = open_dir(dir.string());
  auto back = own ? std::filesystem::path{line_of(own.get(), "gitdir", why)} : std::filesystem::path{};
  auto shared = own ? std::filesystem::path{line_of(own.get(), "commondir", why)} : std::filesystem::path{};
  if (!why.empty())
    return why;
  auto real_shared = std::filesystem::canonical(shared.is_absolute() ? shared : dir / shared, e);
  if (shared.empty() || e || real_shared != common || dir.parent_path().filename() != "worktrees")
    return "its .git is a file that names something else than a worktree (a submodule, for instance)";
  auto real_back = std::filesystem::canonical(back.is_absolute() ? back.parent_path() : dir / back.parent_path(), e);
  if (e || back.filename() != ".git" || real_back != std::filesystem::path{path})
    return "its .git names a worktree of another folder";
  r.git_dir = dir.string();
  r.common = common.string();
  return {};
}

/// Whether what is borrowed lies where it seems to.
std::string check_objects(const repository& r) {
  auto common = open_dir(r.common);
  auto what = look_at(common.get(), "objects");
  if (!what.is_folder())
    return "its objects are not in a folder of its own";
  auto objects = open_dir(r.objects());
  std::vector<std::string> names;
  if (!objects || snapshots::names_in(objects.get(), names) != 0)
    return "its objects cannot be read";
  for (auto& name : names) {
    auto found = look_at(objects.get(), name.c_str());
    if (found.is_link() || found.mount_point || found.device != what.device)
      return "some of its objects are elsewhere: a link, " + shown_text("objects/" + name, 200);
    if (name != "pack" && name != "info")
      continue;
    descriptor in{::openat(objects.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    std::vector<std::string> inside;
    if (!in || snapshots::names_in(in.get(), inside) != 0 || inside.size() > max_packs)
      return "its objects cannot be read";
    for (auto& x : inside)
      if (look_at(in.get(), x.c_str()).is_link())
        return "some of its objects are elsewhere: a link, " + shown_text("objects/" + name + "/" + x, 200);
      else if (name == "info" && (x == "alternates" || x == "http-alternates")) {
        std::string text;
        if (auto error = read_below(in.get(), x, text, max_small); error != 0)
          return unread("objects/info/" + x, error == ENOENT || error == EISDIR ? EIO : error);
        if (text.find_first_not_of(" \t\r\n") != std::string::npos)
          return "it borrows objects itself (objects/info/" + x + ")";
      }
  }
  return {};
}

std::string read_head(const repository& r, std::string& branch, std::string& commit) {
  auto own = open_dir(r.git_dir);
  auto common = open_dir(r.common);
  if (!own || !common)
    return "it cannot be opened";
  std::string why;
  auto text = line_of(own.get(), "HEAD", why);
  if (!why.empty())
    return why;
  constexpr std::string_view mark = "ref: ";
  if (text.starts_with(mark)) {
    branch = text.substr(mark.size());
    if (!branch.starts_with(heads) || !is_ref_name(branch))
      return "its HEAD names no branch";
    commit = resolve(common.get(), branch, why);
    if (!why.empty())
      return why;
    if (commit.empty())
      return {}; // nothing was committed yet
  } else {
    commit = text;
  }
  if (commit.size() == 64 && is_hex(commit))
    return "it names objects by SHA-256, which is not supported yet";
  return is_commit_name(commit) ? std::string{} : "its HEAD cannot be read";
}

} // namespace

bool is_commit_name(const std::string& text) {
  return text.size() == 40 && is_hex(text);
}

bool is_ref_name(const std::string& name) {
  if (!name.starts_with("refs/") || name.size() > 255 || name.ends_with('/') || name.ends_with('.'))
    return false;
  for (auto c : name)
    if (static_cast<unsigned char>(c) <= ' ' || std::string_view{"\x7f~^:?*[\\"}.find(c) != std::string_view::npos)
      return false;
  if (name.find("..") != std::string::npos || name.find("//") != std::string::npos || name.find("@{") != std::string::npos
      || name.find("/.") != std::string::npos)
    return false;
  for (std::size_t at = 0; at <= name.size();) {
    auto end = std::min(name.find('/', at), name.size());
    if (name.compare(at, end - at, "@") == 0 || std::string_view{name}.substr(at, end - at).ends_with(".lock"))
      return false;
    at = end + 1;
  }
  return true;
}

std::optional<repository> find(const std::string& folder, std::string& why) {
  why.clear();
  auto top = open_dir(folder);
  if (!top)
    return {};
  auto what = look_at(top.get(), ".git");
  if (what.mode == 0)
    return {};
  repository r{folder + "/.git", folder + "/.git", {}, {}, folder};
  if (what.is_link())
    why = "its .git is a link";
  else if (what.is_file())
    why = follow_file(top.get(), folder, r);
  else if (!what.is_folder() || what.mount_point)
    why = "its .git is no folder";
  else if (auto own = open_dir(r.git_dir); !own || look_at(own.get(), "HEAD").mode == 0)
    return {}; // git takes it for no repository either
  else if (look_at(own.get(), "commondir").mode != 0)
    why = "its .git says that it belongs to another one (commondir)";
  if (why.empty())
    why = read_head(r, r.branch, r.commit);
  if (why.empty())
    why = check_objects(r);
  if (why.empty())
    return r;
  return {};
}

std::map<std::string, std::string> refs_of(const repository& r, std::string& why) {
  std::map<std::string, std::string> out;
  why.clear();
  auto common = open_dir(r.common);
  if (!common) {
    why = "its refs cannot be read";
    return out;
  }
  auto wanted = [](const std::string& name) {
    return (name.starts_with(heads) || name.starts_with("refs/tags/") || name.starts_with("refs/remotes/")) && is_ref_name(name);
  };
  auto walk = [&](auto& self, int folder, const std::string& path, int depth) -> void {
    std::vector<std::string> names;
    if (depth > max_ref_depth)
      return;
    if (auto error = snapshots::names_in(folder, names); error != 0 && why.empty())
      why = unread(path, error);
    for (auto& name : names) {
      if (!why.empty())
        return;
      if (out.size() >= max_refs) {
        why = too_many;
        return;
      }
      auto what = look_at(folder, name.c_str());
      auto below = path + name;
      if (what.is_folder()) {
        descriptor in{::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (in)
          self(self, in.get(), below + "/", depth + 1);
        else
          why = unread(below, errno);
      } else if (auto hash = what.is_file() && wanted(below) ? line_of(folder, name, why) : std::string{}; is_commit_name(hash)) {
        out.emplace(below, hash);
      }
    }
  };
  for (auto* kind : {"heads", "tags", "remotes"}) {
    auto path = std::string{"refs/"} + kind;
    descriptor refs{::openat(common.get(), "refs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    descriptor in{refs ? ::openat(refs.get(), kind, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1};
    if (in)
      walk(walk, in.get(), path + "/", 0);
    else if (why.empty())
      why = unread(path, errno);
  }
  auto packed = each_packed(common.get(), [&](const std::string& name, const std::string& hash) {
    if (wanted(name) && out.size() >= max_refs && out.count(name) == 0)
      why = why.empty() ? too_many : why;
    else if (wanted(name))
      out.emplace(name, hash); // a loose one is newer
    return why.empty();
  });
  if (why.empty())
    why = packed;
  return out;
}

std::string shallow_of(const repository& r, std::string& why) {
  why.clear();
  auto common = open_dir(r.common);
  std::string text, out;
  if (auto error = common ? read_below(common.get(), "shallow", text, max_shallow) : errno; error != 0) {
    why = unread("shallow", error == EISDIR ? EIO : error);
    return out;
  }
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    if (auto line = text.substr(at, end - at); is_commit_name(line))
      out += line + "\n";
    at = end + 1;
  }
  return out;
}

} // namespace conclave::git
