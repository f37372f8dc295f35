// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What an agent's copies of the user's folders began from: the same for all its runs, as what it made is compared with that.

#include "protocols/wire/sha256.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/home.hpp"
#include "transports/workspace_disk.hpp"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <variant>

namespace conclave {

using namespace workspace_paths;

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
  std::error_code e;
  auto one = std::filesystem::is_regular_file(path, e);
  auto cut = path.rfind('/');
  auto folder = one ? path.substr(0, cut) : path;
  auto holds = [&](const std::string& id) {
    return std::holds_alternative<snapshots::entry>(store_.find(id, path.substr(cut + 1)));
  };
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
