// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Whether a path may be used: the only place where the file tools ask the rules of the agent and the one for repositories.

#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"
#include "transports/git_folders.hpp"

namespace conclave {

using path_policy::access;
using path_policy::denial;
using path_policy::root_kind;
using path_policy::shown;

path_policy::verdict file_tools::judge(const std::string& absolute, access what) const {
  return git::judge(settings_.rules, absolute, what);
}

void file_tools::need(const std::string& absolute, access what) const {
  if (auto v = judge(absolute, what); !v.ok())
    refuse(v.code, v.text);
}

bool file_tools::may(const std::string& absolute, access what) const {
  return judge(absolute, what).ok();
}

void file_tools::check_found(const aim& a, const std::string& found, access what) const {
  if (found != a.relative)
    need(a.below(found), what);
}

void file_tools::may_go(const aim& a, access what, const files_below& below, bool unread) const {
  if (auto v = path_policy::judge_tree(settings_.rules, a.absolute, what, below.paths); !v.ok())
    refuse(v.code, v.text);
  if (a.root->kind == root_kind::context)
    for (auto& [path, facts] : below.facts) {
      pause();
      if (facts.kind == entry_kind::folder && git::is_repository(a.absolute + "/" + path))
        refuse(denial::excluded, shown(a.given) + " cannot be deleted, moved or replaced as a whole: in it, " + shown(path)
                                     + " is a git repository.");
    }
  if (unread)
    if (auto fault = tracker_.judge_removal(a.given, below.files))
      throw refusal{*fault};
}

} // namespace conclave
