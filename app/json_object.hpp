// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include "protocols/wire/json.hpp"

#include <cstdint>
#include <string>

namespace conclave {

/// A JSON object under construction. Values are given as JSON text; names of agents are untrusted and quoted.
class json_object {
public:
  json_object& add(const std::string& key, const std::string& json) {
    text_ += (text_.empty() ? "" : ", ") + wire::quote(key) + ": " + json;
    return *this;
  }
  json_object& text(const std::string& key, const std::string& value) { return add(key, wire::quote(value)); }
  json_object& number(const std::string& key, std::int64_t n) { return add(key, std::to_string(n)); }
  json_object& flag(const std::string& key, bool b) { return add(key, b ? "true" : "false"); }
  std::string str() const { return "{" + text_ + "}"; }

private:
  std::string text_;
};

} // namespace conclave
