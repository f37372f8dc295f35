// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/confined_dir.hpp"
#include "transports/confined_dir_system.hpp"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace conclave {

dir_result<std::vector<std::string>> names_of(int folder) {
  dir_result<std::vector<std::string>> out;
  descriptor own(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); // with a position of its own
  if (!own) {
    out.error = system_error("");
    return out;
  }
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(own.get()), ::closedir);
  if (!dir) {
    out.error = system_error("");
    return out;
  }
  own.release();
  for (;;) {
    errno = 0;
    auto* e = ::readdir(dir.get()); // NOLINT: one thread reads this folder's stream
    if (e == nullptr)
      break;
    std::string name = e->d_name;
    if (name != "." && name != "..")
      out.value.push_back(std::move(name));
  }
  if (errno != 0)
    out.error = system_error("");
  std::sort(out.value.begin(), out.value.end());
  return out;
}

dir_result<dir_listing> confined_dir::list(std::string_view path, std::size_t limit) const {
  auto folder = open_folder(path);
  if (!folder.ok())
    return {{}, folder.error};
  auto names = names_of(folder.value.fd.get());
  if (!names.ok())
    return {{}, {names.error.what, folder.value.path, names.error.number}};
  dir_result<dir_listing> out;
  for (auto& name : names.value) {
    auto facts = facts_at(folder.value.fd.get(), name);
    if (!facts.ok()) // gone by now
      continue;
    if (out.value.entries.size() == limit) {
      out.value.cut = true;
      break;
    }
    out.value.entries.push_back({std::move(name), facts.value});
  }
  return out;
}

dir_error confined_dir::visit_folder(int folder, const std::string& prefix, int depth, const walk_bounds& bounds,
                                     const walk_visitor& visit, bool removes, bool& stopped) const {
  auto names = names_of(folder);
  if (!names.ok())
    return {names.error.what, prefix, names.error.number};
  for (auto& name : names.value) {
    if (bounds.cancel != nullptr && *bounds.cancel)
      return {dir_fault::cancelled, prefix, 0};
    auto facts = facts_at(folder, name);
    if (!facts.ok())
      continue; // gone by now
    walked w{prefix.empty() ? name : prefix + "/" + name, name, facts.value, depth, folder, dir_fault::none};
    descriptor below;
    if (w.facts.kind == entry_kind::folder) {
      if (depth >= bounds.depth)
        w.fault = dir_fault::too_deep;
      else if (below = step(folder, name.c_str(), O_RDONLY | O_DIRECTORY); !below)
        w.fault = system_error(w.path).what;
    }
    if (removes && w.fault != dir_fault::none)
      return {w.fault, w.path, 0};
    auto next = walk_step::on;
    if (!removes || w.facts.kind != entry_kind::folder)
      next = visit(w);
    if (next == walk_step::stop) {
      stopped = true;
      return {};
    }
    if (below && next == walk_step::on) {
      auto e = visit_folder(below.get(), w.path, depth + 1, bounds, visit, removes, stopped);
      if (!e.ok() || stopped)
        return e;
      if (removes && visit(w) == walk_step::stop) {
        stopped = true;
        return {};
      }
    }
    if (removes && next == walk_step::on
        && ::unlinkat(folder, name.c_str(), w.facts.kind == entry_kind::folder ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT)
      return system_error(w.path);
  }
  return {};
}

dir_error confined_dir::walk(std::string_view path, const walk_bounds& bounds, const walk_visitor& visit) const {
  auto folder = open_folder(path);
  if (!folder.ok())
    return folder.error;
  bool stopped = false;
  return visit_folder(folder.value.fd.get(), "", 0, bounds, visit, false, stopped);
}

dir_error confined_dir::remove_tree(std::string_view path, const walk_bounds& bounds, const walk_visitor& may_go) const {
  auto p = parent_of(path);
  if (!p.ok())
    return p.error;
  if (p.value.name.empty())
    return {dir_fault::bad_path, "", 0};
  auto folder = step(p.value.folder.get(), p.value.name.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder)
    return system_error(p.value.path);
  bool stopped = false;
  auto e = visit_folder(folder.get(), "", 0, bounds, may_go, true, stopped);
  if (!e.ok())
    return e;
  if (stopped)
    return {dir_fault::changed, p.value.path, 0};
  if (::unlinkat(p.value.folder.get(), p.value.name.c_str(), AT_REMOVEDIR) != 0)
    return system_error(p.value.path);
  return {};
}

} // namespace conclave
