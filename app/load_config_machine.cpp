// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What this machine lacks for a configuration: keys, files and programs. Never an error: another machine may have them.

#include "app/load_config.hpp"
#include "app/load_config_parts.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace conclave {

namespace {

bool is_blank(const std::string* value) {
  return !value || value->find_first_not_of(" \t\r\n") == std::string::npos;
}

bool exists(const std::string& path) {
  std::error_code code;
  return path.find('\0') == std::string::npos && std::filesystem::exists(path, code);
}

bool is_program(const std::string& name, const lookup& env) {
  if (name.find('/') != std::string::npos)
    return ::access(name.c_str(), X_OK) == 0;
  const auto* path = env("PATH");
  for (std::size_t at = 0; path && at <= path->size();) {
    auto end = std::min(path->find(':', at), path->size());
    auto folder = path->substr(at, end - at);
    if (::access(((folder.empty() ? "." : folder) + "/" + name).c_str(), X_OK) == 0)
      return true;
    at = end + 1;
  }
  return false;
}

/// Where quickstart puts server and model, by the rule of transports/home.cpp but without making a folder; empty if nobody knows.
/// The process alone decides, as for a run: not the .env files.
std::string installed_dir() {
  for (const auto& [name, rest] : {std::pair{"CONCLAVE_HOME", "/local"}, std::pair{"XDG_STATE_HOME", "/conclave/local"},
                                   std::pair{"HOME", "/.local/state/conclave/local"}})
    if (const auto* value = std::getenv(name); value && *value)
      return std::string{value} + rest;
  return "";
}

/// As transports/local_model.cpp judges it; the loader needs no transport.
bool is_gguf(const std::string& path) {
  std::error_code code;
  if (!exists(path) || !std::filesystem::is_regular_file(path, code))
    return false;
  std::ifstream in{path, std::ios::binary};
  std::array<char, 4> magic{};
  return in.read(magic.data(), magic.size()) && std::string_view(magic.data(), magic.size()) == "GGUF";
}

/// Returns whether a header or parameter of this name may carry a key of the user's own making.
bool may_hold_key(std::string name) {
  for (auto& c : name)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  return has("auth") || has("key") || has("token");
}

/// Reads the file again for the lines and spellings that a run_config does not keep. Without the file, paths stay as they are.
void put_places(const std::string& file, std::vector<problem>& found) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored))
    return; // a pipe is read once
  std::string text, error;
  std::vector<problem> said; // by the loader already
  loader::report to{file, said};
  auto root = loader::read_text(file, text, error) ? loader::read_tree(text, to) : nullptr;
  if (!root || root->kind != loader::tree::map)
    return;
  loader::section top{root.get(), key_scope::top, "", "", to};
  auto agent = [&](const loader::tree& node, std::size_t index, const std::string& path) {
    auto canonical = "agents[" + std::to_string(index) + "]";
    to.place(canonical, path, node.line);
    loader::section s{&node, key_scope::agent, path, canonical, to};
    loader::section b{s.map("backend"), key_scope::backend, s.path("backend"), s.canonical("backend"), to};
    backend_config unused; // without a type: reads no script
    loader::read_backend(b, unused, {});
  };
  if (const auto* one = top.map("agent"))
    agent(*one, 0, "agent");
  else if (const auto* many = top.get("agents"))
    for (std::size_t i = 0; i < many->value->items.size(); ++i)
      agent(*many->value->items[i].value, i, "agents[" + std::to_string(i) + "]");
  run_config unused;
  loader::read_orchestrator(top, unused);
  for (auto& p : found) {
    auto place = to.place_of(p.path);
    p.path = place.path;
    p.line = place.line;
  }
}

class judge {
public:
  judge(const run_config& c, const lookup& env) : config_(c), env_(env) {}

  std::vector<problem> run() {
    for (std::size_t i = 0; i < config_.agents.size(); ++i)
      if (config_.agents[i].node.empty()) // other nodes have their own keys and programs
        judge_backend(config_.agents[i].backend, "agents[" + std::to_string(i) + "].backend");
    const auto& tls = config_.cluster.tls;
    file(tls.cert, "cluster.tls.cert");
    file(tls.key, "cluster.tls.key");
    file(tls.ca, "cluster.tls.ca");
    return std::move(out_);
  }

private:
  void add(const std::string& path, const std::string& text) { out_.push_back({severity::warning, config_.source, 0, path, text}); }

  void file(const std::string& path, const std::string& at) {
    if (!path.empty() && !exists(path))
      add(at, "'" + shown_text(path, 200) + "' does not exist");
  }

  /// Returns the text with its variables expanded, empty after a warning.
  std::string references(std::string text, const std::string& at) {
    std::string missing;
    if (expand(text, env_, missing))
      return text;
    add(at, "the variable " + missing + " is not set");
    return "";
  }

  /// In the words of actors/node_parts.cpp; a test compares.
  void no_key(const std::string& at, const std::string& names) {
    add(at, "no key: set " + names + " in the environment, in ./.env or in ~/.config/conclave/.env");
  }

