// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_judge.hpp"

#include "protocols/config_expand.hpp"
#include "protocols/opening.hpp"
#include "protocols/secret_words.hpp"
#include "protocols/secrets.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

using spans = std::vector<secret_span>;
using secret_words::is_header_place;
using secret_words::is_key_like;
using secret_words::is_named;
using secret_words::one_word;

constexpr int max_depth = 8; ///< how often a text may stand in a text; deeper is nothing that anybody reads

bool is_quote(char c) {
  return c == '"' || c == '\'';
}

bool is_in_name(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || c == '-' || c == '.';
}

bool is_reference(std::string_view text) {
  return text.starts_with("${");
}

class text_judge {
public:
  /// `argument`: a word of a command, where "Name: any words" is a header.
  text_judge(std::string_view text, spans& out, int depth, bool argument = false)
      : text_(text), out_(out), last_brace_(text.rfind('}')), depth_(depth), argument_(argument),
        is_netrc_(text.find("machine ") != std::string_view::npos && text.find("login ") != std::string_view::npos) {}

  void setting(const secret_place& at, std::size_t begin, std::size_t end) {
    if (!value(at, begin, end))
      words({at.name, at.name == "-H" || is_header_place(at.name)}, begin, end); // within it, a header has its name in front
  }

  /// Judges [begin, end) as one value; returns false if it may only have secrets within it, in words.
  bool value(const secret_place& at, std::size_t begin, std::size_t end) {
    auto text = part(begin, end);
    if (text.empty())
      return true;
    auto scheme = scheme_length(text);
    auto rest = text.substr(scheme);
    if (text == secret_mark || is_named(at.name, text)
        || (scheme > 0 && (at.header || is_given(rest) || (lower(std::string{text.substr(0, 6)}) == "bearer" && one_word(rest))))) {
      add(at.name, begin + scheme, end);
      return true;
    }
    return json(at, begin, end);
  }

private:
  /// Where a value begins and ends, and where what follows it begins.
  struct field {
    std::size_t begin, end, next;
  };

  std::string_view part(std::size_t begin, std::size_t end) const { return text_.substr(begin, end - begin); }
  bool has(std::size_t at, std::string_view what) const { return text_.substr(at, what.size()) == what; }
  bool is_blank_at(std::size_t i) const { return white_space.find(text_[i]) != std::string_view::npos; }

  std::size_t skip_blanks(std::size_t i, std::size_t end) const {
    while (i < end && is_blank_at(i))
      ++i;
    return i;
  }

  /// Where one of `chars` stands in [from, to), or `to`.
  std::size_t find_in(std::string_view chars, std::size_t from, std::size_t to) const {
    auto at = part(from, std::max(from, to)).find_first_of(chars);
    return at == std::string_view::npos ? to : from + at;
  }

  /// What is a secret, or stands for one, whatever is in front of it. By its first bytes: it is asked of every word.
  static bool is_given(std::string_view text) {
    constexpr std::size_t enough = 256;
    auto head = text.substr(0, enough);
    return text == secret_mark || (one_word(head) && (is_reference(head) || is_key_like(head)));
  }

  void add(const std::string& name, std::size_t begin, std::size_t end) {
    if (begin < end)
      out_.push_back({name, begin, end, is_literal_secret(std::string{part(begin, end)}), false, ""});
  }

  /// Whether NAME= or NAME: follows the separator at `i`.
  bool starts_field(std::size_t i, std::size_t end) const {
    constexpr std::size_t longest = 64;
    auto begin = skip_blanks(i + 1, std::min(end, i + 8)), at = begin;
    while (at < std::min(end, begin + longest) && (is_in_name(text_[at]) || (at > begin && text_[at] == ' ')))
      ++at;
    return i + 1 == end || (at > begin && at < end && (text_[at] == '=' || text_[at] == ':'));
  }

  /// Where a value without quotes ends within other words. In "Password=a b;Server=c" blanks belong to it.
  std::size_t field_end(std::size_t begin, std::size_t end) {
    if (begin >= field_.begin && begin < field_.end && end == field_.next) // the end is the same from within: no word is read twice
      return field_.end;
    constexpr std::size_t ahead = 1024;
    auto i = begin;
    while (i < std::min(end, begin + ahead) && text_[i] != '\n' && !(text_[i] == ';' && starts_field(i, end)))
      ++i;
    if (i == end || i == begin + ahead)
      for (i = begin; i < end && !is_blank_at(i);)
        if (++i < end && (text_[i] == ',' || text_[i] == '&' || text_[i] == '|') && starts_field(i, end))
          break;
    field_ = {begin, i, end};
    return i;
  }

