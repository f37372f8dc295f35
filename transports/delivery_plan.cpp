// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/delivery_plan.hpp"

#include "protocols/text.hpp"
#include "transports/delivery_judge.hpp"

#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_map>

namespace conclave::delivery {

using snapshots::change;
using snapshots::entry;
using snapshots::failed;
using snapshots::look;

namespace {

bool is_plain(entry_kind k) {
  return k == entry_kind::file || k == entry_kind::executable;
}

/// The bytes of a file by their hash. Returns 0 or errno; EAGAIN if it changes meanwhile.
int hash_of(int folder, const std::string& name, const found& expected, std::string& out, cancel_flag cancel) {
  auto fd = snapshots::open_file(folder, name.c_str());
  found now;
  auto error = fd ? look(fd.get(), "", now) : errno;
  if (error != 0 || !now.same_state(expected))
    return error != 0 ? error : EAGAIN;
  wire::digest hash{};
  error = snapshots::hash_bytes(fd.get(), hash, cancel);
  out = wire::to_hex(hash);
  return error;
}

std::string parent_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string{} : path.substr(0, slash);
}

bool below(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

class judging {
public:
  judging(const job& j, const target& at, std::vector<judged>& all) : j_(j), at_(at), all_(all) {}

  std::optional<failure> run() {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (auto bad = one(all_[i]))
        return bad;
      places_[all_[i].said.what.path] = i;
    }
    for (std::size_t i = 0; i < all_.size(); ++i)
      shape(i);
    follow_links();
    return {};
  }

private:
  bool goes(const judged& d) const {
    return d.said.state == verdict::clean || d.said.state == verdict::already
           || (d.said.state == verdict::drifted && j_.on_drift == policy::prefer_presenter);
  }
  void set(judged& d, verdict v, std::string why) const {
    d.said.state = v;
    d.said.why = std::move(why);
  }
  std::optional<failure> one(judged& d) {
    auto& c = d.said.what;
    if (auto why = denied(j_.allowed, c); !why.empty()) {
      set(d, verdict::denied, std::move(why));
      return {};
    }
    auto error = look_at(at_, c.path, true, d.now, j_.cancel);
    if (error == ECANCELED)
      return failed("", "", error);
    if ((error == ENOTDIR || error == ELOOP) && c.after.kind == entry_kind::none && is_replaced(parent_of(c.path))) {
      set(d, verdict::already, {});
      return {};
    }
    if ((error == ENOTDIR || error == ELOOP) && made_here(c.path))
      error = ENOENT; // what is in the folder's place goes first, and is judged by itself
    if (error == EXDEV || error == ENXIO || error == ENOTDIR || error == ELOOP) {
      // Nothing is written through it, whatever the policy is. Mount points are in no copy: what agents add there is no drift.
      auto fails = j_.on_drift == policy::fail && (error != EXDEV || c.before.kind != entry_kind::none);
      set(d, fails ? verdict::drifted : verdict::denied,
          error == EXDEV   ? "a mount point"
          : error == ENXIO ? "it is a FIFO, a socket or a device"
                           : "its folder is a link or a file now");
      return {};
    }
    if (error == EAGAIN) {
      set(d, j_.on_drift == policy::fail ? verdict::drifted : verdict::denied, "it changes while it is read");
      return {};
    }
    if (error == EACCES || error == EPERM) { // nor can it be kept, so that undo could put it back
      set(d, j_.on_drift == policy::fail ? verdict::drifted : verdict::denied, "it cannot be read");
      return {};
    }
    if (error != 0 && error != ENOENT)
      return failed("read", c.path, error);
    d.folder_missing = error == ENOENT;
    if (matches(d.now, c.after))
      set(d, verdict::already, {});
    else if (!matches(d.now, c.before))
      drift(d);
    else if (d.folder_missing && !made_here(c.path))
      set(d, verdict::drifted, "its folder is gone");
    return {};
  }

  /// Whether a folder, or one that it is in, is what the changes make of it already.
  bool is_replaced(const std::string& folder) const {
    auto it = places_.find(folder);
    return it != places_.end() && all_[it->second].said.state == verdict::already;
  }

  bool made_here(const std::string& path) const {
    auto it = places_.find(parent_of(path));
    return it != places_.end() && all_[it->second].said.what.after.kind == entry_kind::folder;
  }

  void drift(judged& d) const {
    auto& c = d.said.what;
    auto now = d.now.kind;
    set(d, verdict::drifted,
        now == entry_kind::none               ? "it is gone"
        : c.before.kind == entry_kind::none   ? "it is there already, with something else in it"
        : now == entry_kind::folder           ? "it is a folder now"
        : c.before.kind == entry_kind::folder ? "it is no folder any more"
                                              : "it was changed");
    // A folder of the user's is not taken away for a file, nor one of files that nobody saw made of a file.
    if (j_.on_drift == policy::prefer_presenter
        && (now == entry_kind::folder || c.after.kind == entry_kind::folder
            || (c.before.kind == entry_kind::folder && c.after.kind == entry_kind::none)))
      set(d, verdict::denied, d.said.why + ", and stays so");
  }

  /// What depends on other changes: what is in a folder goes with it.
  void shape(std::size_t i) {
    auto& d = all_[i];
    auto& c = d.said.what;
    if (c.after.kind == entry_kind::folder && !goes(d) && d.said.state != verdict::already)
      leave_below(i, "its folder is left out");
    if (c.before.kind == entry_kind::folder && c.after.kind != entry_kind::folder && c.after.kind != entry_kind::none && goes(d)
        && d.now.kind == entry_kind::folder && !empties(i)) {
      set(d, j_.on_drift == policy::fail ? verdict::drifted : verdict::denied, "the folder holds what is not part of the changes");
      leave_below(i, "its folder stays");
    }
  }

  /// What one of them is shall not hang on another one that is left out, so what is found is said at the end.
  void follow_links() {
    std::vector<std::pair<judged*, std::string>> out;
    auto next = [this](const std::string& path) -> const entry* {
      auto it = places_.find(path);
      return it == places_.end() || !goes(all_[it->second]) ? nullptr : &all_[it->second].said.what.after;
    };
    for (auto& d : all_)
      if (d.said.what.after.kind == entry_kind::link && d.said.state != verdict::already && goes(d))
        if (auto why = leads_out_of(at_, j_.store, d.said.what, next); !why.empty())
          out.emplace_back(&d, std::move(why));
    for (auto& [d, why] : out)
      set(*d, verdict::denied, std::move(why));
  }

  void leave_below(std::size_t i, const std::string& why) {
    for (auto k = i + 1; k < all_.size() && below(all_[k].said.what.path, all_[i].said.what.path); ++k)
      if (all_[k].said.state != verdict::denied)
        set(all_[k], j_.on_drift == policy::fail ? verdict::drifted : verdict::denied, why);
  }

  /// Whether nothing would be left in a folder of the target.
  bool empties(std::size_t i) const {
    for (auto k = i + 1; k < all_.size() && below(all_[k].said.what.path, all_[i].said.what.path); ++k)
      if (!goes(all_[k]))
        return false;
    return only_known(all_[i].said.what.path, 0);
  }
  bool only_known(const std::string& path, unsigned depth) const {
    std::string name;
    auto in = at_.parent(path, name);
    auto self = in ? snapshots::open_folder(in.get(), name.c_str(), at_.what().device) : descriptor{};
    std::vector<std::string> names;
    if (!self || depth > 128 || snapshots::names_in(self.get(), names) != 0)
      return false;
    return std::all_of(names.begin(), names.end(), [&](const std::string& n) {
      auto it = places_.find(path + "/" + n);
      if (it == places_.end())
        return false;
      return all_[it->second].now.kind != entry_kind::folder || only_known(it->first, depth + 1);
    });
  }

  const job& j_;
  const target& at_;
  std::vector<judged>& all_;
  std::unordered_map<std::string, std::size_t> places_;
};

/// `mask`: of new files.
std::uint32_t mode_for(const state& now, const entry& after, std::uint32_t mask) {
  auto executable = after.kind == entry_kind::executable;
  if (!is_plain(now.kind))
    return (executable ? 0777 : 0666) & ~mask;
  auto mode = now.mode & 0777;
  return executable ? mode | (mode & 0444) >> 2 | 0100 : mode & ~0111U;
}

} // namespace

