// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/local_models.hpp"

#include "protocols/wire/json_util.hpp"

#include <nlohmann/json.hpp>

#include <utility>

namespace conclave::wire {

std::vector<std::string> model_names(std::string_view body) {
  constexpr std::size_t most = 1'000, longest = 256;
  std::vector<std::string> out;
  auto root = parse(body);
  if (!root)
    return out;
  for (auto [list, name] : {std::pair{"data", "id"}, {"models", "name"}})
    if (const auto* all = member(*root, list); all != nullptr && all->is_array())
      for (const auto& one : *all)
        if (auto text = string_at(one, name); !text.empty() && text.size() <= longest && out.size() < most)
          out.push_back(text);
  return out;
}

} // namespace conclave::wire
