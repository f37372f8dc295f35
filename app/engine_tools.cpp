// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/engine_core.hpp"
#include "protocols/run_results.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/verdict.hpp"

#include <algorithm>
#include <set>

namespace conclave {

namespace {

// What OpenAI and Anthropic take: ^[a-zA-Z0-9_-]{1,64}$, as reported in their errors, read 2026-11-26.
constexpr std::size_t max_name = 64;

bool is_name(const std::string& text) {
  auto fits = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= max_name && std::all_of(text.begin(), text.end(), fits);
}

/// Servers take the schema of an object and nothing else for arguments.
std::string schema_fault(const std::string& schema) {
  if (schema.empty())
    return {};
  if (!wire::is_object(schema))
    return "its schema is no JSON object; it is the JSON Schema of the arguments, such as {\"type\":\"object\",\"properties\":{}}";
  std::string type;
  if (wire::get(schema, "type", type) && type != "object")
    return "its schema is of type " + shown_text(type) + "; arguments are an object";
  return {};
}

} // namespace

std::string fault_of(const std::vector<native_tool>& tools) {
  std::set<std::string> names;
  for (auto& t : tools) {
    auto& name = t.spec.name;
    auto shown = "tool '" + shown_text(name) + "': ";
    if (!is_name(name))
      return shown + "a name is 1 to 64 letters, digits, '_' and '-'";
    if (wire::is_workflow_tool(name))
      return shown + "this name is taken by the tool agents decide with";
    if (name == run::read_result_name)
      return shown + "this name is taken by the tool that reads long results";
    if (name.starts_with("mcp__"))
      return shown + "names with mcp__ in front are those of MCP servers";
    if (!names.insert(name).second)
      return shown + "the name is given twice";
    if (!t.run && !t.run_with_files)
      return shown + "it has no function";
    if (t.run && t.run_with_files)
      return shown + "it has two functions; `run_with_files` stands in place of `run`";
    if (t.timeout_ms < 0)
      return shown + "its deadline is negative; 0 means none";
    if (auto fault = schema_fault(t.spec.parameters); !fault.empty())
      return shown + fault;
  }
  return {};
}

} // namespace conclave
