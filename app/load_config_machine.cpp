// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What this machine lacks for a configuration: keys, files and programs. Never an error: another machine may have them.

#include "app/load_config.hpp"

#include <filesystem>
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

  void judge_key(const backend_config& b, const std::string& at) {
    const auto* kind = find_backend_kind(b.type);
    if (!kind || !is_available(*kind))
      return;
    if (!b.api_key.empty()) {
      references(b.api_key, at + ".api_key");
      return;
    }
    auto names = key_names(b);
    if (names.empty() || (*kind->default_key && b.api_key_env.empty()))
      return;
    std::string list;
    for (const auto& name : names) {
      if (!is_blank(env_(name)))
        return;
      list += (list.empty() ? "" : " or ") + name;
    }
    add(at, "no key: set " + list + " in the environment, in ./.env or in ~/.config/conclave/.env");
  }

  void judge_backend(const backend_config& b, const std::string& at) {
    judge_key(b, at);
    for (const auto& [name, value] : b.extra_headers)
      references(value, at + ".extra_headers." + name);
    for (const auto& [name, value] : b.extra_query)
      references(value, at + ".extra_query." + name);
    file(references(b.model_path, at + ".model_path"), at + ".model_path");
    auto program = references(b.server, at + ".server");
    if (program.find('/') != std::string::npos && !is_program(program, env_))
      add(at + ".server", "'" + shown_text(program, 200) + "' is no program");
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
  return judge{c, env}.run();
}

} // namespace conclave
