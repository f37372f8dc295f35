// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Where a new link would lead in the target, whose own links no copy has.

#include "protocols/path_policy.hpp"
#include "transports/delivery_plan.hpp"

#include <deque>
#include <sstream>

namespace conclave::delivery {

namespace {

constexpr int max_links = 40; ///< on one way, as with the kernel

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> out;
  std::istringstream in{path};
  for (std::string part; std::getline(in, part, '/');)
    if (!part.empty() && part != ".")
      out.push_back(part);
  return out;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (auto& part : parts)
    out += (out.empty() ? "" : "/") + part;
  return out;
}

/// Whether there is a link, and where that leads.
bool read_there(const target& at, const std::string& path, std::string& to) {
  std::string name;
  found f;
  auto in = at.parent(path, name);
  return in && snapshots::look(in.get(), name.c_str(), f) == 0 && f.is_link()
         && snapshots::read_link(in.get(), name.c_str(), to) == 0;
}

bool read_kept(const snapshots::store& store, const std::string& sha256, std::string& to) {
  descriptor fd{store.open_object(sha256)};
  return fd && snapshots::read_whole(fd.get(), to, 4096) == 0;
}

} // namespace

std::string leads_out_of(const target& at, const snapshots::store& store, const snapshots::change& link, const planned& next) {
  std::string to;
  if (!read_kept(store, link.after.sha256, to))
    return "where it leads cannot be read";
  auto names = parts_of(to);
  std::deque<std::string> left{names.begin(), names.end()};
  auto here = parts_of(link.path);
  here.pop_back();
  std::string through;
  auto out = [&through] {
    return "it leads out of the folder"
           + (through.empty() ? std::string{} : " through " + path_policy::shown(through) + ", which is a link there");
  };
  for (int links = 0; !left.empty() && links <= max_links;) {
    auto name = std::move(left.front());
    left.pop_front();
    if (name == "..") {
      if (here.empty())
        return out();
      here.pop_back();
      continue;
    }
    here.push_back(std::move(name));
    auto path = joined(here);
    auto* changed = next(path);
    auto is_link =
        changed == nullptr ? read_there(at, path, to) : changed->kind == entry_kind::link && read_kept(store, changed->sha256, to);
    if (!is_link)
      continue;
    ++links;
    through = path;
    here.pop_back();
    if (to.starts_with('/')) {
      if (to != at.path() && !to.starts_with(at.path() + "/"))
        return out();
      to.erase(0, at.path().size());
      here.clear();
    }
    names = parts_of(to);
    left.insert(left.begin(), names.begin(), names.end());
  }
  return {};
}

} // namespace conclave::delivery
