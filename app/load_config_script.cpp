// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Steps of scripted models, in the configuration or in a file of their own.

#include "app/load_config_parts.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/home.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::loader {

namespace {

void read_calls(const section& s, script_step& out) {
  std::string text, target, reason;
  auto id = [&] { return "call_" + std::to_string(out.calls.size() + 1); };
  if (s.read("answer", text))
    out.calls.push_back({id(), "new_answer", "{\"content\":" + wire::quote(text) + "}"});
  s.read("reason", reason);
  if (s.read("vote", target))
    out.calls.push_back({id(), "vote", "{\"agent_id\":" + wire::quote(target) + ",\"reason\":" + wire::quote(reason) + "}"});
  else if (!reason.empty())
    s.error("reason", "a reason needs a vote");
  const auto* calls = s.get("calls");
  if (!calls)
    return;
  for (std::size_t i = 0; i < calls->value->items.size(); ++i) {
    const auto& e = calls->value->items[i];
    auto at = "calls[" + std::to_string(i) + "]";
    section c{e.value.get(), key_scope::step_call, s.path(at), s.canonical(at), s.to()};
    tool_call call;
    call.id = id();
    c.read_rows(call);
    if (call.name.empty())
      s.to().error(e.at, s.path(at) + ".name", "a call needs the name of a tool");
    if (const auto* arguments = c.get("arguments")) {
      // Text goes out as it stands, so that a script can also send what is no JSON.
      std::string error;
      call.arguments = arguments->value->kind == tree::scalar ? arguments->value->text : to_json(*arguments->value, error);
      if (!error.empty())
        s.to().error(arguments->at, c.path("arguments"), error);
    }
    out.calls.push_back(std::move(call));
  }
}

void read_error(const section& s, script_step& out) {
  std::string name;
  if (!s.read("error", name))
    return;
  std::vector<std::string> names;
  for (int i = 1; i < static_cast<int>(ec::unknown); ++i) {
    names.push_back(to_string(static_cast<ec>(i)));
    if (names.back() == name)
      out.error = static_cast<ec>(i);
  }
  if (out.error != ec::none)
    return;
  std::string list;
  for (const auto& n : names)
    list += (list.empty() ? "" : ", ") + n;
  s.error("error", "'" + shown_text(name) + "' is none of " + list);
}

script_step read_step(const tree& node, const std::string& path, const std::string& canonical, report& to) {
  section s{&node, key_scope::step, path, canonical, to};
  script_step out;
  s.read_rows(out);
  read_calls(s, out);
  read_error(s, out);
  if (out.error != ec::none && (out.truncated || out.hang))
    to.error(node.at, path, "a step ends in one way: error, truncated or hang");
  return out;
}

} // namespace

std::vector<script_step> read_steps(const tree& list, const std::string& path, const std::string& canonical, report& to) {
  std::vector<script_step> out;
  if (list.kind != tree::list) {
    to.error(list.at, path, "expected a list of steps");
    return out;
  }
  if (list.items.empty())
    to.error(list.at, path, "no steps");
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    auto at = "[" + std::to_string(i) + "]";
    const auto& e = list.items[i];
    if (e.value->kind == tree::map)
      out.push_back(read_step(*e.value, path + at, canonical + at, to));
    else
      to.error(e.at, path + at, "a step is a map");
  }
  return out;
}

std::vector<script_step> read_script_file(const std::string& path, const section& backend, const load_options& options) {
  auto full = path;
  auto& to = backend.to();
  if (auto fault = expand_home(full); !fault.empty()) {
    backend.error("script", fault);
    return {};
  }
  if (!full.empty() && full.front() != '/') {
    auto slash = to.file().find_last_of('/');
    bool piped = to.file().starts_with("/dev/") || to.file().starts_with("/proc/"); // comes from no folder
    if (slash != std::string::npos && !piped)
      full = to.file().substr(0, slash + 1) + path;
  }
  std::string text, error;
  if (!read_text(full, text, error)) {
    backend.error("script", "'" + shown_text(full, 200) + "': " + error);
    return {};
  }
  // Problems of the script name the script.
  std::vector<problem> found;
  report own{full, found};
  std::vector<script_step> steps;
  if (auto root = read_tree(text, own)) {
    root = expand_script(root, options, own);
    const auto* list = root->kind == tree::map ? root->find("steps") : root.get();
    if (list)
      steps = read_steps(*list, "steps", "steps", own);
    else
      own.error(root->at, "", "expected a list of steps, or a map with the key 'steps'");
  }
  own.finish();
  to.take(found);
  return steps;
}

} // namespace conclave::loader
