// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: which images of tool results are shown to a model.

#include "protocols/chat.hpp"

namespace conclave::wire {

/// Returns the type of an image by its first bytes (PNG, JPEG, GIF, WebP): an image called by a wrong name is refused with the
/// whole request. nullptr for anything else.
const char* image_type(const content_part& p);

} // namespace conclave::wire
