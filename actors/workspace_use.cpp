// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Files for tools of the host's: the agent's own file tools, with bytes instead of text.

#include "actors/workspace_use.hpp"

#include "actors/workspace_state.hpp"

#include <caf/all.hpp>

#include <utility>

namespace conclave {

namespace {

files_used failed(std::string why) {
  files_used out;
  out.failed = true;
  out.fault.text = std::move(why);
  return out;
}

files_used used(plain_file_result r) {
  files_used out;
  out.failed = r.failed;
  out.fault = std::move(r.fault);
  out.bytes = std::move(r.bytes);
  out.entries.reserve(r.entries.size());
  for (auto& e : r.entries)
    out.entries.push_back({std::move(e.name), e.facts.kind == entry_kind::folder, e.facts.kind == entry_kind::file, e.facts.size});
  return out;
}

plain_file_result carry_out(file_tools& tools, use_files& u, const early_end& end) {
  switch (u.what) {
  case use_files::kind::write:
    return tools.write_plain(u.path, std::move(u.bytes), workspace_handle::max_bytes, end);
  case use_files::kind::list:
    return tools.list_plain(u.path, end);
  case use_files::kind::read:
    break;
  }
  return tools.read_plain(u.path, workspace_handle::max_bytes, end);
}

} // namespace

caf::result<files_used> workspace_state::use(use_files u) {
  if (u.run != of.run || u.task != of.task)
    return failed("the run is over");
  auto promise = self->make_response_promise<files_used>();
  auto out = std::make_shared<files_used>();
  auto begun = on_disk_in_time(
      [files = files, u = std::move(u), out](const early_end& end) mutable { *out = used(carry_out(*files->tools, u, end)); },
      [promise, out]() mutable { promise.deliver(std::move(*out)); },
      [promise]() mutable { promise.deliver(failed("the run was cancelled")); });
  if (!begun)
    promise.deliver(failed("the system gives no thread for the files of the agent"));
  return caf::delegated<files_used>{};
}

file_user_actor files_of(const workspace_actor& w) {
  return w ? caf::actor_cast<file_user_actor>(w) : file_user_actor{};
}

} // namespace conclave
