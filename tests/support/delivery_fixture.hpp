// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A folder of a user's, the changes for it, and a journal.

#include "support/snapshot_fixture.hpp"
#include "transports/delivery.hpp"

namespace conclave::test {

/// `work` is what the presenter has, `user` the folder of the user.
struct delivery_fixture : snapshot_fixture {
  std::string user = place("user"), journal = place("journal"), base;
  delivery::policy on_drift = delivery::policy::fail;
  std::string forbidden;

  delivery_fixture() { options.limits.keep_free = 0; }

  /// Both folders are as `work` is now.
  void start() {
    base = take().id;
    CAF_REQUIRE_EQUAL(snapshots::remove_tree(user), "");
    good(kept.restore(base, user, nullptr, 0));
  }
  delivery::job plan() {
    delivery::job j{kept, base, take().id, user, on_drift, {}, journal};
    j.keep_free = 0;
    j.allowed = [this](const std::string& path, path_policy::access) {
      return !forbidden.empty() && path.starts_with(forbidden) ? std::string{"protected"} : std::string{};
    };
    return j;
  }
  std::string id_of(const std::string& folder) { return take(folder).id; }
  void user_writes(const std::string& path, const std::string& bytes) {
    std::filesystem::create_directories((std::filesystem::path{user} / path).parent_path());
    std::ofstream{user + "/" + path, std::ios::binary} << bytes;
  }
  std::string why(const delivery::applied& a, const std::string& path) {
    for (auto& s : a.skipped)
      if (s.path == path)
        return s.why;
    return "";
  }
  bool no_rests() {
    for (auto& f : std::filesystem::directory_iterator(user))
      if (f.path().filename().string().starts_with(".conclave"))
        return false;
    return true;
  }
};

template <class T>
snapshots::fault kind_of(const snapshots::result<T>& r) {
  auto* bad = std::get_if<snapshots::failure>(&r);
  return bad != nullptr ? bad->kind : snapshots::fault{255};
}

} // namespace conclave::test
