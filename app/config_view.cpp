// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/config_view.hpp"

#include "app/plain_text.hpp"
#include "protocols/config_tables.hpp"
#include "protocols/opening.hpp"

namespace conclave {

namespace {

/// Long texts are shortened: the file has them.
constexpr std::size_t longest = 100;

template <class Pairs>
std::string joined(const Pairs& pairs) {
  std::string out;
  for (const auto& [name, value] : pairs)
    out += (out.empty() ? "" : ", ") + name + ": " + value;
  return out.empty() ? out : "{" + out + "}";
}

std::string text_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts)
    out += (out.empty() ? "" : ", ") + text;
  return out.empty() ? out : "[" + out + "]";
}

/// Empty = nothing to show.
template <class M>
std::string text_of(const key_info& key, const M& value) {
  if constexpr (requires { value.begin()->first; })
    return joined(value);
  else if constexpr (std::is_same_v<M, std::vector<std::string>>)
    return text_of(value);
  else
    return config_rows::default_text(key, value);
}

/// Where a key of a workspace may stand for all agents, in the order in which they count.
std::vector<std::string> shared_places(const std::string& key) {
  if (key.starts_with("sandbox."))
    return {key};
  std::vector<std::string> out;
  if (key == "write_mode" || key == "drift_conflict_policy")
    out.push_back("orchestrator.coordination." + key);
  if (key == "context_paths" || key == "drift_conflict_policy")
    out.push_back("orchestrator." + key);
  return out;
}

class view {
public:
  explicit view(const place_map& places) : places_(places) {}

  /// `path`: where the struct stands, as validate() writes it.
  template <class T>
  void add(const T& x, const std::string& path) {
    const T fresh{};
    auto one = [&](const auto& r) {
      if (!r.has_key())
        return;
      auto at = config_rows::path_in(path, config_rows::scope_of<T>, r.key.scope, r.key.name);
      auto is_default = x.*r.member == fresh.*r.member;
      if constexpr (std::is_same_v<T, workspace_config>) {
        if (x.cwd.empty() && is_default)
          return; // without a workspace what its keys would be is no matter
        if constexpr (requires { x.*r.member == x.context; })
          return add_context(x.context, at);
      }
      if (auto text = text_of(r.key, x.*r.member); !text.empty())
        out_ += at + ": " + one_line(text, longest) + " (" + origin(at, is_default, path) + ")\n";
    };
    std::apply([&](const auto&... r) { (one(r), ...); }, config_rows::table<T>);
  }

  /// A key that is read for what it asks, not for its value.
  void add_note(const std::string& at, const std::string& text) {
    if (places_.contains(at))
      out_ += at + ": " + text + " (" + origin(at, false) + ")\n";
  }

  const std::string& text() const { return out_; }

private:
  /// One line each: a path, and what agents may do with it.
  void add_context(const std::vector<context_path>& all, const std::string& at) {
    for (const auto& c : all)
      out_ += at + ": " + one_line(c.path, longest) + ": " + (c.write ? "write" : "read")
              + (c.protected_paths.empty() ? "" : ", protected " + one_line(text_of(c.protected_paths), longest)) + " ("
              + origin(at, false, at.substr(0, at.rfind('.'))) + ")\n";
  }

  /// `within`: the path of the backend, of a key that may stand for all agents, too.
  std::string origin(const std::string& at, bool is_default, const std::string& within = {}) const {
    auto found = places_.find(at);
    if (!within.empty() && at.starts_with(within + "."))
      for (const auto& other : shared_places(at.substr(within.size() + 1)))
        found = found == places_.end() ? places_.find(other) : found;
    if (found != places_.end())
      return found->second.line > 0 ? "line " + std::to_string(found->second.line) : found->second.path;
    return is_default ? "default" : "from other keys";
  }

  const place_map& places_;
  std::string out_;
};

/// The secrets of a text as people see them.
void hide(std::string& text) {
  const std::string mark = secret_mark;
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += 3)
    text.replace(at, mark.size(), "***");
}

} // namespace

std::string effective_text(const run_config& c, const secrets* known) {
  opening masked;
  masked.agents = c.agents;
  mask_secrets(masked, known);
  view out{c.places};
  for (std::size_t i = 0; i < masked.agents.size(); ++i) {
    const auto& a = masked.agents[i];
    auto path = "agents[" + std::to_string(i) + "]";
    out.add(a, path);
    out.add(a.budget, path + ".budget");
    each_backend(a, [&](const backend_config& b, const std::string& name) {
      auto at = path + "." + name;
      out.add(b, at);
      if (name == "backend") // whose workspace the agent has, whichever backend answers
        out.add(b.workspace, at);
      for (std::size_t k = 0; k < b.mcp_servers.size(); ++k)
        out.add(b.mcp_servers[k], at + ".mcp_servers[" + std::to_string(k) + "]");
    });
  }
  out.add(c, "");
  out.add(c.rules, "orchestrator");
  for (const auto* key : {"snapshot_storage", "agent_temporary_workspace"})
    out.add_note(std::string{"orchestrator."} + key, "files are kept below $CONCLAVE_HOME, whatever it says");
  out.add(c.rules.budget, "budget");
  out.add(c.ui, "ui");
  out.add(c.cluster, "cluster");
  out.add(c.cluster.tls, "cluster.tls");
  auto text = out.text();
  hide(text);
  return text;
}

} // namespace conclave