  std::size_t word_end(std::size_t i, std::size_t end) const {
    while (i < end && !is_blank_at(i) && !is_quote(text_[i]) && text_[i] != ',' && text_[i] != ';')
      ++i;
    return i;
  }

  /// The value that begins at `i`, maybe in quotes.
  field field_at(std::size_t i, std::size_t end, bool all) {
    if (i < end && is_quote(text_[i]) && !(all && text_[end - 1] != text_[i])) {
      auto close = i + 1;
      while (close < end && text_[close] != text_[i])
        close += text_[close] == '\\' ? 2 : 1;
      close = all ? end - 1 : std::min(close, end);
      return {i + 1, std::max(close, i + 1), std::min(close + 1, end)};
    }
    auto to = all ? end : field_end(i + scheme_length(part(i, end)), end);
    return {i, to, to};
  }

  void words(const secret_place& at, std::size_t begin, std::size_t end) {
    if (++depth_ <= max_depth) {
      auto under = at;
      auto lead = skip_blanks(begin, end); // where a name has all that follows for its value
      auto names = 0;
      for (auto i = begin; i < end;) {
        if (has(i, secret_mark)) {
          add(under.name, i, i + std::string_view{secret_mark}.size());
          i += std::string_view{secret_mark}.size();
        } else if (auto block = private_key(i, end); block > i) {
          add(under.name, i, block);
          i = block;
        } else if (is_reference(part(i, end)) && last_brace_ != std::string_view::npos && i < last_brace_) {
          i = reference(i, end);
        } else if (!is_in_name(text_[i])) {
          ++i;
        } else {
          auto to = i;
          while (to < end && is_in_name(text_[to]))
            ++to;
          i = has(to, "://") && to + 3 < end ? url(under, i, to, end) : word(under, i, to, end, lead, names);
        }
      }
    }
    --depth_;
  }

  /// Where a private key in PEM ends that begins at `i`, or `i`. One that is cut off takes the rest.
  std::size_t private_key(std::size_t i, std::size_t end) const {
    constexpr std::string_view first = "-----BEGIN ", last = "-----END ", dashes = "-----";
    constexpr std::size_t longest = 64; // of what it is called
    if (!has(i, first) || i + first.size() >= end)
      return i;
    auto name = part(i + first.size(), std::min(end, i + first.size() + longest));
    if (name.substr(0, name.find(dashes)).find("PRIVATE KEY") == std::string_view::npos)
      return i;
    auto close = part(i, end).find(last);
    if (close == std::string_view::npos)
      return end;
    auto stop = part(i + close + last.size(), end).find(dashes);
    return stop == std::string_view::npos ? end : i + close + last.size() + stop + dashes.size();
  }

  /// ${NAME:-a default}, which stands in the file.
  std::size_t reference(std::size_t begin, std::size_t end) {
    auto close = std::min(text_.find('}', begin), end);
    auto fallback = part(begin, close).find(":-");
    if (fallback != std::string_view::npos)
      value({std::string{part(begin + 2, begin + fallback)}}, begin + fallback + 2, close);
    return std::min(close + 1, end);
  }

  /// Judges what follows the word [begin, to); returns where to go on.
  std::size_t word(secret_place& under, std::size_t begin, std::size_t to, std::size_t end, std::size_t& lead, int& names) {
    std::string name{part(begin, to)};
    if (!key_start(name).empty() && name.size() >= 12 && is_key_like(name)) {
      to = word_end(begin, end);
      add(under.name, begin, to);
      return to;
    }
    auto open = begin > 0 && is_quote(text_[begin - 1]) ? text_[begin - 1] : '\0';
    auto closed = open != '\0' && to < end && text_[to] == open;
    if (open != '\0' && !closed)
      end = find_in({&open, 1}, to, end); // 'Name: value'
    auto after = skip_blanks(to + (closed ? 1 : 0), end);
    if (after < end && (text_[after] == '=' || text_[after] == ':'))
      return assignment(under, std::move(name), after, end, begin == lead && ++names <= max_depth, lead);
    if (name == "password" && is_netrc_ && after > to && after < end) {
      auto last = word_end(after, end);
      add(name, after, last);
      return last;
    }
    if (closed && after < end && text_[after] == ',') // ['--option', 'value']
      after = skip_blanks(after + 1, end);
    if (begin != lead && name.starts_with('-') && names_a_secret(name) && after > to && after < end && text_[after] != '-')
      if (auto f = field_at(after, end, false); value({name}, f.begin, f.end))
        return f.next;
    if (auto scheme = scheme_length(part(begin, end)); scheme > 0) {
      auto last = word_end(begin + scheme, end);
      if (is_given(part(begin + scheme, last)) && value(under, begin, last))
        return last;
    }
    return to;
  }

