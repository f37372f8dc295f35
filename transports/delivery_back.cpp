// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// How what was written of a plan is taken back, also where what lay beside the user's files is gone.

#include "protocols/path_policy.hpp"
#include "transports/delivery_plan.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>

namespace conclave::delivery {

using snapshots::write_durably;

namespace {

constexpr std::size_t most_named = 8;
constexpr const char* in_the_way = "something else has its place: move that away";

std::string system_fault(int error) {
  return error == 0 ? std::string{} : std::strerror(error);
}

std::string folder_fault(int error) {
  return error == ENOENT                      ? "its folder is not there"
         : error == ELOOP || error == ENOTDIR ? "its folder is a link or a file now"
         : error == EXDEV                     ? "its folder is a mount point now"
                                              : system_fault(error);
}

/// Whether a path of the target has these bytes, whoever wrote them.
bool has_bytes(const target& at, const std::string& path, const state& s) {
  state now;
  return look_at(at, path, true, now, nullptr) == 0 && matches(now, {s.kind, 0, s.sha256});
}

} // namespace

/// Whether what a step replaced, or the lack of what it added, says that it was taken.
bool run::lies_aside(const step& s, std::size_t n) const {
  auto slot = std::to_string(n);
  if (s.what == act::add)
    return !is_still(stage(), slot, s.after);
  return is_still(stage(), slot + ".old", s.before) || (s.what == act::replace && is_still(stage(), slot, s.before));
}

/// Gives a path what it held from the copy in old/. Returns 0 or errno.
int run::put_back(const step& s, std::size_t n, int in, const std::string& name) const {
  auto olds = open_in(folder(), "old");
  auto slot = std::to_string(n), copy = slot + ".kept";
  auto from = snapshots::open_file(olds.get(), slot.c_str());
  if (!from)
    return errno;
  ::unlinkat(stage(), copy.c_str(), 0); // of one that was killed
  auto as = s.before;
  if (auto error = put_aside(stage(), copy, as, from.get(), nullptr); error != 0)
    return error;
  if (is_nothing(in, name))
    return move_name(stage(), copy, in, name);
  auto error = exchange(stage(), copy, in, name);
  if (error != EINVAL)
    return error;
  error = move_name(in, name, stage(), slot);
  return error != 0 ? error : move_name(stage(), copy, in, name);
}

std::string run::take_back(const step& s, std::size_t n, const target& at, std::size_t reached) const {
  std::string name;
  auto slot = std::to_string(n), old = slot + ".old";
  auto in = at.parent(s.path, name);
  if (!in) {
    auto error = errno;
    auto taken = s.what == act::make_folder     ? false // what it made is empty, or holds what is judged by itself
                 : s.what == act::remove_folder ? n < reached
                                                : lost_ || lies_aside(s, n);
    return taken ? folder_fault(error) : std::string{};
  }
  auto ours = [&] { return is_still(in.get(), name, s.after) || has_bytes(at, s.path, s.after); };
  int error = 0;
  switch (s.what) {
  case act::remove_file:
    if (is_still(stage(), old, s.before))
      error = move_name(stage(), old, in.get(), name);
    else if (lost_ && is_nothing(in.get(), name))
      error = put_back(s, n, in.get(), name);
    return error == EEXIST ? has_bytes(at, s.path, s.before) ? std::string{} : in_the_way : system_fault(error);
  case act::remove_folder:
    return is_nothing(in.get(), name) ? system_fault(make_folder(stage(), slot, in.get(), name, s.before)) : std::string{};
  case act::make_folder:
    ::unlinkat(in.get(), name.c_str(), AT_REMOVEDIR); // if it is empty
    return {};
  case act::add:
    return lies_aside(s, n) && ours() ? system_fault(move_name(in.get(), name, stage(), slot)) : std::string{};
  case act::replace:
    break;
  }
  auto exchanged = is_still(stage(), slot, s.before), moved = is_still(stage(), old, s.before);
  if (is_still(in.get(), name, s.before))
    return {};
  if (is_nothing(in.get(), name))
    return system_fault(exchanged ? move_name(stage(), slot, in.get(), name)
                        : moved   ? move_name(stage(), old, in.get(), name)
                        : lost_   ? put_back(s, n, in.get(), name)
                                  : 0);
  if (is_still(stage(), slot, s.after) || has_bytes(at, s.path, s.before))
    return {}; // it was not taken, or somebody put back what was there
  if (!ours())
    return exchanged || moved || lost_ ? "it was changed since: move it away" : std::string{};
  if (exchanged)
    return system_fault(exchange(stage(), slot, in.get(), name));
  if (!moved)
    return system_fault(put_back(s, n, in.get(), name));
  error = move_name(in.get(), name, stage(), slot);
  return system_fault(error != 0 ? error : move_name(stage(), old, in.get(), name));
}

std::string run::take_back(const std::vector<step>& steps, const target& at, std::size_t reached) const {
  // From here on the rest is not written any more, also if this is killed. On a full disk it may be.
  write_durably(folder(), "back", "back\n");
  for (auto n = steps.size(); n > reached; --n)
    if ((has_old(steps[n - 1]) || has_new(steps[n - 1])) && !lost_ && lies_aside(steps[n - 1], n - 1))
      reached = n; // before this process
  std::string out;
  std::size_t count = 0;
  for (auto n = steps.size(); n > 0; --n) {
    auto& s = steps[n - 1];
    if (auto why = take_back(s, n - 1, at, reached); !why.empty() && ++count <= most_named)
      out += (count == 1 ? "" : ", ") + path_policy::shown(s.path, 100) + " (" + why + ")";
  }
  if (count == 0) {
    for (std::size_t n = 0; n < steps.size() && n < reached; ++n)
      if (steps[n].what == act::remove_folder)
        date_folder(at, steps[n].path, steps[n].before);
    end_plan();
    clear(at);
    return {};
  }
  return std::to_string(count) + (count == 1 ? " path" : " paths") + " could not be taken back: " + out
         + (count > most_named ? " and " + std::to_string(count - most_named) + " more" : "")
         + "; what was there before is kept, and the next run, apply or undo puts it back once that can be";
}

bool run::is_damaged(const std::vector<step>& steps, const target& at) const {
  found f;
  std::string name;
  for (std::size_t n = 0; n < steps.size(); ++n)
    if (has_new(steps[n]) && snapshots::look(stage(), std::to_string(n).c_str(), f) == ENOENT) {
      auto in = at.parent(steps[n].path, name);
      if (in && (is_nothing(in.get(), name) || is_still(in.get(), name, steps[n].before)))
        return true; // neither there nor in its place
    }
  return false;
}

int run::mend_stage(std::vector<step>& steps, const target& at, const std::vector<step>& applied, int olds) {
  if (auto error = write_durably(folder(), "lost", "lost\n"); error != 0)
    return error;
  lost_ = true;
  if (::mkdirat(at.root(), stage_name().c_str(), 0700) != 0 && errno != EEXIST)
    return errno;
  if (auto error = open_stage(at); error != 0 || !undo_)
    return error;
  std::unordered_map<std::string, std::size_t> kept;
  for (std::size_t m = 0; m < applied.size(); ++m)
    if (has_old(applied[m]))
      kept[applied[m].path] = m;
  for (std::size_t n = 0; n < steps.size(); ++n) {
    auto& s = steps[n];
    auto old = kept.find(s.path);
    std::string name, slot = std::to_string(n);
    auto in = at.parent(s.path, name);
    if (!has_new(s) || old == kept.end() || (in && is_still(in.get(), name, s.after)))
      continue;
    auto from = snapshots::open_file(olds, std::to_string(old->second).c_str());
    ::unlinkat(stage(), slot.c_str(), 0); // of one that was killed
    if (auto error = from ? put_aside(stage(), slot, s.after, from.get(), nullptr) : errno; error != 0)
      return error;
  }
  return write_plan(steps, at);
}

} // namespace conclave::delivery
