// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/key_route.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_url.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace conclave {

namespace {

constexpr const char* places_of_keys = " in the environment, in ./.env or in ~/.config/conclave/.env";

/// Everybody reads HTTPS:// as https://; what follows is compared letter by letter.
std::string with_lower_scheme(std::string url) {
  auto end = std::min(url.find("://"), url.size());
  std::transform(url.begin(), url.begin() + static_cast<std::ptrdiff_t>(end), url.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return url;
}

/// What a server that is not the key's own is sent in its place: mocks and proxies want some key.
constexpr const char* placeholder = "conclave-placeholder-key";

constexpr const char* base_url_option = "--base-url";

/// A variable whose value is used, and the place it came from.
struct used_variable {
  std::string name, source;
};

std::string shown(const used_variable& v) {
  if (v.name == base_url_option)
    return v.name;
  return v.name + " (" + v.source + ")";
}

class router {
public:
  router(const backend_config& b, const lookup& env, const source_lookup& source, const secrets* known)
      : b_(b), env_(env), source_(source), known_(known), kind_(*find_backend_kind(b.type)) {}

  key_route run() {
    out_.base_url = with_lower_scheme(b_.base_url.empty() ? kind_.base_url : b_.base_url);
    if (!find_target() || !expand_headers() || !find_body_secrets() || !find_redirect() || !find_address() || !find_key()
        || !check_sources())
      return std::move(out_);
    choose_ca();
    note_proxy();
    if (target_.name.empty())
      note_withheld();
    return std::move(out_);
  }

private:
  bool fail(ec code, std::string error) {
    out_.code = code;
    out_.error = std::move(error);
    return false;
  }

  const std::string* value_of(const std::string& name) const {
    const auto* value = env_ ? env_(name) : nullptr;
    return value != nullptr && !is_blank(*value) ? value : nullptr;
  }

  used_variable variable(const std::string& name) const { return {name, source_ ? source_(name) : process_source}; }

  /// A secret that is written in the configuration comes from there.
  void use_literal(const std::string& name) { secrets_.push_back({name, "the configuration"}); }

  /// Whether the bytes go elsewhere, whatever the configuration says of the API.
  bool find_target() {
    auto name = target_variable(b_.type);
    const auto* value = b_.sent_to.empty() ? value_of(name) : &b_.sent_to;
    if (value == nullptr)
      return true;
    auto from = b_.sent_to.empty() ? variable(name) : used_variable{base_url_option, process_source};
    auto url = *value;
    clean_key(url); // blanks and quotes around
    if (auto fault = target_fault(url); !fault.empty())
      return fail(ec::bad_config, shown(from) + " " + fault);
    url = with_lower_scheme(url);
    while (url.ends_with('/'))
      url.pop_back();
    if (url == out_.base_url)
      return true; // says what holds anyway
    target_ = from;
    out_.home = std::exchange(out_.base_url, url);
    has_placeholder_ = !b_.key_goes_along && !is_at_home();
    return true;
  }

  /// Whether the target is the very server of the configuration, or another one of the provider whose key it is.
  bool is_at_home() const {
    if (url_place(out_.base_url) == url_place(out_.home))
      return true;
    auto there = b_;
    there.api_key_env.clear();
    there.base_url = out_.base_url;
    return *kind_.default_key == '\0' && out_.base_url.starts_with("https://") && !key_names(there).empty()
           && provider_of_host(url_host(out_.base_url)) == provider_of_host(url_host(out_.home));
  }

  bool expand_headers() {
    out_.headers = b_.extra_headers;
    out_.query = b_.extra_query;
    auto trimmed = std::string{};
    auto noting = [&](const std::string& name) -> const std::string* {
      const auto* value = value_of(name);
      if (value == nullptr)
        return nullptr;
      // A line feed at the end of a variable (from `$(cat file)` written into a file, say) would spoil the header.
      trimmed = value->substr(0, value->find_last_not_of(" \t\r\n") + 1);
      if (auto key = trimmed; may_be_secret(name, key)) {
        clean_key(key); // what is wrong inside may be right in a header: "Bearer x"
        if (key != trimmed)
          note_cleaned(shown(variable(name)));
        trimmed = key;
      }
      out_.hidden.add_variable(name, trimmed);
      secrets_.push_back(variable(name));
      return &trimmed;
    };
    for (auto* values : {&out_.headers, &out_.query})
      for (auto& [name, value] : *values) {
        std::string missing;
        auto before = secrets_.size();
        if (!expand(value, noting, missing))
          return fail(ec::bad_config, "variable " + missing + " is not set");
        if (secrets_.size() == before
            && (may_be_secret(name, value) || !find_secrets({name, values == &out_.headers}, value).empty()))
          use_literal(name); // written there, or the default of a variable that is not set
        auto control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; };
        if (secrets_.size() > before && std::any_of(value.begin(), value.end(), control))
          return fail(ec::bad_config, shown(secrets_.back()) + " holds a line feed or control character inside, which "
                                          + shown_text(name) + " cannot carry");
        has_own_key_ = has_own_key_ || names_a_secret(name);
        if (has_placeholder_ && secrets_.size() > before) {
          value = placeholder;
          secrets_.resize(before);
        }
      }
    return true;
  }

  /// What the body carries goes along, too. It is the configuration's, whatever it was made of there.
  bool find_body_secrets() {
    std::string first;
    each_secret(b_, [&](const secret_text& text, const std::string&) {
      if (text.place == "extra_body" || text.place == "params")
        for (const auto& s : text.spans) {
          auto path = path_of(text, s);
          first = first.empty() ? path : first;
          use_literal(path);
        }
    });
    for (const auto& [text, path] : {std::pair{&b_.extra_body, "extra_body"}, {&b_.params, "a parameter of the provider's"}})
      if (known_ != nullptr && first.empty() && !known_->find_in(*text).empty()) { // by a variable, under any name
        first = path;
        use_literal(path);
      }
    if (has_placeholder_ && !first.empty())
      return fail(ec::bad_config, shown(target_) + " sends the calls to " + url_place(out_.base_url) + ", and " + first
                                      + " of the configuration holds a secret, which does not go there: take it out, or say "
                                        "--send-keys with --base-url");
    return true;
  }

  /// Whether the environment names another base URL. That of the configuration wins.
  bool find_redirect() {
    if (!target_.name.empty())
      return true; // goes elsewhere anyway
    if (!b_.base_url.empty()) {
      note_overruled();
      return true;
    }
    auto host = url_host(out_.base_url);
    if (b_.type == "ollama")
      return redirect("OLLAMA_HOST");
    if (b_.type == "azure_openai")
      return redirect("AZURE_OPENAI_ENDPOINT");
    for (const auto& row : base_variables())
      if (host == row.host && value_of(row.name) != nullptr)
        return redirect(row.name);
    return true;
  }

  /// The configuration wins. Worth a word where the key bound to the host may be that of the gateway which the environment names.
  void note_overruled() {
    if (!b_.api_key.empty() || !b_.api_key_env.empty())
      return;
    for (auto& key : key_names(b_)) {
      auto stem = key.substr(0, key.find("_API_KEY"));
      for (auto& name : {stem + "_BASE_URL", stem + "_API_BASE"}) {
        const auto* value = value_of(name);
        auto host = value == nullptr ? std::string{} : url_host(*value);
        if (!host.empty() && host != url_host(out_.base_url) && value_of(key) != nullptr)
          out_.notices.push_back(shown(variable(name)) + " is not used: base_url of the configuration says "
                                 + url_host(out_.base_url) + ", and " + key + " goes there");
      }
    }
  }

  bool redirect(const char* name) {
    const auto* value = value_of(name);
    if (value == nullptr)
      return true;
    auto url = *value;
    clean_key(url); // blanks and quotes around; the rest is judged as a URL
    if (b_.type == "ollama")
      url = ollama_url(url);
    url = with_lower_scheme(url);
    while (url.ends_with('/'))
      url.pop_back();
    auto v = variable(name);
    if (auto fault = target_fault(url); !fault.empty())
      return fail(ec::bad_config, shown(v) + " " + fault);
    if (url == out_.base_url)
      return true; // says what holds anyway
    redirect_ = v;
    default_host_ = url_host(out_.base_url);
    out_.base_url = url;
    return true;
  }

  /// A resource of Azure's has no address that anybody could know beforehand. Its variables are those of the vendor's library, npm
  /// openai 7.57.0, class AzureOpenAI, and of MassGen 0.1.0, read 2026-11-26.
  bool find_address() {
    if (out_.base_url.empty())
      return fail(ec::bad_config,
                  std::string{"no address: write azure_endpoint (or base_url), or set AZURE_OPENAI_ENDPOINT"} + places_of_keys);
    if (b_.type != "azure_openai" || !b_.api_version.empty())
      return true;
    for (const auto* name : {"AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"})
      if (const auto* value = value_of(name)) {
        out_.api_version = *value;
        clean_key(out_.api_version); // blanks and quotes around
        if (auto fault = version_fault(b_.type, out_.api_version); !fault.empty())
          return fail(ec::bad_config, shown(variable(name)) + ": " + fault);
        return true;
      }
    return true;
  }

  bool find_key() {
    if (has_placeholder_) {
      auto wanted = !b_.api_key.empty() || !key_names(b_).empty();
      out_.api_key = *kind_.default_key != '\0' ? kind_.default_key : wanted ? placeholder : "";
      return true;
    }
    if (!b_.api_key.empty())
      return expand_key();
    std::string list;
    for (auto& n : key_names(b_)) {
      auto* value = value_of(n);
      auto key = value == nullptr ? std::string{} : *value;
      auto fault = clean_key(key);
      if (!fault.empty())
        return fail(ec::unauthorized, shown(variable(n)) + " " + fault);
      if (!key.empty()) {
        if (key != *value)
          note_cleaned(shown(variable(n)));
        secrets_.push_back(variable(n));
        out_.api_key = key;
        out_.key_name = n;
        return true;
      }
      list += (list.empty() ? "" : " or ") + n;
    }
    if (*kind_.default_key != '\0') {
      out_.api_key = kind_.default_key;
      return true;
    }
    if (has_own_key_ && b_.type == "azure_openai")
      return true; // a token of Entra ID in a header of its own
    if (list.empty() || (is_loopback_host(url_host(out_.base_url)) && b_.api_key_env.empty()))
      return true; // a host of nobody's binding gets no key; loopback needs none
    return fail(ec::unauthorized, "no key: set " + list + places_of_keys);
  }

  bool expand_key() {
    out_.key_name = "api_key:" + wire::hash(b_.api_key); // unexpanded
    auto names = references_in(b_.api_key);
    auto known = secrets_.size();
    for (auto& n : names)
      if (value_of(n) != nullptr)
        secrets_.push_back(variable(n));
    if (secrets_.size() == known)
      use_literal("api_key"); // written there, or the default of a variable that is not set
    out_.api_key = b_.api_key;
    std::string missing;
    if (!expand(out_.api_key, env_, missing))
      return fail(ec::unauthorized, "no key: set " + missing + places_of_keys);
    auto who = names.size() == 1 && value_of(names[0]) != nullptr ? shown(variable(names[0])) : std::string{"api_key"};
    auto before = out_.api_key;
    if (auto fault = clean_key(out_.api_key); !fault.empty())
      return fail(ec::unauthorized, who + " " + fault);
    if (out_.api_key.empty())
      return fail(ec::unauthorized, who + " holds nothing but blanks and quotes");
    if (before != out_.api_key)
      note_cleaned(who);
    return true;
  }

  void note_cleaned(const std::string& who) {
    out_.notices.push_back(who + ": blanks, line feeds or quotes around the key were taken off; correct it where it is set");
  }

  /// A key goes only where its own place sends it: neither to the gateway, nor, as it may be the gateway's, to the vendor.
  bool check_sources() {
    auto elsewhere = [this](const std::string& source) {
      return std::find_if(secrets_.begin(), secrets_.end(), [&](const auto& s) { return s.source != source; });
    };
    if (b_.base_url_source.starts_with(project_source) && !is_bound()) {
      if (auto s = elsewhere(b_.base_url_source); s != secrets_.end())
        return fail(ec::bad_config, "base_url was set by a variable of " + b_.base_url_source + ", but " + shown(*s)
                                        + " comes from elsewhere: a project's .env does not send a key somewhere else. Set the "
                                          "variable in the environment, or write base_url out");
    }
    if (!target_.name.empty())
      return check_target();
    if (redirect_.name.empty()) {
      note_strangers();
      return true;
    }
    auto to = url_place(out_.base_url);
    if (auto s = elsewhere(redirect_.source); s != secrets_.end())
      return fail(ec::bad_config, shown(redirect_) + " names " + to + ", but " + shown(*s)
                                      + " comes from elsewhere: nothing is sent"
                                      + (default_host_.empty() ? "" : ", neither there nor to " + default_host_)
                                      + ". Set both in one place, or write base_url into the configuration");
    auto known = !secrets_.empty() && key_stranger(secrets_.back().name, out_.base_url).empty();
    if (default_host_.empty() && known)
      return true; // a resource of Azure's, which must be named somewhere
    auto plain = to.starts_with("http://") && !is_loopback_host(url_host(to)) ? ", unencrypted" : "";
    out_.notices.insert(out_.notices.begin(), shown(redirect_) + " sends the calls to " + to
                                                  + (default_host_.empty() ? "" : " instead of " + default_host_)
                                                  + (secrets_.empty() ? ", without a key" : ", with " + secrets_.back().name)
                                                  + plain);
    return true;
  }

  /// Who may send the bytes elsewhere with the keys: the person who starts the run, or whoever set the key.
  bool check_target() {
    auto s = std::find_if(secrets_.begin(), secrets_.end(), [this](const auto& used) { return used.source != target_.source; });
    if (target_.source != process_source && s != secrets_.end() && !is_at_home())
      return fail(ec::bad_config, shown(target_) + " names " + url_place(out_.base_url) + ", but " + shown(*s)
                                      + " comes from elsewhere: set the variable in the environment, or leave out --send-keys");
    auto with = has_placeholder_   ? ", with a placeholder for the key"
                : secrets_.empty() ? ", without a key"
                                   : ", with " + secrets_.back().name;
    out_.notices.insert(out_.notices.begin(), shown(target_) + " sends the calls of type " + b_.type + " to "
                                                  + url_place(out_.base_url)
                                                  + (out_.home.empty() ? "" : " instead of " + url_host(out_.home)) + with);
    return true;
  }

  /// A configuration may send a provider's key anywhere, also one that came with a cloned project.
  void note_strangers() {
    for (const auto& s : secrets_)
      if (auto home = key_stranger(s.name, out_.base_url); !home.empty())
        out_.notices.push_back(shown(s) + " goes to " + url_place(out_.base_url) + ", not to " + home
                               + ": the configuration says so");
  }

  /// Whether the key is one that is bound to the host anyway.
  bool is_bound() const {
    auto plain = b_;
    plain.api_key_env.clear();
    auto bound = key_names(plain);
    return *kind_.default_key == '\0' && out_.base_url.starts_with("https://") && !secrets_.empty()
           && std::all_of(secrets_.begin(), secrets_.end(),
                          [&](const auto& s) { return std::find(bound.begin(), bound.end(), s.name) != bound.end(); });
  }

  /// Sets `to` from the first of these variables; one from a .env file counts only for keys of that very file.
  void choose(named_path& to, std::initializer_list<const char*> names) {
    for (const auto* name : names) {
      const auto* value = value_of(name);
      if (value == nullptr)
        continue;
      auto v = variable(name);
      auto other = std::find_if(secrets_.begin(), secrets_.end(), [&](const auto& s) { return s.source != v.source; });
      if (v.source != process_source && other != secrets_.end()) {
        out_.notices.push_back(shown(v) + " is not used with " + shown(*other)
                               + ": a .env file does not say whom to trust with a key from elsewhere");
        continue;
      }
      to = {*value, shown(v)};
      return;
    }
  }

  void choose_ca() {
    if (!out_.base_url.starts_with("https://"))
      return;
    if (!b_.ca_bundle.empty()) {
      out_.ca.bundle = {b_.ca_bundle, "ca_bundle"};
      auto names = references_in(b_.ca_bundle);
      std::string missing;
      if (!expand(out_.ca.bundle.path, env_, missing))
        fail(ec::bad_config, "ca_bundle: variable " + missing + " is not set");
      for (auto& n : names)
        if (auto v = variable(n); v.source == project_source)
          for (auto& s : secrets_)
            if (s.source != v.source)
              fail(ec::bad_config, "ca_bundle is set by " + shown(v) + ", but " + shown(s)
                                       + " comes from elsewhere: a project's .env does not say whom to trust with it");
      return;
    }
    choose(out_.ca.bundle, {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"});
    choose(out_.ca.folder, {"SSL_CERT_DIR"});
    choose(out_.ca.extra, {"NODE_EXTRA_CA_CERTS"});
  }

  /// The transport asks the process alone (transports/http_client.hpp); this only says so.
  void note_proxy() {
    auto host = url_host(out_.base_url);
    if (is_loopback_host(host))
      return;
    auto plain = out_.base_url.starts_with("http://");
    for (const auto* name : plain ? std::array{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}
                                  : std::array{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
      const auto* value = value_of(name);
      if (value == nullptr || variable(name).source != process_source)
        continue;
      auto proxy = value->substr(value->rfind('@') == std::string::npos ? 0 : value->rfind('@') + 1); // no user and password
      if (auto scheme = proxy.find("://"); scheme != std::string::npos)
        proxy.erase(0, scheme + 3);
      out_.notices.push_back(std::string{name} + " (" + process_source + ") sends the calls to " + host + " through the proxy "
                             + shown_text(proxy.substr(0, proxy.find_first_of("/?#")), 100) + ", unless NO_PROXY names the host");
      return;
    }
  }

  /// A host nobody's key is bound to gets none, which is right for some servers and a surprise with others.
  void note_withheld() {
    auto host = url_host(out_.base_url);
    if (!out_.api_key.empty() || has_own_key_ || host.empty())
      return;
    auto own = b_;
    own.base_url.clear();
    auto names = key_names(own);
    auto set = std::find_if(names.begin(), names.end(), [this](const auto& n) { return value_of(n) != nullptr; });
    // A server on this machine seldom wants a key: worth a word only if there is one that might have been meant.
    if (is_loopback_host(host) && set == names.end())
      return;
    out_.withheld = "no key is bound to " + shown_text(host, 100) + ", so none is sent"
                    + (set == names.end() ? "" : ", not even " + *set) + "; name one by api_key or api_key_env";
  }

  const backend_config& b_;
  const lookup& env_;
  const source_lookup& source_;
  const secrets* known_;
  const backend_kind& kind_;
  key_route out_;
  used_variable target_;               ///< what sends the bytes elsewhere, if anything does
  bool has_placeholder_ = false;       ///< and whether without the keys
  used_variable redirect_;             ///< the base URL variable, if it counts
  std::string default_host_;           ///< where calls would go without it
  std::vector<used_variable> secrets_; ///< all that goes along; the key last
  bool has_own_key_ = false;           ///< a header or parameter carries a key of the user's own making
};

} // namespace

std::string target_variable(const std::string& type) {
  std::string out = "CONCLAVE_BASE_URL_";
  for (auto c : type)
    out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

std::string target_fault(const std::string& url) {
  return url_host(url).empty() || url.find_first_of("?#") != std::string::npos
             ? "is no address of an API: http:// or https://, a host, no user name, no parameters"
             : "";
}

key_route route_key(const backend_config& b, const lookup& env, const source_lookup& source, const secrets* known) {
  return router{b, env, source, known}.run();
}

} // namespace conclave