int look_at(const target& at, const std::string& path, bool read, state& out, cancel_flag cancel) {
  std::string name;
  out = {};
  auto in = at.parent(path, name);
  if (!in)
    return errno;
  found f;
  if (auto error = look(in.get(), name.c_str(), f); error != 0)
    return error == ENOENT ? 0 : error;
  if (f.mount_point || f.device != at.what().device)
    return EXDEV;
  out = state_of(f);
  if (!read)
    return 0;
  if (f.is_file())
    return hash_of(in.get(), name, f, out.sha256, cancel);
  if (f.is_link()) {
    std::string names;
    if (auto error = snapshots::read_link(in.get(), name.c_str(), names); error != 0)
      return error;
    out.sha256 = wire::sha256(names);
  } else if (!f.is_folder()) {
    return ENXIO; // a device, a FIFO: not ours to touch
  }
  return 0;
}

bool matches(const state& now, const entry& e) {
  return now.kind == e.kind && (e.kind == entry_kind::none || e.kind == entry_kind::folder || now.sha256 == e.sha256);
}

result<std::vector<judged>> judge_all(const job& j, const target& at) {
  auto got = j.store.diff(j.base, j.after);
  if (auto* bad = std::get_if<failure>(&got))
    return std::move(*bad);
  std::vector<judged> all;
  for (auto& c : std::get<snapshots::changes>(got))
    all.push_back({{std::move(c), verdict::clean, {}}, {}, false});
  judging judges{j, at, all};
  if (auto bad = judges.run())
    return std::move(*bad);
  return all;
}