  /// NAME=VALUE or "Name: VALUE". `all`: the value is all that follows.
  std::size_t assignment(secret_place& under, std::string name, std::size_t sign, std::size_t end, bool all, std::size_t& lead) {
    constexpr std::size_t least = 8; // "key: value" is no secret, and a variable of one has a name of its own
    auto begin = skip_blanks(sign + 1, end);
    if (!all && !under.header && !names_a_secret(name) && !is_header_place(name))
      return std::max(begin, sign + 1);
    auto f = field_at(begin, end, all);
    auto text = part(f.begin, f.end);
    auto one = (all || f.begin > begin) && text.size() >= least && one_word(text);
    auto scheme = scheme_length(text);
    auto accepted = text_[sign] == '=' || (all && argument_) || one || (under.header && scheme > 0) || is_given(text.substr(scheme))
                    || (all && (text.find('=') != std::string_view::npos || secret_words::any_key_like(text)));
    secret_place at{name, under.header || is_header_place(name)};
    if (accepted && value(at, f.begin, f.end))
      return std::max(f.next, sign + 1);
    if (all) {
      lead = f.begin;
      under = {std::move(name), at.header};
    }
    return std::max(f.begin, sign + 1);
  }

  static bool is_user_secret(std::string_view scheme, std::string_view user, std::string_view password, std::string_view rest) {
    if (user == secret_mark || is_reference(user))
      return true;
    for (auto* known : {"", "git", "hg", "svn", "user", "admin", "root", "anonymous"})
      if (user == known)
        return false;
    if (!password.empty() && password != "x-oauth-basic")
      return is_key_like(user) && user.size() >= 16;
    auto web = lower(scheme.empty() ? ' ' : scheme[0]) == 'h' || is_key_like(user);
    return web && rest.find(user) == std::string_view::npos; // an organization is named in the path, too
  }

  static bool has_odd_port(std::string_view authority) {
    auto colon = authority.rfind(':');
    return colon != std::string_view::npos && !authority.starts_with('[')
           && authority.find_first_not_of("0123456789", colon + 1) != std::string_view::npos;
  }

  /// A URL whose "://" is at `sign`: who is named in front of its host, and its parameters. Returns its end.
  std::size_t url(const secret_place& under, std::size_t begin, std::size_t sign, std::size_t end) {
    auto open = begin > 0 && is_quote(text_[begin - 1]) ? text_[begin - 1] : ' ';
    auto host = sign + 3, last = host;
    while (last < end && !is_blank_at(last) && text_[last] != open)
      ++last;
    auto path = find_in("/?#", host, last);
    auto at = part(host, path).rfind('@');
    if (at == std::string_view::npos && has_odd_port(part(host, path))) { // of a password with a slash
      at = part(host, last).rfind('@');
      path = at == std::string_view::npos ? path : find_in("/?#", host + at, last);
    }
    if (at != std::string_view::npos) {
      at += host;
      auto colon = host;
      for (auto braces = 0; colon < at && (text_[colon] != ':' || braces > 0); ++colon)
        braces += text_[colon] == '{' ? 1 : text_[colon] == '}' && braces > 0 ? -1 : 0;
      auto password = std::min(colon + 1, at);
      if (is_user_secret(part(begin, sign), part(host, colon), part(password, at), part(at, last)))
        add(under.name, host, colon);
      add(under.name, password, at);
      host = at + 1;
    }
    auto query = find_in("?#;", host, last);
    words(under, std::min(path, query), query);
    while (query < last) {
      auto to = ++query;
      while (to < last && text_[to] != '&' && text_[to] != '#' && !(text_[to] == ';' && starts_field(to, last)))
        ++to;
      parameter(query, to);
      query = to;
    }
    return last;
  }

