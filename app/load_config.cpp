// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/load_config.hpp"

#include "app/load_config_parts.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/opening.hpp"
#include "protocols/text.hpp"

#include <algorithm>

namespace conclave {

namespace loader {

namespace {

/// MassGen 0.1.0 writes "o3-mini-high" for o3-mini with an effort; the name itself is unknown to the provider.
void split_effort(backend_config& out) {
  if ((out.type != "openai" && out.type != "chatcompletion") || out.model.size() < 2 || out.model[0] != 'o')
    return;
  for (const auto* effort : {"low", "medium", "high"}) {
    auto suffix = std::string{"-"} + effort;
    if (!lower(out.model).ends_with(suffix))
      continue;
    out.model.resize(out.model.size() - suffix.size());
    auto added = std::string{"\"reasoning_effort\":\""} + effort + "\"";
    if (out.params.find("\"reasoning_effort\"") == std::string::npos && out.params.find("\"effort\"") == std::string::npos)
      out.params = out.params.empty() ? "{" + added + "}" : "{" + added + "," + out.params.substr(1);
    return;
  }
}

void read_uploads(const section& s, backend_config& out) {
  const auto* uploads = s.get("upload_files");
  if (!uploads)
    return;
  for (std::size_t i = 0; i < uploads->value->items.size(); ++i) {
    const auto& e = uploads->value->items[i];
    auto at = "upload_files[" + std::to_string(i) + "]";
    // What validate() counts is what is kept: an entry that is not available yet has the number of the next one.
    auto kept = "upload_files[" + std::to_string(out.upload_files.size()) + "]";
    section u{e.value.get(), key_scope::upload, s.path(at), s.canonical(kept), s.to()};
    auto fit = e.value->items.size() == 1 && e.value->items.front().value->kind != tree::null;
    if (e.value->kind == tree::null || (e.value->kind == tree::map && !fit))
      s.to().error(e.at, s.path(at), "needs exactly one of image_path, audio_path, video_path, file_path");
    for (const auto* key : {"image_path", "file_path"})
      if (std::string from; u.read(key, from))
        out.upload_files.emplace_back(key, std::move(from));
  }
}

/// A mapping as `backend` has it.
backend_config read_one_backend(const tree& node, const std::string& path, const std::string& canonical, const backend_config& base,
                                const load_options& options, report& to) {
  auto out = base;
  // The type decides which keys mean something, so it is read first.
  if (const auto* type = node.find("type"); type && type->kind == tree::scalar)
    out.type = lower(type->text);
  if (const auto* model = node.find("model"); model && model->kind == tree::scalar)
    out.model = model->text;
  if (const auto* url = node.find("base_url"); url && url->kind == tree::scalar)
    out.base_url = url->text;
  bool inferred = out.type.empty();
  if (inferred && to.is_excused(path + ".model"))
    to.excuse(path + ".type"); // the model is not known, so neither is its type
  if (inferred)
    infer_type(out);
  section b{&node, key_scope::backend, path, canonical, to, out.type};
  read_backend(b, out, options);
  if (inferred || (out.type == "openai" && provider_of(out) == "openai"))
    split_effort(out);
  read_uploads(b, out);
  return out;
}

/// What another agent of the file is reached by, without its tools; or a model whose provider its name tells; or a type that has a
/// model of its own.
bool named_backend(const std::string& name, const std::vector<agent_config>& agents, std::size_t index, backend_config& out) {
  for (std::size_t i = 0; i < agents.size(); ++i)
    if (agents[i].id == name && i != index) {
      out = agents[i].backend;
      out.mcp_servers.clear();
      out.native_tools.clear();
      out.upload_files.clear();
      return true;
    }
  out.model = name;
  infer_type(out);
  if (const auto* kind = find_backend_kind(lower(name)); kind && *kind->default_model) {
    out.type = kind->type;
    out.model = kind->default_model;
  }
  split_effort(out);
  return !out.type.empty();
}

void read_failover(const entry& list, std::size_t index, const std::string& path, const backend_config& base,
                   const load_options& options, report& to, std::vector<agent_config>& agents) {
  for (std::size_t i = 0; i < list.value->items.size(); ++i) {
    const auto& item = *list.value->items[i].value;
    auto within = ".failover[" + std::to_string(i) + "]";
    auto canonical = "agents[" + std::to_string(index) + "]" + within;
    to.place(canonical, path + within, item.at);
    auto& all = agents[index].failover;
    if (item.kind == tree::map) {
      for (const auto* key :
           {"allowed_tools", "exclude_tools", "native_tools", "max_tool_iterations", "max_concurrent_tools",
            "concurrent_tool_execution", "max_tool_result_chars", "max_mcp_message_history", "max_run_bytes",
            "mcp_tool_timeout_seconds", "media_max_file_size_mb", "cwd", "context_paths", "sandbox", "write_mode",
            "enable_mcp_command_line", "command_line_allowed_commands", "command_line_blocked_commands", "command_env"})
        if (const auto* given = item.find(key); given && given->kind != tree::null)
          to.warning(given->at, path + within + "." + key,
                     "has no effect in `failover`: what `backend` says counts for the whole run");
      all.push_back(read_one_backend(item, path + within, canonical, base, options, to));
      continue;
    }
    auto b = base;
    if (item.kind != tree::scalar)
      to.error(item.at, path + within, "expected a map as `backend` has it, the id of an agent, or a model");
    else if (!named_backend(item.text, agents, index, b))
      to.error(item.at, path + within,
               "'" + shown_text(item.text)
                   + "' is neither the id of another agent nor a model whose provider is known; write a map "
                     "as `backend` has it");
    else
      all.push_back(std::move(b));
  }
}

/// The agent of the amended task that a node names, or nullptr.
const agent_config* amended_agent(const tree& node, const load_options& options) {
  const auto* id = options.amended != nullptr && node.kind == tree::map ? node.find("id") : nullptr;
  if (id == nullptr || id->kind != tree::scalar)
    return nullptr;
  const auto& all = options.amended->agents;
  auto i = std::find_if(all.begin(), all.end(), [&](auto& a) { return a.id == id->text; });
  return i == all.end() ? nullptr : &*i;
}

bool has_backend(const tree& node) {
  const auto* given = node.kind == tree::map ? node.find("backend") : nullptr;
  return given != nullptr && given->kind != tree::null;
}

agent_config read_agent(const tree& node, const std::string& path, std::size_t index, const backend_config& base,
                        const load_options& options, report& to, const entry*& failover) {
  auto canonical = "agents[" + std::to_string(index) + "]";
  to.place(canonical, path, node.at);
  if (node.kind == tree::null)
    to.error(node.at, path, "expected a map, found nothing");
  section s{&node, key_scope::agent, path, canonical, to};
  agent_config out;
  out.backend = base;
  out.id = "agent" + std::to_string(index + 1);
  const auto* then = has_backend(node) ? nullptr : amended_agent(node, options);
  if (then != nullptr)
    out = *then;
  s.read_rows(out);
  read_budget(s, out.budget);
  failover = s.get("failover");
  if (failover != nullptr)
    out.failover.clear();
  const auto* backend = s.map("backend");
  if (then != nullptr)
    return out;
  if (!backend) {
    if (node.kind == tree::map && !has_backend(node))
      to.error(node.at, s.path("backend"),
               options.amended == nullptr ? "needs a backend"
                                          : "needs a backend: the task has no agent '" + shown_text(out.id) + "'");
    // What validate() would say about an empty backend is said.
    to.place(canonical + ".backend.type", s.path("backend"), node.at);
    return out;
  }
  out.backend = read_one_backend(*backend, s.path("backend"), canonical + ".backend", base, options, to);
  tell_idle_keys(*backend, s.path("backend"), out.backend, to);
  return out;
}

/// Returns the agents of the file with the paths they stand at.
std::vector<std::pair<const tree*, std::string>> agents_of(const section& top) {
  const auto* one = top.map("agent");
  const auto* many = top.get("agents");
  if (one && many)
    top.error("agents", "either agent or agents, not both");
  std::vector<std::pair<const tree*, std::string>> result;
  if (one)
    result.emplace_back(one, "agent");
  else if (many)
    for (const auto& e : many->value->items)
      result.emplace_back(e.value.get(), "agents[" + std::to_string(result.size()) + "]");
  return result;
}

run_config read_config(const tree& root, report& to, const load_options& options, bool& amends) {
  run_config out;
  out.source = to.file();
  if (root.kind != tree::map) {
    to.error(root.at, "", "expected a map with the key 'agents'");
    return out;
  }
  section top{&root, key_scope::top, "", "", to};
  backend_config base;
  auto agents = agents_of(top);
  amends = options.amended != nullptr && std::none_of(agents.begin(), agents.end(), [](auto& a) { return has_backend(*a.first); });
  if (amends) {
    out.rules = options.amended->rules;
    out.on_unknown = options.amended->on_unknown;
  }
  read_timeouts(top, out.rules, base);
  read_sandbox(top, base.workspace);
  std::vector<const entry*> failovers; // read once all ids are known
  for (const auto& [node, path] : agents)
    out.agents.push_back(read_agent(*node, path, out.agents.size(), base, options, to, failovers.emplace_back()));
  for (std::size_t i = 0; i < failovers.size(); ++i)
    if (failovers[i] != nullptr)
      read_failover(*failovers[i], i, agents[i].second, base, options, to, out.agents);
  read_orchestrator(top, out);
  if (!amends)
    tell_idle_keys(top, out);
  out.places = to.places();
  add_nodes(out, options.nodes);
  const auto* given = root.find("agents");
  to.adopt(
      validate(out, amends && (given == nullptr || !agents.empty()))); // a list of nobody is a mistake, none says nothing of them
  return out;
}

} // namespace

void infer_type(backend_config& out) {
  out.type = infer_backend_type(out.model);
  // The servers of others speak the chat API, whatever they call their models.
  if (out.type == "openai" && !out.base_url.empty()
      && provider_of_host(url_host(out.base_url)) != find_backend_kind("openai")->provider)
    out.type = "chatcompletion";
  // Elsewhere stands a gateway, as a rule, and the address is that of its chat API; as is Google's own that ends so.
  if (out.type == "gemini" && !out.base_url.empty()
      && (provider_of_host(url_host(out.base_url)) != "Gemini" || out.base_url.find("/openai") != std::string::npos))
    out.type = "chatcompletion";
}

} // namespace loader

bool load_result::ok() const {
  return std::none_of(problems.begin(), problems.end(), [](const problem& p) { return p.severity == severity::error; });
}

load_result load_config_text(const std::string& text, const std::string& name, const load_options& options) {
  load_result out;
  loader::report to{name, out.problems};
  if (auto root = loader::read_tree(text, to))
    out.config = loader::read_config(*loader::expand_config(root, options, to), to, options, out.amends);
  out.config.source = name;
  to.finish();
  for (const auto& p : out.problems)
    if (p.severity != severity::error)
      out.config.notes.push_back(p);
  return out;
}

bool is_standard_input(const std::string& path) {
  return path == "-";
}

load_result load_config(const std::string& path, const load_options& options) {
  std::string text, error = path.empty() ? "the name of the configuration is empty"
                            : path.starts_with("@examples")
                                ? "MassGen's examples are not here: configs/ in the source tree holds team "
                                  "files, and a file of MassGen is named by its path"
                                : "";
  if (error.empty() && loader::read_text(is_standard_input(path) ? "/dev/stdin" : path, text, error))
    return load_config_text(text, path, options);
  load_result out;
  out.config.source = path;
  out.problems.push_back({severity::error, path, 0, "", error});
  return out;
}

void add_nodes(run_config& to, const node_list& nodes) {
  for (const auto& node : nodes) {
    auto& all = to.cluster.nodes;
    auto known = std::find_if(all.begin(), all.end(), [&](const auto& n) { return n.first == node.first; });
    if (known == all.end())
      all.push_back(node);
    else
      known->second = node.second;
    to.places["cluster.nodes." + node.first] = {"", "--node " + node.first};
  }
}

run_config quick_config(const std::string& model, const std::string& backend, const std::string& base_url,
                        const std::string& system_message, std::vector<problem>& problems, const std::string& api_key_env) {
  run_config out;
  agent_config a;
  a.id = "agent1";
  a.system_message = system_message;
  a.backend.model = model;
  a.backend.base_url = base_url;
  a.backend.api_key_env = api_key_env;
  a.backend.type = lower(backend);
  for (const auto& [key, option] : {std::pair{"", "--backend"},
                                    {".type", "--backend"},
                                    {".model", "--model"},
                                    {".base_url", "--base-url"},
                                    {".api_key_env", "--api-key-env"}})
    out.places[std::string{"agents[0].backend"} + key] = {"", option};
  out.places["agents[0].system_message"] = {"", "--system-message"};
  out.places["agents[0]"] = {"", "--model"};
  if (backend.empty()) {
    loader::infer_type(a.backend);
    if (a.backend.type.empty() && !base_url.empty())
      a.backend.type = "chatcompletion";
    if (a.backend.type.empty())
      problems.push_back({severity::error, "", 0, "--model",
                          "the provider of '" + shown_text(model) + "' is not known; name it by --backend or --base-url"});
    loader::split_effort(a.backend);
  }
  const auto* kind = find_backend_kind(a.backend.type);
  if (a.backend.model.empty() && kind)
    a.backend.model = kind->default_model;
  if (a.backend.type == "local")
    a.backend.max_tokens = 512;
  bool said = a.backend.type.empty(); // above
  out.agents.push_back(std::move(a));
  for (auto& p : validate(out))
    if (!said || p.path != "--backend")
      problems.push_back(std::move(p));
  for (const auto& p : problems)
    if (p.severity != severity::error)
      out.notes.push_back(p);
  return out;
}

std::vector<problem> blocking(const std::vector<problem>& problems) {
  std::vector<problem> out;
  std::copy_if(problems.begin(), problems.end(), std::back_inserter(out),
               [](const problem& p) { return p.severity != severity::warning; });
  return out;
}

} // namespace conclave