  void judge_key(const backend_config& b, const std::string& at) {
    const auto* kind = find_backend_kind(b.type);
    if (!kind || !is_available(*kind))
      return;
    if (!b.api_key.empty()) {
      std::string key = b.api_key, missing;
      if (!expand(key, env_, missing))
        no_key(at + ".api_key", missing);
      return;
    }
    auto names = key_names(b);
    if (names.empty())
      return judge_unbound(b, *kind, at);
    std::string list;
    for (const auto& name : names) {
      if (!is_blank(env_(name)))
        return;
      list += (list.empty() ? "" : " or ") + name;
    }
    auto where = at + (b.api_key_env.empty() ? "" : ".api_key_env");
    if (!*kind->default_key)
      no_key(where, list);
    else if (!b.api_key_env.empty())
      add(where, "the variable " + list + " is not set: the server is sent the usual key of its type");
  }

  /// A host nobody's key is bound to gets none, which is right for some servers and a surprise with others.
  void judge_unbound(const backend_config& b, const backend_kind& kind, const std::string& at) {
    auto host = url_host(b.base_url);
    auto own_key = [](const auto& pair) { return may_hold_key(pair.first); };
    if (host.empty() || is_loopback_host(host) || *kind.default_key || b.type == "local" || b.type == "scripted"
        || b.type == "grok" // said by the loader
        || std::any_of(b.extra_headers.begin(), b.extra_headers.end(), own_key)
        || std::any_of(b.extra_query.begin(), b.extra_query.end(), own_key))
      return;
    add(at + ".base_url", "no key is bound to " + shown_text(host, 100) + ", so none is sent; name one by api_key or api_key_env");
  }

  /// The advice is that of transports/local_model.cpp.
  void judge_local(const backend_config& b, const std::string& at) {
    bool named = !b.model_path.empty();
    auto dir = installed_dir();
    auto model = named ? references(b.model_path, at + ".model_path") : dir.empty() ? "" : dir + "/model.gguf";
    bool there = is_gguf(model);
    if (!there && !model.empty())
      add(at + ".model_path", "there is no GGUF model in '" + shown_text(model, 200)
                                  + (named ? "': correct model_path" : "': run ./scripts/quickstart, or set model_path"));
    // Quickstart brings model and server: said once.
    judge_server(b.server.empty() ? "auto" : references(b.server, at + ".server"), at + ".server", named || there);
  }

  void judge_server(const std::string& server, const std::string& at, bool say_quickstart) {
    auto dir = installed_dir();
    auto ours = [&](const char* name) { return ::access((dir + name).c_str(), R_OK) == 0; };
    bool installed = dir.empty() || (ours("/venv/bin/python") && ours("/local_server.py")); // no folder known: not judged
    if (server.find('/') != std::string::npos) {
      if (!is_program(server, env_))
        add(at, "'" + shown_text(server, 200) + "' is no program: correct server");
    } else if (server == "llama-server") {
      if (!is_program(server, env_))
        add(at, "there is no llama-server on the PATH: install llama.cpp, or set server");
    } else if (server == "xllamacpp") {
      if (!installed && say_quickstart)
        add(at, "xllamacpp is not installed: run ./scripts/quickstart, or set server");
    } else if (server == "auto") {
      if (!installed && !is_program("llama-server", env_) && say_quickstart)
        add(at, "there is no local model server: run ./scripts/quickstart, install llama.cpp, or set server");
    } else if (!server.empty()) { // else said
      add(at, "'" + shown_text(server) + "' is none of auto, llama-server, xllamacpp, a path with a slash");
    }
  }

  void judge_backend(const backend_config& b, const std::string& at) {
    judge_key(b, at);
    for (const auto& [name, value] : b.extra_headers)
      references(value, at + ".extra_headers." + name);
    for (const auto& [name, value] : b.extra_query)
      references(value, at + ".extra_query." + name);
    if (b.type == "local") {
      judge_local(b, at);
    } else { // of no use, but a run expands them
      references(b.model_path, at + ".model_path");
      references(b.server, at + ".server");
    }
    for (std::size_t i = 0; i < b.mcp_servers.size(); ++i) {
      const auto& s = b.mcp_servers[i];
      auto server = at + ".mcp_servers[" + std::to_string(i) + "]";
      if (!s.command.empty() && !is_program(s.command.front(), env_))
        add(server + ".command", "'" + shown_text(s.command.front(), 200) + "' is not installed");
      for (std::size_t k = 1; k < s.command.size(); ++k)
        references(s.command[k], server + ".args");
      for (const auto& [name, value] : s.env)
        references(value, server + ".env." + name);
      for (const auto& [name, value] : s.headers)
        references(value, server + ".headers." + name);
      references(s.url, server + ".url");
      file(references(s.cwd, server + ".cwd"), server + ".cwd");
    }
  }

  const run_config& config_;
  const lookup& env_;
  std::vector<problem> out_;
};

} // namespace

std::vector<problem> environment_problems(const run_config& c, const lookup& env) {
  auto out = judge{c, env}.run();
  if (!out.empty() && !c.source.empty())
    put_places(c.source, out);
  return out;
}

} // namespace conclave
