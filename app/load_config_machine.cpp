// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What this machine lacks for a configuration: keys, files and programs. Never an error: another machine may have them.

#include "app/load_config.hpp"
#include "app/load_config_parts.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/key_route.hpp"
#include "protocols/text.hpp"
#include "transports/child_process.hpp"
#include "transports/home.hpp"
#include "transports/http_client_trust.hpp"
#include "transports/local_model.hpp"
#include "transports/pki.hpp"
#include "transports/server_walls.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <unistd.h>

namespace conclave {

namespace {

bool exists(const std::string& path) {
  std::error_code code;
  return path.find('\0') == std::string::npos && std::filesystem::exists(path, code);
}

/// As a run looks for it.
bool is_program(const std::string& name, const lookup& env) {
  const auto* path = env("PATH");
  return name.find('/') != std::string::npos ? ::access(name.c_str(), X_OK) == 0
                                             : !find_program(name, path ? path->c_str() : "").empty();
}

/// Puts problems where their fields were written.
void put_places(const run_config& c, std::vector<problem>& found) {
  for (auto& p : found) {
    auto at = place_of(c.places, p.path);
    p.path = at.path;
    p.line = at.line;
    p.column = at.column;
  }
}

class judge {
public:
  judge(const run_config& c, const lookup& env, const source_lookup& sources) : config_(c), env_(env), sources_(sources) {}

  std::vector<problem> run() {
    if (auto fault = home_fault(); !fault.empty())
      add("", fault);
    for (std::size_t i = 0; i < config_.agents.size(); ++i)
      if (config_.agents[i].node.empty()) // other nodes have their own keys and programs
        judge_agent(config_.agents[i], "agents[" + std::to_string(i) + "].");
    const auto& tls = config_.cluster.tls;
    auto before = out_.size();
    file(tls.cert, "cluster.tls.cert");
    file(tls.key, "cluster.tls.key");
    file(tls.ca, "cluster.tls.ca");
    std::string error;
    if (out_.size() == before && !tls.ca.empty())
      tls_files(tls, error);
    if (!error.empty())
      add("cluster.tls", error);
    return std::move(out_);
  }

private:
  /// A backend without its key keeps an agent from starting only where none of its list can be asked, as in a run.
  void judge_agent(const agent_config& a, const std::string& at) {
    std::vector<std::size_t> keyless;
    std::size_t backends = 0;
    each_backend(a, [&](const backend_config& b, const std::string& path) {
      ++backends;
      if (auto where = judge_backend(b, at + path); where < out_.size())
        keyless.push_back(where);
    });
    for (auto where : keyless)
      if (keyless.size() < backends) {
        out_[where].stops_here = false;
        out_[where].text += "; the agent runs by the others of its list";
      }
  }

  void add(const std::string& path, const std::string& text, bool stops = true) {
    out_.push_back({severity::warning, config_.source, 0, path, text, stops});
  }

  /// Returns the path without `~`, empty after a warning.
  std::string path_of(std::string path, const std::string& at) {
    auto fault = expand_home(path);
    if (!fault.empty())
      add(at, fault);
    return fault.empty() ? path : std::string{};
  }

  void file(const std::string& named, const std::string& at) {
    auto path = path_of(named, at);
    if (!path.empty() && !exists(path))
      add(at, "'" + shown_text(path, 200) + "' does not exist");
  }

  void folder(const std::string& named, const std::string& at) {
    auto path = path_of(named, at);
    std::error_code code;
    if (!path.empty() && !std::filesystem::is_directory(path, code))
      add(at, "'" + shown_text(path, 200) + (exists(path) ? "' is no folder" : "' does not exist"));
  }

  /// Returns the text with its variables expanded, empty after a warning.
  std::string references(std::string text, const std::string& at) {
    std::string missing;
    if (expand(text, env_, missing))
      return text;
    add(at, "the variable " + missing + " is not set");
    return "";
  }