std::vector<step> steps_of(const job& j, const target& at, const std::vector<judged>& all, std::vector<left_out>& skipped) {
  std::vector<step> removals, rest;
  auto mask = static_cast<std::uint32_t>(snapshots::umask_now());
  const state new_folder{entry_kind::folder, 0777 & ~mask, 0, 0, 0, 0, 0, {}};
  std::set<std::string> made;
  auto owner = [&](state& s) {
    s.uid = at.what().uid;
    s.gid = at.what().gid;
  };
  // The folders that the user deleted and that are needed again.
  std::function<void(const std::string&)> make = [&](const std::string& path) {
    state now;
    if (path.empty() || made.contains(path) || (look_at(at, path, false, now, nullptr) == 0 && now.kind == entry_kind::folder))
      return;
    make(parent_of(path));
    made.insert(path);
    step s{act::make_folder, path, {}, new_folder};
    owner(s.after);
    rest.push_back(std::move(s));
  };
  for (auto& d : all) {
    auto& c = d.said.what;
    if (d.said.state == verdict::already)
      continue;
    if (d.said.state == verdict::denied || (d.said.state == verdict::drifted && j.on_drift != policy::prefer_presenter)) {
      skipped.push_back({c.path, d.said.why});
      continue;
    }
    state after{c.after.kind, mode_for(d.now, c.after, mask), d.now.uid, d.now.gid, c.after.size, 0, 0, c.after.sha256};
    if (d.now.kind == entry_kind::none || d.now.kind == entry_kind::folder)
      owner(after);
    auto folders = d.now.kind == entry_kind::folder || c.after.kind == entry_kind::folder;
    if (d.now.kind != entry_kind::none && c.after.kind != entry_kind::none && !folders) {
      rest.push_back({act::replace, c.path, d.now, std::move(after)});
      continue;
    }
    if (d.now.kind != entry_kind::none)
      removals.push_back({d.now.kind == entry_kind::folder ? act::remove_folder : act::remove_file, c.path, d.now, {}});
    if (c.after.kind == entry_kind::none)
      continue;
    if (d.folder_missing)
      make(parent_of(c.path));
    if (c.after.kind == entry_kind::folder) {
      if (!made.insert(c.path).second)
        continue;
      after = new_folder;
      owner(after);
    }
    rest.push_back({c.after.kind == entry_kind::folder ? act::make_folder : act::add, c.path, {}, std::move(after)});
  }
  std::reverse(removals.begin(), removals.end());
  removals.insert(removals.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  return removals;
}

} // namespace conclave::delivery