  void parameter(std::size_t begin, std::size_t end) {
    auto equals = find_in("=", begin, end);
    auto from = std::min(equals + 1, end);
    secret_place at{secret_words::percent_decoded(part(begin, equals))};
    auto before = out_.size();
    if (++depth_ <= max_depth) {
      setting(at, from, end);
      auto meant = secret_words::percent_decoded(part(from, end));
      spans within;
      if (out_.size() == before && meant != part(from, end))
        text_judge{meant, within, depth_}.setting(at, 0, meant.size());
      if (!within.empty())
        add(at.name, from, end);
    }
    --depth_;
  }

  bool json(const secret_place& at, std::size_t begin, std::size_t end) {
    auto text = part(begin, end);
    auto first = trimmed(text).substr(0, 1);
    if ((first != "{" && first != "[") || depth_ >= max_depth
        || !(first == "{" ? wire::is_object(text) : wire::is_object("{\"x\":" + std::string{text} + "}")))
      return false;
    secret_words::judge_json(text, begin, at, out_, depth_ + 1);
    return true;
  }

  std::string_view text_;
  spans& out_;
  std::size_t last_brace_;
  field field_{1, 0, 0}; ///< that was found last, `next` is where the text ended
  int depth_;
  bool argument_;
  bool is_netrc_; ///< "machine h login me password x"
};

/// Finds what options without a telling name are given: `-u user:password` of curl, `-p password` of many. Returns whether it did.
bool short_option(const std::string& before, std::string_view text, spans& out) {
  std::string option = before;
  std::size_t from = 0;
  for (std::string_view with : {"--user=", "--proxy-user="})
    if (text.starts_with(with)) {
      option = with.substr(0, with.size() - 1);
      from = with.size();
    }
  if (from == 0 && text.starts_with('-'))
    return false;
  auto given = text.substr(from);
  auto found = [&](std::size_t begin) {
    out.push_back({option, begin, text.size(), is_literal_secret(std::string{text.substr(begin)}), false, ""});
    return true;
  };
  if (option == "-u" || option == "-U" || option == "--user" || option == "--proxy-user") {
    auto colon = is_reference(given) ? given.find(':', given.find('}')) : given.find(':');
    auto password = colon == std::string_view::npos ? std::string_view{} : given.substr(colon + 1);
    auto number = password.find_first_not_of("0123456789") == std::string_view::npos; // 1000:1000, of user and group
    if (!number && one_word(given) && password != given.substr(0, colon) && given.find("://") == std::string_view::npos)
      return found(from + colon + 1);
  }
  // -p 8080:80/tcp is a port, -p my-project a project
  if (option == "-p" && given.find_first_of(":/=$<") == std::string_view::npos && is_key_like(given))
    return found(from);
  return false;
}

} // namespace

void secret_words::judge_text(const secret_place& at, std::string_view text, spans& out, int depth) {
  text_judge{text, out, depth}.setting(at, 0, text.size());
}

std::size_t scheme_length(std::string_view value) {
  constexpr std::size_t longest = 20; // it is asked of every word: no further
  auto blank = value.substr(0, longest + 1).find_first_of(line_space);
  if (blank == std::string_view::npos)
    return 0;
  auto scheme = lower(std::string{value.substr(0, blank)});
  for (auto* known : {"bearer", "basic", "token", "apikey", "api-key", "key", "bot", "digest", "oauth", "jwt", "negotiate", "ntlm",
                      "ssws", "geniekey", "splunk", "sharedkey", "aws4-hmac-sha256"})
    if (scheme == known)
      return std::min(value.find_first_not_of(line_space, blank), value.size()) % value.size();
  return 0;
}

std::vector<secret_span> find_secrets(const secret_place& at, std::string_view text) {
  spans out;
  secret_words::judge_text({at.name, at.header || is_header_place(at.name)}, text, out, 0);
  return out;
}

std::vector<secret_span> find_argument_secrets(const std::string& before, std::string_view text) {
  spans out;
  if (short_option(before, text, out))
    return out;
  auto option = before.starts_with('-') && std::all_of(before.begin(), before.end(), is_in_name);
  auto name = option && !text.starts_with('-') ? before : std::string{};
  text_judge{text, out, 0, true}.setting({name, name == "-H" || is_header_place(name)}, 0, text.size());
  return out;
}

} // namespace conclave