  /// In the words of the run: both ask route_key. Returns whether it has a key, or needs none.
  bool judge_route(const backend_config& b, const backend_kind& kind, const std::string& at) {
    auto route = route_key(b, env_, sources_);
    auto key_at = !b.api_key.empty() ? at + ".api_key" : !b.api_key_env.empty() ? at + ".api_key_env" : at;
    if (route.code != ec::none) {
      add(key_at, route.error);
      return false;
    }
    std::string error;
    load_trust(route.ca, error);
    if (!error.empty())
      add(b.ca_bundle.empty() ? at : at + ".ca_bundle", error);
    if (*kind.default_key != '\0' && !b.api_key_env.empty() && route.key_name.empty())
      add(key_at, "the variable " + b.api_key_env + " is not set: the server is sent the usual key of its type", false);
    if (!route.withheld.empty() && b.type != "grok") // said by the loader
      add(at + ".base_url", route.withheld, false);
    return true;
  }

  /// In the words of the run: both ask transports/local_model.hpp.
  void judge_local(const backend_config& b, const std::string& at) {
    bool named = !b.model_path.empty();
    auto dir = local_model_dir();
    auto model = named         ? path_of(references(b.model_path, at + ".model_path"), at + ".model_path")
                 : dir.empty() ? ""
                               : dir + "/model.gguf";
    auto fault = model.empty() ? std::string{} : model_fault(model, !named); // no folder known: not judged
    if (!fault.empty())
      add(at + ".model_path", shown_text(fault, 300));
    auto server = b.server.empty() ? "auto" : path_of(references(b.server, at + ".server"), at + ".server");
    if (server.empty()) // said
      return;
    const auto* path = env_("PATH");
    auto program = find_local_program(server, path ? path->c_str() : "");
    // Quickstart brings model and server: said once.
    if (!program.error.empty() && !(program.by_quickstart && (dir.empty() || (!named && !fault.empty()))))
      add(at + ".server", shown_text(program.error, 300));
  }

  /// What a server in the sandbox is started with and will not find there.
  void judge_walls(const mcp_server_config& s, const workspace_config& w, const std::string& at) {
    if (!runs_confined(s, w) || w.sandbox == "off" || s.command.empty())
      return;
    auto shown = [&w](const std::string& path) {
      auto within = [&](const std::string& folder) { return path == folder || path.starts_with(folder + "/"); };
      return walls_show_always(path) || std::any_of(w.readable.begin(), w.readable.end(), within)
             || std::any_of(w.context.begin(), w.context.end(), [&](auto& c) { return within(c.path); });
    };
    auto hidden = [&](const std::string& path) {
      std::error_code e;
      auto real = std::filesystem::canonical(path, e).string();
      return e || path.front() != '/' ? std::string{} : !shown(path) ? path : !shown(real) ? real : std::string{};
    };
    auto tell = [&](const std::string& key, const std::string& path) {
      if (!path.empty())
        add(at + key,
            "'" + shown_text(path, 200)
                + "' is outside of what the sandbox shows this server: name its folder in `sandbox: {readable: [...]}` of the "
                  "backend, or "
                  "write `sandbox: off` in the server's entry",
            false);
    };
    const auto* path = env_("PATH");
    const auto& name = s.command.front();
    auto program = name.find('/') != std::string::npos ? name : find_program(name, path ? path->c_str() : "");
    tell(".command", program.empty() ? program : hidden(program));
    for (std::size_t i = 1; i < s.command.size(); ++i) {
      const auto& whole = s.command[i];
      auto word = whole.substr(loader::path_in_word(whole));
      auto from_workspace = s.cwd.empty() || s.cwd.starts_with("${cwd}");
      auto is_relative = [](std::string_view x) { return x.starts_with("./") || x.starts_with("../"); };
      // Of these something is shown: what, nobody but the server's start can tell.
      auto partly = [&word](std::string_view folder) { return word.starts_with(folder); };
      if (word == "/tmp" || partly("/dev/") || partly("/proc/") || partly("/etc/"))
        continue;
      if (word.starts_with('/'))
        tell(".args", hidden(word));
      else if (from_workspace && word.size() > 2 && word[0] == '-' && word[1] != '-'
               && is_relative(std::string_view{word}.substr(2)))
        add(at + ".args",
            "'" + shown_text(whole, 200)
                + "' stays as it is, so the server looks for that path in the workspace, which is empty at first: write the path "
                  "as "
                  "a word of its own, or an absolute one",
            false);
      else if (from_workspace && is_relative(word))
        add(at + ".args",
            "'" + shown_text(whole, 200)
                + "' is not in the folder where conclave is started, so the server looks for it in the workspace, which is empty "
                  "at first",
            false);
    }
  }

