// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Variables in the texts of a file. They are expanded in the tree, after the YAML is read and before any key is: what a variable
// holds is text, never YAML, and everything later (ids, key binding, limits) judges the real value. What the node that runs an
// agent has to look up itself is left as it stands: secrets, and paths of that machine.

#include "app/environment.hpp"
#include "app/load_config_parts.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/secrets.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <string_view>

namespace conclave::loader {

namespace {

/// What a node of the tree is; decides who expands it.
enum class place { plain, top, agents, agent, failover, backend, servers, command, url, node };

place below(place p, const std::string& key) {
  auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), key) != names.end();
  };
  switch (p) {
  case place::top:
    // x-...: a place for anchors; they are expanded where they are used.
    return key == "agents" ? place::agents : key == "agent" ? place::agent : key.starts_with("x-") ? place::node : place::plain;
  case place::agents:
    return place::agent;
  case place::agent:
    return key == "backend" ? place::backend : key == "failover" ? place::failover : place::plain;
  case place::failover:
    return place::backend;
  case place::backend:
    if (is({"api_key", "api_key_env", "extra_headers", "extra_query", "model_path", "server", "ca_bundle"}))
      return place::node;
    return key == "mcp_servers" ? place::servers : place::plain;
  case place::servers: // of every shape: a list, a map by name, one server
    if (is({"args", "env", "headers", "cwd"}))
      return place::node;
    return key == "command" ? place::command : key == "url" ? place::url : key == "security" ? place::plain : place::servers;
  default:
    return p;
  }
}

/// Returns where the query of a URL begins: it may hold a secret. A '?' inside a reference is none.
std::size_t query_of(const std::string& url) {
  for (std::size_t i = 0; i < url.size(); ++i) {
    if (url[i] == '?')
      return i;
    if (url.compare(i, 2, "${") == 0)
      i = std::min(url.find('}', i), url.size());
  }
  return url.size();
}

/// Makes text that expand() turns into `text` again.
std::string escaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "${") == 0)
      out += '$';
    out += text[i];
  }
  return out;
}

class expander {
public:
  expander(const load_options& options, report& to) : unset_(options.unset), to_(to), env_(options.env), sources_(options.sources) {
    look_ = [this](const std::string& name) { return look_up(name); };
  }

  tree_ptr walk(const tree_ptr& node, place p, const std::string& path, mark at) {
    if (p == place::node || full_)
      return node;
    if (node->kind == tree::scalar)
      return p == place::command ? node : leaf(node, p, path, at);
    std::shared_ptr<tree> copy;
    for (std::size_t i = 0; i < node->items.size(); ++i) {
      const auto& e = node->items[i];
      bool list = node->kind == tree::list;
      auto below_path = list           ? path + "[" + std::to_string(i) + "]"
                        : path.empty() ? shown_text(e.key)
                                       : path + "." + shown_text(e.key);
      // Of a command only the program is ours to look up: its arguments may hold a secret.
      auto next = p == place::command ? (i == 0 ? place::plain : place::node) : below(p, e.key);
      auto value = walk(e.value, next, below_path, e.at);
      if (value == e.value)
        continue;
      if (!copy)
        copy = std::make_shared<tree>(*node);
      copy->items[i].value = std::move(value);
    }
    return copy ? copy : node;
  }

private:
  const std::string* look_up(const std::string& name) {
    if (!env_) {
      // The file names a variable, so the .env files are read; what is wrong with them is said where keys are looked up.
      std::vector<problem> ignored;
      own_ = environment::load(ignored);
      env_ = own_.lookup();
      sources_ = own_.sources();
    }
    const auto* value = env_(name);
    if (!value)
      return nullptr;
    used_ += value->size();
    full_ = used_ > max_bytes;
    std::string why;
    if (bad_.empty() && bad_byte(*value, why) != 0)
      bad_ = "the value of the variable " + name + " holds a character a configuration may not: " + why;
    return full_ ? nullptr : value;
  }

  /// Where the file alone is judged, what stops a run is a warning that says so.
  void unset(mark at, const std::string& path, const std::string& text) {
    to_.add(unset_, at, path, text, unset_ != severity::error);
  }

  tree_ptr leaf(const tree_ptr& node, place p, const std::string& path, mark at) {
    if (node->text.find("${") == std::string::npos)
      return node;
    auto head = p == place::url ? query_of(node->text) : node->text.size();
    auto text = node->text.substr(0, head);
    std::string missing;
    bad_.clear();
    if (!expand(text, look_, missing) || full_ || !bad_.empty()) {
      if (full_)
        to_.error(at, path, "the variables of this file hold more than 1 MiB");
      else if (!bad_.empty())
        to_.error(at, path, bad_);
      else
        unset(at, path,
              "the variable " + missing + " is not set: put it into the environment or into ./.env, or write ${" + missing
                  + ":-default}");
      to_.excuse(path);
      return node;
    }
    if (p == place::url)
      text = escaped(text) + node->text.substr(head);
    if (text == node->text)
      return node;
    auto out = std::make_shared<tree>(*node);
    out->text = std::move(text);
    out->expanded = true;
    for (const auto& name : references_in(node->text))
      if (auto from = sources_ ? sources_(name) : process_source; out->source.empty() || from == project_source)
        out->source = from;
    if (path.ends_with("base_url") && out->source == project_source)
      check_url(node->text, path, at);
    out->quoted = false; // flow style and JSON need the quotes for the braces
    return out;
  }

  /// A project's .env says where a call goes: no secret from elsewhere may be a part of that URL.
  void check_url(const std::string& text, const std::string& path, mark at) {
    auto query = references_in(text.substr(query_of(text)));
    for (const auto& name : references_in(text)) {
      auto from = sources_(name);
      const auto* value = env_(name);
      auto secret = value != nullptr && (may_be_secret(name, *value) || std::find(query.begin(), query.end(), name) != query.end());
      if (from != project_source && secret)
        unset(at, path,
              name + " (" + from + ") would go where a variable of " + project_source
                  + " says: a project's .env does not send a key somewhere else. Set that variable in the environment, or write "
                    "the host out");
    }
  }

  severity unset_;
  report& to_;
  lookup env_, look_;
  source_lookup sources_;
  environment own_;
  std::size_t used_ = 0;
  bool full_ = false;
  std::string bad_;
};

} // namespace

tree_ptr expand_config(const tree_ptr& root, const load_options& options, report& to) {
  return expander{options, to}.walk(root, place::top, "", root->at);
}

tree_ptr expand_script(const tree_ptr& root, const load_options& options, report& to) {
  return expander{options, to}.walk(root, place::plain, "", root->at);
}

} // namespace conclave::loader
