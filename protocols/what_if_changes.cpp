// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What of a configuration is another one than a task's, and whether its log can be judged by it. All of it derives from the rows
/// of the keys: a key of the ledger's own rules is played again, any other is what agents are asked with.

#include "protocols/config_tables.hpp"
#include "protocols/what_if.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace conclave::ledger {

namespace {

template <class M>
inline constexpr bool is_list_of_bound = false;
template <class E>
inline constexpr bool is_list_of_bound<std::vector<E>> = config_rows::is_bound<E>;

/// Planning is what agents are told: the ledger has no part in it.
bool is_played(const key_info& key) {
  return key.scope != key_scope::coordination;
}

template <class M>
std::string shown(const key_info& key, const M& value) {
  auto text = config_rows::default_text(key, value);
  return text.empty() ? "not set" : text;
}

class comparison {
public:
  rule_changes out;

  void rules(const ledger::rules& then, const ledger::rules& now) {
    each(then, now, [&](const auto& r) {
      auto path = config_rows::path_in("orchestrator", config_rows::scope_of<ledger::rules>, r.key.scope, r.key.name);
      if (is_played(r.key))
        out.judged.push_back({path, shown(r.key, then.*r.member), shown(r.key, now.*r.member)});
      else
        out.unjudged.push_back(path);
    });
  }

  void agent(const agent_config& then, const agent_config& now, const std::string& path) {
    each(then, now, [&](const auto& r) {
      using M = typename std::remove_cvref_t<decltype(r)>::value;
      auto& a = then.*r.member;
      auto& b = now.*r.member;
      if constexpr (std::is_same_v<M, budget>)
        out.judged.push_back({path + "." + r.key.name, shown(r.key, a), shown(r.key, b)});
      else
        inside(r, a, b, path, key_scope::agent);
    });
  }

  /// Those of whatever no row says that the ledger plays it.
  template <class T>
  void asked(const T& then, const T& now, const std::string& path) {
    each(then, now, [&](const auto& r) { inside(r, then.*r.member, now.*r.member, path, config_rows::scope_of<T>); });
  }

private:
  template <class T, class F>
  void each(const T& then, const T& now, F&& f) {
    auto one = [&](const auto& r) {
      if (r.has_key() && !(then.*r.member == now.*r.member))
        f(r);
    };
    std::apply([&](const auto&... r) { (one(r), ...); }, config_rows::table<T>);
  }

  template <class R, class M>
  void inside(const R& r, const M& then, const M& now, const std::string& path, key_scope own) {
    auto here = config_rows::path_in(path, own, r.key.scope, r.key.name);
    auto told = out.unjudged.size();
    if constexpr (config_rows::is_bound<M>)
      asked(then, now, here);
    else if constexpr (is_list_of_bound<M>)
      for (std::size_t i = 0; then.size() == now.size() && i < now.size(); ++i)
        asked(then[i], now[i], here + "[" + std::to_string(i) + "]");
    if (told == out.unjudged.size())
      out.unjudged.push_back(std::move(here));
  }
};

} // namespace

rule_changes changes_between(const opening& then, const run_config& now, const secrets* known) {
  opening masked;
  masked.agents = now.agents;
  mask_secrets(masked, known);
  comparison c;
  c.rules(then.rules, now.rules);
  for (std::size_t i = 0; i < masked.agents.size(); ++i)
    for (auto& a : then.agents)
      if (a.id == masked.agents[i].id)
        c.agent(a, masked.agents[i], "agents[" + std::to_string(i) + "]");
  run_config was;
  was.on_unknown = then.on_unknown;
  c.asked(was, now, "");
  return std::move(c.out);
}

} // namespace conclave::ledger
