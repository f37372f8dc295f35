// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// For tools of the host's: the same judgement as for a model, with bytes and entries instead of text.

#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::denial;
using path_policy::shown;

template <class F>
plain_file_result file_tools::plainly(const early_end& end, F&& use) {
  end_ = &end;
  plain_file_result out;
  try {
    pause();
    use(out);
  } catch (const refusal& r) {
    out = {};
    out.failed = true;
    out.fault = r.fault;
  }
  end_ = nullptr;
  return out;
}

plain_file_result file_tools::read_plain(const std::string& path, std::size_t limit, const early_end& end) {
  return plainly(end, [&](plain_file_result& out) {
    auto a = at(path, access::read);
    auto file = open_to_read(a);
    auto read = read_bytes(file.fd.get(), 0, limit + 1, stop());
    check(a, {read.error.what, a.relative, read.error.number});
    if (read.value.size() > limit)
      refuse(denial::size, shown(path) + " has more than " + std::to_string(limit) + " bytes.");
    tracker_.read(a.below(file.path), identity_of(file.facts));
    out.bytes = std::move(read.value);
  });
}

plain_file_result file_tools::write_plain(const std::string& path, std::string bytes, std::size_t limit, const early_end& end) {
  return plainly(end, [&](plain_file_result&) {
    if (bytes.size() > limit)
      refuse(denial::size, shown(path) + " is not written: these are more than " + std::to_string(limit) + " bytes.");
    if (auto why = settings_.full ? settings_.full(end.now) : std::string{}; !why.empty())
      refuse(denial::size, std::move(why));
    pause();
    carry_out(wt::write_file{path, std::move(bytes)});
  });
}

plain_file_result file_tools::list_plain(const std::string& path, const early_end& end) {
  return plainly(end, [&](plain_file_result& out) {
    auto a = at(path, access::list);
    auto folder = a.dir->find(a.relative); // judged before it is listed
    check(a, folder.error);
    check_found(a, folder.value.path, access::list);
    auto listed = a.dir->list(folder.value.path, settings_.bounds.list_entries);
    check(a, listed.error);
    if (listed.value.cut)
      refuse(denial::size, shown(path) + " holds more than " + std::to_string(settings_.bounds.list_entries) + " entries.");
    out.entries = std::move(listed.value.entries);
  });
}

} // namespace conclave
