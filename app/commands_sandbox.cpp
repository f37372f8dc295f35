// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/commands.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/outside.hpp"
#include "transports/sandbox_canary.hpp"
#include "transports/sandbox_self_test.hpp"

#include <filesystem>
#include <future>
#include <stdlib.h>
#include <unistd.h>

namespace conclave {

namespace {

/// Tries every tier, the weaker ones, too: what would be used and why is the question.
std::vector<sandbox_report> try_all(const std::string& launcher, const std::string& folder) {
  std::vector<sandbox_report> out;
  for (auto tier : {sandbox_tier::namespaces, sandbox_tier::landlock}) {
    auto told = std::make_shared<std::promise<sandbox_report>>();
    auto report = told->get_future();
    test_sandbox(outside::of_machine(), launcher, tier, folder, [told](sandbox_report r) { told->set_value(std::move(r)); });
    out.push_back(report.get());
  }
  return out;
}

const char* mechanisms(sandbox_tier t) {
  return t == sandbox_tier::namespaces ? "user, mount, process, network, ipc, host name and cgroup namespaces; a file view of what "
                                         "is granted; system call filter"
                                       : "Landlock; system call filter without sockets; modes and times of files by the launcher";
}

std::string as_text(const sandbox_choice& c, const std::string& launcher) {
  auto out = "sandbox: " + (c.usable ? to_string(c.tier) : std::string("none")) + "\nlauncher: " + shown_text(launcher, 400) + "\n";
  for (const auto& r : c.reports) {
    out += "\n" + to_string(r.tier) + ": " + (r.passed ? "holds" : "does not hold: " + r.why) + "\n  " + mechanisms(r.tier) + "\n";
    for (const auto& [name, value] : r.traits)
      out += "  " + name + ": " + value + "\n";
    for (const auto& p : r.probes)
      out += "  " + std::string(p.held ? "held  " : "OPEN  ") + p.name + "\n";
  }
  return out + (c.error.empty() ? "" : "\n" + c.error + "\n");
}

std::string as_json(const sandbox_choice& c, const std::string& launcher) {
  std::string out = "{\"tier\":" + (c.usable ? wire::quote(to_string(c.tier)) : "null") + ",\"launcher\":" + wire::quote(launcher)
                    + ",\"error\":" + wire::quote(c.error) + ",\"tiers\":[";
  for (const auto& r : c.reports) {
    out += (out.back() == '[' ? "" : ",") + ("{\"tier\":" + wire::quote(to_string(r.tier)))
           + ",\"passed\":" + (r.passed ? "true" : "false") + ",\"why\":" + wire::quote(r.why)
           + ",\"mechanisms\":" + wire::quote(mechanisms(r.tier)) + ",\"limits\":{";
    for (const auto& [name, value] : r.traits)
      out += (out.back() == '{' ? "" : ",") + wire::quote(name) + ":" + wire::quote(value);
    out += "},\"probes\":{";
    for (const auto& p : r.probes)
      out += (out.back() == '{' ? "" : ",") + wire::quote(p.name) + ":" + (p.held ? "\"held\"" : "\"open\"");
    out += "}}";
  }
  return out + "]}\n";
}

} // namespace

int command_sandbox(const sandbox_options& o) {
  auto launcher = find_sandbox_launcher();
  std::error_code e;
  canary folder{std::filesystem::temp_directory_path(e).string(), "conclave-canary"};
  auto choice = choice_of(sandbox_mode::required, try_all(launcher, folder.path() + "/test"));
  folder.remove();
  auto text = o.json ? as_json(choice, launcher) : as_text(choice, launcher);
  return print(text, choice.usable ? 0 : static_cast<int>(exit_code::usage));
}

} // namespace conclave