  /// Returns where it is said that the backend has no key, SIZE_MAX if that is not said.
  std::size_t judge_backend(const backend_config& b, const std::string& at) {
    auto before = out_.size(), keyless = SIZE_MAX;
    for (const auto& [name, value] : b.extra_headers)
      references(value, at + ".extra_headers." + name);
    for (const auto& [name, value] : b.extra_query)
      references(value, at + ".extra_query." + name);
    const auto* kind = find_backend_kind(b.type);
    if (kind && is_available(*kind) && b.type != "local" && b.type != "scripted") {
      auto rest = std::vector<problem>(out_.begin() + static_cast<std::ptrdiff_t>(before), out_.end());
      out_.resize(before);
      auto plain = b;
      if (!rest.empty()) { // said; the key is judged all the same
        plain.extra_headers.clear();
        plain.extra_query.clear();
      }
      if (!judge_route(plain, *kind, at))
        keyless = before;
      out_.insert(out_.end(), rest.begin(), rest.end());
    }
    if (b.type == "local") {
      judge_local(b, at);
    } else { // of no use, but a run expands them
      path_of(references(b.model_path, at + ".model_path"), at + ".model_path");
      path_of(references(b.server, at + ".server"), at + ".server");
    }
    for (std::size_t i = 0; i < b.mcp_servers.size(); ++i) {
      const auto& s = b.mcp_servers[i];
      auto server = at + ".mcp_servers[" + std::to_string(i) + "]";
      judge_walls(s, b.workspace, server);
      auto program = s.command.empty() ? std::string{} : path_of(s.command.front(), server + ".command");
      if (!program.empty() && !is_program(program, env_))
        add(server + ".command", "'" + shown_text(s.command.front(), 200) + "' is not installed");
      for (std::size_t k = 1; k < s.command.size(); ++k)
        references(s.command[k], server + ".args");
      for (const auto& [name, value] : s.env)
        references(value, server + ".env." + name);
      for (const auto& [name, value] : s.headers)
        references(value, server + ".headers." + name);
      references(s.url, server + ".url");
      if (auto cwd = references(s.cwd, server + ".cwd"); cwd.find("${cwd}") == std::string::npos) // the workspace is yet to be made
        folder(cwd, server + ".cwd");
      else if (s.sandbox == "off")
        add(server + ".cwd",
            "a server with `sandbox: off` runs on while the workspace is made anew for each run, so it cannot start "
            "there: name another folder, or leave `sandbox: off` out");
    }
    return keyless;
  }

  const run_config& config_;
  const lookup& env_;
  const source_lookup& sources_;
  std::vector<problem> out_;
};

} // namespace

std::vector<problem> environment_problems(const run_config& c, const lookup& env, const source_lookup& sources) {
  auto out = judge{c, env, sources}.run();
  put_places(c, out);
  return out;
}

key_notes key_notes_of(const run_config& c, const lookup& env, const source_lookup& sources) {
  key_notes out;
  std::set<std::string> said;
  auto judge_one = [&](const backend_config& b, const std::string& path) {
    const auto* kind = find_backend_kind(b.type);
    if (!kind || !is_available(*kind) || b.type == "local" || b.type == "scripted")
      return;
    auto route = route_key(b, env, sources);
    if (route.code != ec::none)
      return; // its node says so
    for (auto& notice : route.notices)
      if (said.insert(notice).second)
        out.redirects.push_back(notice);
    auto by_loader = b.type == "grok" && !c.source.empty();
    if (!route.withheld.empty() && !by_loader && said.insert(route.withheld).second)
      out.withheld.push_back({severity::warning, c.source, 0, path + ".base_url", route.withheld});
  };
  for (std::size_t i = 0; i < c.agents.size(); ++i)
    if (c.agents[i].node.empty())
      each_backend(c.agents[i], [&](const backend_config& b, const std::string& path) {
        judge_one(b, "agents[" + std::to_string(i) + "]." + path);
      });
  put_places(c, out.withheld);
  return out;
}

} // namespace conclave
