// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What refusals say about images in tool results: of the model, that it takes none; or of one image, that it cannot be used. The
// first is a lesson, the second is none: the next image may be a good one.

#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/quirks.hpp"
#include "protocols/wire/refusal.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

bool shows_images(const json& body) {
  auto any = [](const json* list, auto fits) {
    return list != nullptr && list->is_array() && std::any_of(list->begin(), list->end(), fits);
  };
  if (auto* contents = member(body, "contents");
      contents != nullptr && contents->is_array()) { // Gemini; files of a question stand before
    auto answers = [](const json& part) { return member(part, "functionResponse") != nullptr; };
    auto first = std::find_if(contents->begin(), contents->end(), [&](const json& c) { return any(member(c, "parts"), answers); });
    return std::any_of(first, contents->end(), [](const json& c) { return dump(c).find("\"inlineData\":") != std::string::npos; });
  }
  auto is_image = [](const json& part) { return string_at(part, "type") == "image" || string_at(part, "type") == "input_image"; };
  return any(member(body, "messages"),
             [&](const json& m) {
               return any(member(m, "content"), [&](const json& block) { return any(member(block, "content"), is_image); });
             })
         || any(member(body, "input"), [&](const json& item) { return any(member(item, "output"), is_image); });
}

/// Its bytes, its type, its size, or how many there are.
bool blames_an_image(std::string_view text) {
  if (says(text, {"at most 0 image", "0 image(s) may", "maximum of 0 image", "max 0 image"}))
    return false;
  return says(text, {"media type",
                     "media_type",
                     "media-type",
                     "mime",
                     "content type of",
                     "image type",
                     "image format",
                     "format of the image",
                     "formats",
                     "file type",
                     "file format",
                     "unsupported image",
                     "exceed",
                     "larger than",
                     "smaller than",
                     "too large",
                     "too big",
                     "too small",
                     "too long",
                     "too many",
                     "at most",
                     "at least",
                     "maximum",
                     "max allowed",
                     "limit",
                     "dimension",
                     "pixel",
                     "resolution",
                     "aspect ratio",
                     "process image",
                     "process the image",
                     "process this image",
                     "process input image",
                     "processing image",
                     "processing the image",
                     "read image",
                     "read the image",
                     "load image",
                     "load the image",
                     "open image",
                     "open the image",
                     "parse image",
                     "parse the image",
                     "identify image",
                     "decod",
                     "corrupt",
                     "malformed",
                     "damaged",
                     "invalid image",
                     "image is invalid",
                     "image is not valid",
                     "invalid data",
                     "image data",
                     "valid image",
                     "valid png",
                     "valid jpeg",
                     "valid jpg",
                     "valid gif",
                     "valid webp",
                     "image/",
                     "this image",
                     "your image",
                     "image you",
                     "provided image",
                     "uploaded",
                     "base64",
                     "truncated",
                     "empty",
                     "unsafe",
                     "policy"});
}

/// The model has no eyes, or the server knows no images at this place.
bool takes_no_images(std::string_view text) {
  if (says(text, {"expected a string", "expected string", "valid string", "must be a string", "should be a string", "only text",
                  "only supports text", "text only", "text-only", "expected `text`", "expected \"text\"", "expected 'text'",
                  "expected tags: 'text'"}))
    return true;
  return says(text, {"image", "vision", "multimodal", "multi-modal", "multi modal", "modality", "modalities", "mmproj"})
         && says(text, {"not support",
                        "n't support",
                        "unsupported",
                        "no support",
                        "only supported",
                        "not accept",
                        "n't accept",
                        "not take",
                        "n't take",
                        "not enabled",
                        "not implemented",
                        "not a multimodal",
                        "not a multi-modal",
                        "not a multi modal",
                        "not a vision",
                        "not multimodal",
                        "not multi-modal",
                        "no endpoints",
                        "unknown variant",
                        "unknown part type",
                        "not permitted",
                        "not match any of the expected",
                        "not have vision",
                        "no vision",
                        "n't have vision",
                        "without vision",
                        "missing data required for image",
                        "images are not allowed",
                        "cannot see",
                        "can't see",
                        "not able to see",
                        "cannot handle images",
                        "lacks vision",
                        "0 image"});
}

} // namespace

std::string learn_images(quirks& known, const refusal& r) {
  if (known.no_images || blames_an_image(r.text) || !takes_no_images(r.text) || !shows_images(r.body))
    return {};
  known.no_images = true;
  return "images in tool results are told as text";
}

bool is_about_images(const std::string& said) {
  return says(lower(said), {"image", "picture", "media type", "media_type", "media-type", "mime", "base64", "vision", "multimodal",
                            "multi-modal", "modality", "pixel"});
}

} // namespace conclave::wire
