// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_policy.hpp"
#include "transports/delivery_journal.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;
using snapshots::look;

namespace {

/// Moves a name where nothing is. Where a disk does not know how, it is looked first.
int move(int from, const std::string& name, int to, const std::string& new_name) {
  if (::renameat2(from, name.c_str(), to, new_name.c_str(), RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL)
    return errno;
  found there;
  if (look(to, new_name.c_str(), there) != ENOENT)
    return EEXIST;
  return ::renameat(from, name.c_str(), to, new_name.c_str()) == 0 ? 0 : errno;
}

int exchange(int a, const std::string& name, int b, const std::string& other) {
  return ::renameat2(a, name.c_str(), b, other.c_str(), RENAME_EXCHANGE) == 0 ? 0 : errno;
}

/// Whether a name is that file. A name that is nothing is not.
bool is(int folder, const std::string& name, const state& s) {
  found f;
  return look(folder, name.c_str(), f) == 0 && s.is(f);
}

bool nothing(int folder, const std::string& name) {
  found f;
  return look(folder, name.c_str(), f) == ENOENT;
}

int make_folder(int in, const std::string& name, const state& as) {
  if (::mkdirat(in, name.c_str(), 0700) != 0) {
    found f;
    return errno == EEXIST && look(in, name.c_str(), f) == 0 && f.is_folder() ? 0 : EEXIST;
  }
  descriptor made{::openat(in, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!made)
    return errno;
  if (::geteuid() == 0 && ::fchown(made.get(), as.uid, as.gid) != 0)
    return errno;
  return ::fchmod(made.get(), as.mode & 07777) == 0 ? 0 : errno;
}

} // namespace

std::optional<failure> run::take(const step& s, std::size_t n, const target& at, std::vector<left_out>& kept) const {
  std::string name;
  auto slot = std::to_string(n), old = slot + ".old";
  // What was taken away is known by where it lies: something else may have its place by now, a folder or what was in one.
  if (s.what == act::remove_file && is(stage(), old, s.before))
    return {};
  auto in = at.parent(s.path, name);
  if (!in) {
    if (errno == ENOENT ? s.what == act::remove_file || s.what == act::remove_folder : s.what == act::remove_folder)
      return {};
    return failure{
        fault::denied, path_policy::shown(s.path) + ": its folder is none any more; nothing was written", {{s.path, 0, 1}}};
  }
  int error = 0;
  switch (s.what) {
  case act::remove_file:
    if (nothing(in.get(), name))
      return {};
    if (!is(in.get(), name, s.before))
      return changed_meanwhile(s.path);
    error = move(in.get(), name, stage(), old);
    if (error == 0 && !is(stage(), old, s.before)) {
      move(stage(), old, in.get(), name);
      return changed_meanwhile(s.path);
    }
    break;
  case act::remove_folder:
    if (::unlinkat(in.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && errno != ENOTDIR) {
      if (errno != ENOTEMPTY && errno != EEXIST)
        return failed("delete", s.path, errno);
      kept.push_back({s.path, "the folder stays: something is in it"});
    }
    return {};
  case act::make_folder:
    error = make_folder(in.get(), name, s.after);
    break;
  case act::add:
    if (is(in.get(), name, s.after))
      return {};
    error = move(stage(), slot, in.get(), name);
    break;
  case act::replace:
    if (is(in.get(), name, s.after))
      return {};
    if (nothing(in.get(), name) && is(stage(), old, s.before)) { // between the two moves below
      error = move(stage(), slot, in.get(), name);
      break;
    }
    if (!is(in.get(), name, s.before))
      return changed_meanwhile(s.path);
    error = exchange(stage(), slot, in.get(), name);
    if (error == 0 && !is(stage(), slot, s.before)) {
      exchange(stage(), slot, in.get(), name);
      return changed_meanwhile(s.path);
    }
    if (error == EINVAL) { // this disk does not exchange names
      error = move(in.get(), name, stage(), old);
      if (error == 0)
        error = move(stage(), slot, in.get(), name);
    }
    break;
  }
  if (error == EEXIST)
    return changed_meanwhile(s.path);
  return error == 0 ? std::nullopt : std::optional{failed("write", s.path, error)};
}

int run::take_back(const step& s, std::size_t n, const target& at) const {
  std::string name;
  auto slot = std::to_string(n), old = slot + ".old";
  auto in = at.parent(s.path, name);
  if (!in)
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : errno;
  auto added = s.after.kind != entry_kind::none && s.after.kind != entry_kind::folder && is(in.get(), name, s.after);
  int error = 0;
  switch (s.what) {
  case act::remove_file:
    if (is(stage(), old, s.before))
      error = move(stage(), old, in.get(), name);
    break;
  case act::remove_folder:
    return nothing(in.get(), name) ? make_folder(in.get(), name, s.before) : 0;
  case act::make_folder:
    ::unlinkat(in.get(), name.c_str(), AT_REMOVEDIR); // if it is empty
    return 0;
  case act::add:
    return added ? move(in.get(), name, stage(), slot) : 0;
  case act::replace:
    if (added && is(stage(), slot, s.before))
      return exchange(stage(), slot, in.get(), name);
    if (added && is(stage(), old, s.before))
      error = move(in.get(), name, stage(), slot);
    if (error == 0 && nothing(in.get(), name) && is(stage(), old, s.before))
      error = move(stage(), old, in.get(), name);
    break;
  }
  return error == EEXIST ? 0 : error;
}

std::optional<failure> run::forward(const std::vector<step>& steps, const target& at, std::vector<left_out>& kept) const {
  for (std::size_t n = 0; n < steps.size(); ++n)
    if (auto bad = take(steps[n], n, at, kept))
      return bad;
  return {};
}

bool run::back(const std::vector<step>& steps, const target& at) const {
  bool good = true;
  for (auto n = steps.size(); n > 0; --n)
    good = take_back(steps[n - 1], n - 1, at) == 0 && good;
  return good;
}

} // namespace conclave::delivery
