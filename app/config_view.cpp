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
      auto text = text_of(r.key, x.*r.member);
      auto at = config_rows::path_in(path, config_rows::scope_of<T>, r.key.scope, r.key.name);
      if (!text.empty())
        out_ += at + ": " + one_line(text, longest) + " (" + origin(at, x.*r.member == fresh.*r.member) + ")\n";
    };
    std::apply([&](const auto&... r) { (one(r), ...); }, config_rows::table<T>);
  }

  const std::string& text() const { return out_; }

private:
  std::string origin(const std::string& at, bool is_default) const {
    auto found = places_.find(at);
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
      for (std::size_t k = 0; k < b.mcp_servers.size(); ++k)
        out.add(b.mcp_servers[k], at + ".mcp_servers[" + std::to_string(k) + "]");
    });
  }
  out.add(c, "");
  out.add(c.rules, "orchestrator");
  out.add(c.rules.budget, "budget");
  out.add(c.ui, "ui");
  out.add(c.cluster, "cluster");
  out.add(c.cluster.tls, "cluster.tls");
  auto text = out.text();
  hide(text);
  return text;
}

} // namespace conclave
