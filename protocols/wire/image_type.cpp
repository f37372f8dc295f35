// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/image_type.hpp"

#include <string_view>

namespace conclave::wire {

const char* image_type(const content_part& p) {
  struct kind {
    std::string_view first; ///< in base64
    const char* type;
  };
  static constexpr kind kinds[] = {{"iVBORw0KGgo", "image/png"},
                                   {"/9j/", "image/jpeg"},
                                   {"R0lGODdh", "image/gif"},
                                   {"R0lGODlh", "image/gif"},
                                   {"UklGR", "image/webp"}};
  if (p.kind == content_kind::image || p.kind == content_kind::resource)
    for (auto& k : kinds)
      if (p.data.starts_with(k.first))
        return k.type;
  return nullptr;
}

} // namespace conclave::wire
