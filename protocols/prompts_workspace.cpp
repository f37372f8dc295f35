// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What an agent is told of its files.

#include "protocols/prompts.hpp"
#include "protocols/text.hpp"
#include "protocols/workspace_paths.hpp"
#include "protocols/workspace_tools.hpp"

#include <algorithm>

namespace conclave::prompts {

namespace {

/// A path in a line of its own: nothing in a name can look like an instruction.
std::string line(const std::string& what, const std::string& path) {
  return "\n" + what + ": " + shown_text(path, 4'096);
}

bool offers(const backend_config& b, std::string_view name) {
  const auto* row = workspace_tools::find(name);
  return row != nullptr && !workspace_tools::is_named(*row, b.exclude_tools)
         && (!b.has_allowed_tools || workspace_tools::is_named(*row, b.allowed_tools))
         && std::none_of(b.mcp_servers.begin(), b.mcp_servers.end(), [&](auto& s) { return s.name == row->server; });
}

} // namespace

std::string workspace(const start_run& t, const backend_config& backend, const std::string& place) {
  const auto& with = backend.workspace;
  auto present = t.kind == run_kind::present;
  std::string out = "You can work on files.";
  out += line("Your workspace, where relative paths resolve", workspace_paths::work(place));
  if (!t.answers.empty()) {
    out += line("The files of the current answers, to read", workspace_paths::view(place));
    for (auto& a : t.answers)
      out += "\n  " + a.id + (a.snapshot.empty() ? ": no files" : "/");
  }
  for (std::size_t i = 0; i < with.context.size(); ++i) {
    auto& c = with.context[i];
    if (!c.write)
      out += line("Context Path, read-only", c.path);
    else if (c.git)
      out += line("Target Path, make changes here: it is your own git checkout of " + shown_text(c.path, 4'096)
                      + " with the changes its user has not committed, and what its files differ in goes with your answer; commits "
                        "and branches that you make in it do not",
                  workspace_paths::checkout(place, i));
    else if (workspace_paths::written_in_place(with, c))
      out += line(present ? "Target Path, make changes here: it is the user's own folder, and what you do to it is done"
                          : "Target Path, read-only now; whoever presents the final answer changes it",
                  c.path);
    else if (workspace_paths::goes_with_answers(with, c))
      out += line("Target Path, make changes here: it is your own copy of " + shown_text(c.path, 4'096)
                      + ", and what its files differ in goes with your answer",
                  workspace_paths::checkout(place, i));
    else if (present)
      out += line("Target Path, make changes here: it is a copy of " + shown_text(c.path, 4'096)
                      + ", and what differs is what you deliver",
                  workspace_paths::target(place, i));
    else
      out += line("Target Path, read-only now; whoever presents the final answer changes a copy of it", c.path);
    for (auto& p : c.protected_paths)
      out += line("  never changed below it", p);
  }
  out += "\nUse absolute paths outside of your workspace.";
  if (present)
    out += " Your workspace holds the files of your answer. Put what belongs into a Target Path there, "
           + std::string{offers(backend, "deliver_files") ? "with deliver_files or " : ""}
           + "by writing it, and look whether it is complete. In the final answer name the files and do not paste them.";
  else if (t.answers.empty())
    out += " Keep only what belongs to your answer in the workspace when you call new_answer; in the answer name the files and do "
           "not paste them.";
  else
    out += " Look at the others' files before you vote. If you improve on an answer, copy what you take from its files into your "
           "workspace; keep only what belongs to your answer there, and name the files in it.";
  if (with.commands && offers(backend, "execute_command")) {
    out += " execute_command runs a shell command in your workspace, confined: it reads what you may read and writes only there";
    out += with.network == "none" ? ", without network." : ".";
    out += " Programs of a .venv in the workspace are found first. Test what you make, and say how it is run.";
  }
  return out;
}

} // namespace conclave::prompts
