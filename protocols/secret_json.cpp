// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The judge's way through a JSON text.

#include "protocols/config_expand.hpp"
#include "protocols/secret_words.hpp"
#include "protocols/secrets.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace secret_words {

namespace {

using spans = std::vector<secret_span>;

/// Finds the values in a JSON text whose own name, or that of a member around them, is that of a secret, and what is secret in
/// others. The text is of at most 64 levels.
class json_scan {
public:
  json_scan(std::string_view text, std::size_t offset, secret_place at, spans& out, int depth)
      : text_(text), offset_(offset), out_(out), name_(at.name), header_(at.header || is_header_place(at.name)), depth_(depth) {}

  void run() {
    for (std::size_t i = 0; i < text_.size(); ++i) {
      auto c = text_[i];
      if (c == '{' || c == '[' || c == '}' || c == ']')
        before_ = pair_ = {};
      if (c == '{' || c == '[') {
        around_.push_back(name_);
        members_.push_back(std::exchange(member_, {}));
      } else if ((c == '}' || c == ']') && !around_.empty()) {
        around_.pop_back();
        member_ = std::move(members_.back());
        members_.pop_back();
        name_ = around_.empty() ? "" : around_.back();
      } else if (c == ',') {
        name_ = around_.empty() ? "" : around_.back();
      } else if (c == '"') {
        auto end = string_end(i);
        auto next = text_.find_first_not_of(" \t\r\n", end);
        if (next != std::string::npos && text_[next] == ':')
          take_name(i, end);
        else
          string(i, end);
        i = end - 1;
      } else if (c == '-' || (c >= '0' && c <= '9')) {
        auto end = std::min(text_.find_first_not_of("0123456789+-.eE", i), text_.size());
        if (is_named(name_, part(i, end)))
          out_.push_back({name_, offset_ + i, offset_ + end, true, true, path()});
        i = end - 1;
      }
    }
  }

private:
  std::string_view part(std::size_t begin, std::size_t end) const { return text_.substr(begin, end - begin); }

  std::size_t string_end(std::size_t i) const {
    for (++i; i < text_.size() && text_[i] != '"'; ++i)
      i += text_[i] == '\\' ? 1 : 0;
    return std::min(i + 1, text_.size());
  }

  std::string path() const {
    std::string out;
    for (const auto& m : members_)
      out += m.empty() ? m : m + ".";
    out += member_;
    return out.ends_with('.') ? out.substr(0, out.size() - 1) : out;
  }

  // A name inside of a secret's object stays the secret's: {"api_key": {"value": "..."}}.
  void take_name(std::size_t begin, std::size_t end) {
    auto inside = !around_.empty() && names_a_secret(around_.back());
    member_ = json_value(part(begin, end));
    name_ = inside ? around_.back() : member_;
    if (name_ == "value" && !pair_.empty()) // {"name": "X-Api-Key", "value": "..."}
      name_ = pair_;
    before_ = {};
  }

  void string(std::size_t begin, std::size_t end) {
    auto meant = json_value(part(begin, end));
    auto option = before_.starts_with('-') && !meant.starts_with('-'); // ["--token", "..."]
    auto header = header_ || (!around_.empty() && is_header_place(around_.back()))
                  || (option && (before_ == "-H" || is_header_place(before_)));
    auto name = option && names_a_secret(before_) && !names_a_secret(name_) ? before_ : name_;
    before_ = meant;
    if (name_ == "name" || name_ == "header")
      pair_ = meant;
    spans within;
    judge_text({name, header}, meant, within, depth_);
    if (within.empty())
      return;
    auto whole = within.size() == 1 && within[0].begin == 0 && within[0].end == meant.size();
    if (whole || part(begin, end).find('\\') != std::string_view::npos) { // what is escaped is not told apart
      out_.push_back({name, offset_ + begin, offset_ + end, is_literal_secret(meant), true, path()});
      return;
    }
    for (auto& s : within) {
      s.begin += offset_ + begin + 1;
      s.end += offset_ + begin + 1;
      s.path = path() + (!s.path.empty() ? "." + s.path : s.name == name ? "" : "." + s.name);
      out_.push_back(std::move(s));
    }
  }

  std::string_view text_;
  std::size_t offset_;
  spans& out_;
  std::vector<std::string> around_;
  std::vector<std::string> members_; ///< that it stands in
  std::string member_;
  std::string name_;
  std::string before_; ///< the string in front of it in an array
  std::string pair_;   ///< of an object of a name and a value
  bool header_;
  int depth_;
};

} // namespace

void judge_json(std::string_view text, std::size_t offset, const secret_place& at, spans& out, int depth) {
  json_scan{text, offset, at, out, depth}.run();
}

} // namespace secret_words

std::string json_value(std::string_view raw) {
  if (raw.size() > 1 && raw.front() == '"' && raw.find('\\') == std::string_view::npos)
    return std::string{raw.substr(1, raw.size() - 2)};
  std::string out;
  return wire::get("{\"x\":" + std::string{raw} + "}", "x", out) ? out : std::string{raw};
}

} // namespace conclave
