// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_policy.hpp"
#include "transports/delivery_journal.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::failed;

std::optional<failure> run::take(const step& s, std::size_t n, const target& at, std::vector<left_out>& kept) const {
  std::string name;
  auto slot = std::to_string(n), old = slot + ".old";
  // What was taken away is known by where it lies: something else may have its place by now, a folder or what was in one.
  if (s.what == act::remove_file && is_still(stage(), old, s.before))
    return {};
  auto in = at.parent(s.path, name);
  if (!in) {
    auto error = errno;
    if (error != ENOENT && error != ENOTDIR && error != ELOOP)
      return failed("open the folder of", s.path, error);
    if (s.what == act::remove_folder || (error == ENOENT && s.what == act::remove_file))
      return {};
    return failure{fault::denied, path_policy::shown(s.path) + ": its folder is none any more", {{s.path, 0, 1}}};
  }
  int error = 0;
  switch (s.what) {
  case act::remove_file:
    if (is_nothing(in.get(), name))
      return {};
    if (!is_still(in.get(), name, s.before))
      return changed_meanwhile(s.path);
    error = move_name(in.get(), name, stage(), old);
    if (error == 0 && !is_still(stage(), old, s.before)) {
      move_name(stage(), old, in.get(), name);
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
    error = make_folder(stage(), slot, in.get(), name, s.after);
    break;
  case act::add:
    if (is_still(in.get(), name, s.after))
      return {};
    error = move_name(stage(), slot, in.get(), name);
    if (error == ENOENT && !is_nothing(in.get(), name)) // it was written, and is another one by now
      error = EEXIST;
    break;
  case act::replace:
    if (is_still(in.get(), name, s.after))
      return {};
    if (is_nothing(in.get(), name) && is_still(stage(), old, s.before)) { // between the two moves below
      error = move_name(stage(), slot, in.get(), name);
      break;
    }
    if (!is_still(in.get(), name, s.before))
      return changed_meanwhile(s.path);
    error = exchange(stage(), slot, in.get(), name);
    if (error == 0 && !is_still(stage(), slot, s.before)) {
      exchange(stage(), slot, in.get(), name);
      return changed_meanwhile(s.path);
    }
    if (error == EINVAL) { // this disk does not exchange names
      error = move_name(in.get(), name, stage(), old);
      if (error == 0)
        error = move_name(stage(), slot, in.get(), name);
    }
    break;
  }
  if (error == EEXIST)
    return changed_meanwhile(s.path);
  return error == 0 ? std::nullopt : std::optional{failed("write", s.path, error)};
}

std::optional<failure> run::forward(const std::vector<step>& steps, const target& at, std::vector<left_out>& kept,
                                    std::size_t& reached) const {
  for (reached = 0; reached < steps.size();) {
    auto n = reached++;
    if (auto bad = take(steps[n], n, at, kept))
      return bad;
  }
  for (auto& s : steps)
    if (s.what == act::make_folder)
      date_folder(at, s.path, s.after);
  return {};
}

} // namespace conclave::delivery
