// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Grants of every kind, for the tests of path_policy: what an agent is given in a task, before and in the final phase.

#include "protocols/path_policy.hpp"

namespace conclave::test {

inline path_policy::rules policy_rules(bool final_phase) {
  using path_policy::root;
  using path_policy::root_kind;
  path_policy::rules r;
  auto add = [&r](const char* path, root_kind kind, bool writable) -> root& {
    r.roots.push_back({path, kind, writable});
    return r.roots.back();
  };
  auto add_later = [&](const char* path, root_kind kind) -> root& {
    auto& x = add(path, kind, final_phase);
    x.later = !final_phase;
    return x;
  };
  add("/h/work/t1/ws1", root_kind::workspace, true);
  add("/h/work/t1/views", root_kind::view, false);
  add("/data/ro", root_kind::context, false);
  add_later("/x/venv/proj", root_kind::context).protected_paths = {
      "README", "/src/gen", "*.lock", "!keep.lock", "docs/", "/x/venv/proj/conf/x", "na\u00EFve", "app/[id].tsx", "[[:digit:]]up"};
  add("/x/venv/proj/vendor", root_kind::context, false);
  add("/docs/spec.md", root_kind::context_file, false);
  add_later("/srv/.env", root_kind::context_file);
  add("/data/copied", root_kind::context, false).copy = "/h/work/t1/target";
  add("/h/work/t1/target", root_kind::target, true).protected_paths = {"LICENSE"};
  add("/data/open", root_kind::context, false).allow_secrets = true;
  auto& mac = add_later("/mac/proj", root_kind::context);
  mac.protected_paths = {"readme", "caf\u00E9"};
  mac.folds_names = true;
  r.kept = {"/h"};
  return r;
}

/// One letter of a verdict: '.' allowed, else as in the table of tests/protocols/path_policy.cpp.
inline char letter(path_policy::denial d) {
  using path_policy::denial;
  switch (d) {
  case denial::none:
    return '.';
  case denial::outside:
    return 'O';
  case denial::readonly:
    return 'R';
  case denial::protected_path:
    return 'P';
  case denial::excluded:
    return 'E';
  case denial::secret:
    return 'S';
  case denial::sibling:
    return 'B';
  case denial::root:
    return 'T';
  case denial::args:
    return 'A';
  default:
    return '?';
  }
}

} // namespace conclave::test
