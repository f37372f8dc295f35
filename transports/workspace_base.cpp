// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What an agent's copies of the user's folders began from: the same for all its runs, as what it made is compared with that.

#include "protocols/path_policy.hpp"
#include "protocols/wire/sha256.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/git_ignored.hpp"
#include "transports/home.hpp"
#include "transports/workspace_disk.hpp"
#include "transports/workspace_files.hpp"

#include <fstream>
#include <memory>
#include <utility>
#include <variant>

namespace conclave {

using namespace workspace_files;
using namespace workspace_paths;

namespace {

/// What no copy of a folder has.
snapshots::leaving left_out_of_copy(const std::string& folder) {
  return [ignored = std::shared_ptr<git::ignored_paths>{git::ignored_paths::of(folder)}](const std::string& path, bool is_folder) {
    auto why = left_out_of_copies(path);
    return why.empty() && ignored && ignored->holds(path, is_folder) ? std::string{snapshots::git_ignores} : why;
  };
}

} // namespace

std::string left_out_of_copies(const std::string& path) {
  for (std::size_t at = 0; at <= path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    auto name = std::string_view{path}.substr(at, end - at);
    if (path_policy::is_secret_name(name))
      return "the name of a secret";
    if (path_policy::is_excluded_name(name))
      return "the name of what programs keep for themselves";
    at = end + 1;
  }
  return {};
}

std::string copy_fault(const std::string& folder) {
  if (is_file(folder))
    return {};
  snapshots::take_options how;
  how.leave_out = left_out_of_copy(folder);
  auto found = snapshots::over_limits(folder, how);
  return !found || found->kind != snapshots::fault::over_limit ? std::string{} : found->text;
}

snapshots::take_options workspace_disk::how_to_take(std::size_t i, snapshots::cancel_flag cancel) const {
  auto& c = f_.config.context[i];
  snapshots::take_options how;
  how.holder = f_.task;
  how.scan_cache = target(f_.place, i) + ".scan";
  how.cancel = cancel;
  auto one = is_file(c.path);
  auto only = name_of(c.path);
  if (one) {
    how.leave_out = [only](const std::string& path, bool) { return path == only ? std::string{} : "not the file"; };
    return how;
  }
  // What was there from the beginning stays in what it is compared with, whatever the rules are by then: it would be deleted else.
  auto kept = [this, i](const std::string& path) {
    return !bases_[i].snapshot.empty() && std::holds_alternative<snapshots::entry>(store_.find(bases_[i].snapshot, path));
  };
  how.leave_out = [kept, rule = left_out_of_copy(c.path)](const std::string& path, bool is_folder) {
    auto why = rule(path, is_folder);
    return why == snapshots::git_ignores && kept(path) ? std::string{} : why;
  };
  return how;
}

/// Keeps a folder of the user's as it is now.
std::string workspace_disk::take_base(std::size_t i, const std::optional<git::repository>& of, snapshots::cancel_flag cancel) {
  auto& c = f_.config.context[i];
  auto got = store_.take(is_file(c.path) ? parent(c.path) : c.path, how_to_take(i, cancel));
  auto* taken = std::get_if<snapshots::taken>(&got);
  if (taken == nullptr)
    return "no copy of " + path_policy::shown(c.path, 4'096) + " can be made: " + std::get<snapshots::failure>(got).text;
  tell_not_copied(i, *taken);
  base b{taken->id, of ? of->branch : "", of ? of->commit : "", static_cast<std::int64_t>(taken->files),
         static_cast<std::int64_t>(taken->bytes)};
  return write_base(i, std::move(b));
}

std::string workspace_disk::base_file(std::size_t i) const {
  return target(f_.place, i) + ".base";
}

bool workspace_disk::read_base(std::size_t i) {
  std::ifstream in{base_file(i)};
  base b;
  std::getline(in, b.snapshot);
  std::getline(in, b.branch);
  std::getline(in, b.commit);
  in >> b.files >> b.bytes;
  if (!wire::is_sha256(b.snapshot))
    return false;
  bases_[i] = std::move(b);
  return true;
}

std::string workspace_disk::write_base(std::size_t i, base b) {
  auto text =
      b.snapshot + "\n" + b.branch + "\n" + b.commit + "\n" + std::to_string(b.files) + " " + std::to_string(b.bytes) + "\n";
  if (auto fault = write_atomically(base_file(i), text); !fault.empty())
    return fault;
  bases_[i] = std::move(b);
  return {};
}

/// Of a file the change is one of its folder, as others are: the snapshots hold the file alone.
const folder_change* workspace_disk::change_in(std::size_t i, const std::vector<folder_change>& changes) const {
  auto& path = f_.config.context[i].path;
  auto one = is_file(path);
  auto folder = one ? parent(path) : path;
  auto holds = [&](const std::string& id) { return std::holds_alternative<snapshots::entry>(store_.find(id, name_of(path))); };
  for (auto& c : changes)
    if (c.folder == folder && (!one || holds(c.before) || holds(c.after)))
      return &c;
  return nullptr;
}

std::string workspace_disk::carry(const std::string& snapshot, const std::vector<folder_change>& changes) {
  if (auto fault = make_folders(); !fault.empty())
    return fault;
  for (std::size_t i = 0; i < f_.config.context.size(); ++i) {
    auto& c = f_.config.context[i];
    if (!goes_with_answers(f_.config, c))
      continue;
    auto* change = change_in(i, changes);
    if (change == nullptr) {
      if (auto fault = write_atomically(target(f_.place, i) + ".carried", snapshot + "\n"); !fault.empty())
        return fault;
      continue;
    }
    auto got = store_.hold(change->before, f_.task);
    if (auto* failed = std::get_if<snapshots::failure>(&got))
      return failed->text;
    auto& held = std::get<snapshots::taken>(got);
    auto from = repository_of(i, false); // a branch that went on is not where that was
    base b{change->before, from && from->commit == change->commit ? from->branch : "", change->commit,
           static_cast<std::int64_t>(held.files), static_cast<std::int64_t>(held.bytes)};
    if (auto fault = write_base(i, std::move(b)); !fault.empty())
      return fault;
  }
  return {};
}

/// Whether the files of an answer hold a copy as another task had made it, and nobody changed it since: the user may have.
bool workspace_disk::carried_unchanged(std::size_t i, const std::string& snapshot) const {
  std::ifstream in{target(f_.place, i) + ".carried"};
  std::string of;
  return std::getline(in, of) && of == snapshot;
}

} // namespace conclave
