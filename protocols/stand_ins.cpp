// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/stand_ins.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/key_route.hpp"
#include "protocols/secret_dumps.hpp"
#include "protocols/secret_escapes.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/secret_words.hpp"
#include "protocols/text.hpp"
#include "protocols/text_edits.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/attachments.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <string_view>

namespace conclave {

namespace {

/// 1 = b, 26 = ba: what tells stand-ins apart that may have no digits.
std::string in_letters(std::size_t number) {
  std::string out;
  for (; number > 0; number /= 26)
    out.insert(out.begin(), static_cast<char>('a' + number % 26));
  return out;
}

/// `number` tells one from the others as far as the length allows. It is judged as the key is: a number stays one (it may stand in
/// JSON as such), what begins as the keys of a provider do still does, and a word becomes a word.
std::string name_of(std::size_t number, const std::string& key) {
  auto start = std::string{key_start(key)};
  auto like_key = secret_words::is_key_like(key);
  auto digits = like_key ? std::to_string(number) : in_letters(number);
  auto length = key.size() - start.size();
  if (auto n = std::to_string(number); key.find_first_not_of("0123456789") == std::string::npos && n.size() < length)
    return std::string(length - n.size(), '9') + n;
  for (std::string word : {"CassetteKey", "Cassette", "Key", "K"})
    if (word.size() + digits.size() <= length)
      return start + ((like_key ? word : lower(word)) + digits + std::string(length, 'x')).substr(0, length);
  return start
         + (digits.size() >= length ? digits.substr(digits.size() - length) : digits + std::string(length - digits.size(), 'x'));
}

/// A stand-in as long as what it stands for, by escapes that it does not need: of two bytes more each, one of one or three. Shorter
/// where nothing in it takes one more.
std::string escaped_to(const std::string& name, std::size_t length) {
  constexpr std::string_view hex = "0123456789abcdef";
  auto more = length - std::min(length, name.size());
  std::string out;
  for (unsigned char c : name) {
    if (more % 2 == 1 && (c == '-' || c == '_')) {
      out += {'\\', static_cast<char>(c)};
      --more;
      continue;
    }
    auto how = more % 2 == 1 && more >= 3 ? "\\x" : more >= 2 ? "%" : "";
    if (*how == '\0') {
      out += static_cast<char>(c);
      continue;
    }
    out += how;
    out += {hex[c >> 4], hex[c & 15]};
    more -= *how == '%' ? 2 : 3;
  }
  return out;
}

void keep_faults(const std::string& key, std::string& name) {
  auto copy = key;
  if (clean_key(copy).empty())
    return;
  for (std::size_t i = 0; i < key.size(); ++i) {
    auto u = static_cast<unsigned char>(key[i]);
    auto opens = key.compare(i, 2, "${") == 0 || (i > 0 && key.compare(i - 1, 2, "${") == 0);
    if (u <= 0x20 || u >= 0x7F || u == '"' || opens)
      name[i] = key[i];
  }
  if (lower(key).starts_with("bearer "))
    name.replace(0, 7, key, 0, 7);
}

/// What is around the parts of a secret: names (`user:`, `sid=`) stay and what divides words does, so that the parts are found
/// again.
std::string shape_of(const std::string& all, std::size_t begin, std::size_t end) {
  auto in_word = [&](std::size_t i) {
    auto c = lower(all[i]);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || static_cast<unsigned char>(c) >= 0x80;
  };
  auto out = all.substr(begin, end - begin);
  for (std::size_t i = begin; i < end;) {
    auto next = i;
    while (next < end && in_word(next))
      ++next;
    auto names = next < all.size() && (all[next] == '=' || all[next] == ':');
    for (; i < next; ++i)
      if (!names)
        out[i - begin] = all[i] >= '0' && all[i] <= '9' ? '9' : 'x';
    ++i;
  }
  return out;
}

/// Returns a name in a form, laid out as the secret in its place is: with the blanks and ends of lines between its digits. Without
/// them where these are other ones in number, or more is between them.
std::string laid_out(const std::string& name, std::string there, secret_form form) {
  auto digits = in_form(form, name);
  if (form == secret_form::hex || form == secret_form::numbers) {
    auto told = told_as(form == secret_form::hex ? digits : name, there, form == secret_form::numbers);
    return told.empty() ? digits : told;
  }
  if (static_cast<std::size_t>(std::count_if(there.begin(), there.end(), is_base64_digit)) != digits.size())
    return digits;
  auto next = digits.begin();
  for (auto& c : there)
    if (is_base64_digit(c))
      c = *next++;
  return there;
}

} // namespace

void stand_ins::add_key(const std::string& value, bool faulty) {
  auto core = std::string{trimmed(trimmed(value, " \t\r\n"), " \t\r\n\"'")};
  auto name = name_of(names_.size() + 1, core);
  if (faulty)
    keep_faults(core, name);
  add(core, name);
}

void stand_ins::add(const std::string& core, const std::string& name) {
  if (core.size() >= least_)
    known_.add_key(core);
  if (names_.size() < known_.values().size())
    names_.push_back(name);
}

/// Adds a secret in the forms that give it away, the first of which is the secret, so that its stand-in has the same forms: a
/// cookie holds a token, `Basic` a password.
void stand_ins::add_forms(std::vector<std::string> forms) {
  if (forms.empty())
    return;
  auto whole = forms.front();
  std::stable_sort(forms.begin(), forms.end(), [](auto& a, auto& b) { return a.size() < b.size(); });
  std::vector<std::string> smaller;
  for (auto& form : forms) {
    auto name = made_of(form, smaller);
    if (name.empty() && form.size() > whole.size()) // it as others write it: a stand-in is written like that by everybody
      name = name_in_place_of(whole);
    if (name.empty())
      add_key(form);
    else
      add(form, name);
    smaller.push_back(std::move(form));
  }
}

std::string stand_ins::name_in_place_of(const std::string& secret) const {
  auto i = std::find(known_.values().begin(), known_.values().end(), secret);
  return i == known_.values().end() ? std::string{} : names_[static_cast<std::size_t>(i - known_.values().begin())];
}

/// The stand-in of a form that others are in; empty if none is.
std::string stand_ins::made_of(const std::string& form, const std::vector<std::string>& parts) const {
  secrets inner;
  for (auto& x : parts)
    if (x.size() >= least_)
      inner.add_key(x);
  auto found = inner.find_in(form);
  found.erase(std::remove_if(found.begin(), found.end(), [](auto& f) { return f.form != secret_form::plain; }), found.end());
  if (found.empty()) {
    auto within = is_base64(form) ? made_of(decode_base64(form), parts) : std::string{};
    return within.empty() ? within : wire::encode_base64(within);
  }
  if (form.find_first_of("\"\\") != std::string::npos)
    return {}; // nothing in a stand-in has to be escaped in JSON, however often
  std::string out;
  std::size_t done = 0;
  for (auto& f : found) {
    auto name = name_in_place_of(inner.values()[f.which]);
    if (name.empty())
      return {};
    out += shape_of(form, done, f.begin) + name;
    done = f.end;
  }
  out += shape_of(form, done, form.size());
  return out.size() == form.size() ? out : std::string{}; // else a part stood there escaped
}

void stand_ins::add_named(const std::string& name, const std::string& value) {
  if (!may_be_secret(name, value))
    return;
  // Of a URL the password alone: it must stay a URL.
  if (auto password = url_password(value); !password.empty())
    return add_key(password);
  auto space = value.find(' ');
  if (space == std::string::npos)
    return add_key(value);
  add_key(value.substr(space + 1)); // "Bearer x" stays one
  auto scheme = lower(value.substr(0, space));
  if (scheme != "bearer" && scheme != "basic" && scheme != "token")
    add_key(value);
}

void stand_ins::add_config(const backend_config& b, const std::map<std::string, std::string>& variables) {
  auto value_of = [&](const std::string& name) {
    auto i = variables.find(name);
    return i == variables.end() ? std::string{} : i->second;
  };
  auto key = [&](const std::string& value) {
    add_key(value, true);
    auto clean = value;
    if (!clean_key(clean).empty())
      return;
    auto forms = secret_forms(clean); // what is within a key is none
    forms.erase(std::remove_if(forms.begin(), forms.end(), [&](auto& x) { return x.size() <= clean.size() && x != clean; }),
                forms.end());
    add_forms(std::move(forms));
  };
  // First: who adds one again changes nothing.
  for (auto& name : key_names(b))
    key(value_of(name));
  for (auto& name : references_in(b.api_key))
    key(value_of(name));
  each_secret(b, [&](const secret_text& place, const std::string& text) {
    for (auto& s : place.spans) {
      auto said = text.substr(s.begin, s.end - s.begin);
      if (s.quoted)
        said = json_value(said);
      for (auto& name : references_in(said))
        add_forms(secret_forms(std::string{trimmed(value_of(name), " \t\r\n")}));
      if (!s.literal && !place.expanded)
        continue;
      auto forms = secret_forms(said);
      if (said.find('%') != std::string::npos && forms.size() > 1) // what stands in a URL is told as it is meant
        forms.erase(forms.begin());
      add_forms(std::move(forms));
    }
  });
  // What a tool server is told may be anything (secrets::add_variable); a path is none, and a reader needs it.
  auto told = [&](const std::string& text) {
    for (auto& name : references_in(text))
      if (auto value = value_of(name); value.size() >= usual && !secret_words::is_path(value))
        add_key(value);
  };
  for (auto& server : b.mcp_servers) {
    for (auto& word : server.command)
      told(word);
    for (auto* values : {&server.env, &server.headers})
      for (auto& [name, value] : *values)
        told(value);
  }
}

/// Returns `text` with stand-ins that are as long as what stood there, escaped or encoded, as far as that can be. `plain`: where
/// one begins or ends that stood there as it is.
std::string stand_ins::of_same_length(const std::string& text, std::vector<std::size_t>* plain) const {
  std::string out;
  std::size_t done = 0;
  for (auto& f : known_.find_in(text)) {
    auto length = f.end - f.begin;
    auto& name = names_[f.which];
    if (plain != nullptr && f.form == secret_form::plain && length == known_.values()[f.which].size())
      plain->insert(plain->end(), {f.begin, f.end});
    out.append(text, done, f.begin - done);
    out += f.form == secret_form::plain           ? escaped_to(name, length)
           : f.form == secret_form::within_base64 ? std::string(length, 'x')
                                                  : laid_out(name, text.substr(f.begin, length), f.form);
    done = f.end;
  }
  return out.append(text, done);
}

/// What is put in the place of the base64 in which a secret is escaped. It keeps its length, so that what is
/// behind the secret stands there in the same digits.
text_edit stand_ins::in_base64(const std::string& all, const found_secret& there) const {
  auto end = there.word;
  while (end < all.size() && is_base64_digit(all[end]))
    ++end;
  auto digits = std::string_view{all}.substr(there.word, end - there.word);
  std::vector<std::size_t> as_it_is;
  auto now = wire::encode_base64(of_same_length(decoded_base64(digits), &as_it_is));
  now.resize(now.find_last_not_of('=') + 1);
  if (digits.find_first_of("-_") != std::string_view::npos)
    for (auto& c : now)
      c = c == '+' ? '-' : c == '/' ? '_' : c;
  if (now.size() == digits.size())
    for (auto byte : as_it_is) // a digit that others have a part in is not hidden there, and stays
      if (auto digit = 8 * byte / 6; 8 * byte % 6 != 0 && digit < now.size())
        now[digit] = digits[digit];
  if (end < there.end || now == digits) // it goes on in another line
    return {there.begin, there.end, std::string(there.end - there.begin, 'x')};
  return {there.word, end, std::move(now)};
}

void stand_ins::put_in(std::string& text) const {
  put_in({&text});
}

bool stand_ins::put_in(const std::vector<std::string*>& pieces, bool* inexact) const {
  if (known_.empty())
    return false;
  auto all = joined(pieces);
  std::vector<text_edit> edits;
  for (auto& f : known_.find_in(all)) {
    if (!edits.empty() && f.begin < edits.back().end)
      continue; // in the same base64
    auto name = names_[f.which];
    auto there = all.substr(f.begin, f.end - f.begin);
    if (f.form == secret_form::within_base64) {
      while (!edits.empty() && edits.back().begin >= f.word)
        edits.pop_back();
      auto edit = in_base64(all, f);
      if (inexact != nullptr && (edit.begin != f.word || edit.text.size() != edit.end - edit.begin))
        *inexact = true;
      edits.push_back(std::move(edit));
      continue;
    }
    if (f.form != secret_form::plain) { // it is found again where it says the same
      name = laid_out(name, there, f.form);
    } else if (auto& secret = known_.values()[f.which]; there != secret && secret_words::percent_decoded(there) == secret) {
      name = wire::percent_encoded(name);
    } else if (there != secret) {
      name = wire::quote(name); // it stood there escaped
      name = name.substr(1, name.size() - 2);
    }
    edits.push_back({f.begin, f.end, std::move(name)});
  }
  auto any = !edits.empty();
  splice(pieces, all, std::move(edits));
  return any;
}

} // namespace conclave
