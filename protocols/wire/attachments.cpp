// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/attachments.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/catalogue_models.hpp"
#include "protocols/config_url.hpp"
#include "protocols/text.hpp"

#include <algorithm>

namespace conclave::wire {

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr const char* pdf = "application/pdf";

/// What an API takes inside a request, in bytes of the file.
struct file_bounds {
  const char* dialect;
  std::uint64_t image, document; ///< of one; 0 = none are taken
  std::uint64_t encoded;         ///< of all together, as base64
  bool gif;
};

// Sources, read 2026-11-26. Anthropic: https://docs.anthropic.com/en/docs/build-with-claude/vision (the four types, 5 MB an image),
// .../pdf-support (32 MB a request; some room is left for its texts). OpenAI:
// https://developers.openai.com/api/docs/guides/file-inputs and .../images-vision (50 MB of files a request, 20 MB an image; of
// documents Chat Completions takes PDF alone). Gemini: https://ai.google.dev/gemini-api/docs/file-input-methods and
// .../image-understanding (100 MB a request, 50 MB a PDF; no GIF).
constexpr file_bounds bounds[] = {
    {"anthropic", 5 * mib, 23 * mib, 31'000'000, true},
    {"openai_chat", 20 * mib, 32 * mib, 50'000'000, true},
    {"openai_responses", 20 * mib, 32 * mib, 50'000'000, true},
    {"gemini", 20 * mib, 32 * mib, 90'000'000, false},
    {"azure_openai", 20 * mib, 32 * mib, 50'000'000, true},
    {"scripted", 32 * mib, 32 * mib, 50'000'000, true}, // looks at nothing
};

std::string size_text(std::uint64_t n) {
  return n % mib == 0 ? std::to_string(n / mib) + " MiB" : std::to_string(n) + " bytes";
}

std::string unfit(const backend_config& b, const file_bounds& most, const model_traits& can, const attachment& a) {
  auto is_pdf = a.media_type == pdf;
  auto name = "'" + shown_text(a.name, 200) + "' ";
  auto host = url_host(base_url_of(b));
  if (can.images == trait::no && (!is_pdf || can.documents != trait::yes))
    return name + "cannot be shown to the model " + shown_text(b.model) + ": it takes text alone";
  if (is_pdf && can.documents == trait::no)
    return name + "is a PDF, and " + shown_text(host.empty() ? b.type : host)
           + " is not known to take documents: extract its text (pdftotext) and add that";
  if (a.media_type == "image/gif" && !most.gif)
    return name + "is a GIF, which this API does not take: convert it to PNG";
  auto limit = is_pdf ? most.document : most.image;
  if (a.bytes > limit)
    return name + "has " + std::to_string(a.bytes) + " bytes, and this API takes " + (is_pdf ? "a PDF" : "an image") + " of "
           + size_text(limit) + " at most: make it smaller";
  return {};
}

std::string data_url(const content_part& p) {
  return "data:" + p.media_type + ";base64," + p.data;
}

/// What a document is called where a name is wanted: without the folders, and ending as its type does.
std::string file_name(const content_part& p) {
  auto name = p.text.substr(std::min(p.text.size(), p.text.find_last_of('/') + 1));
  name = name.substr(0, name.find_first_of("?#"));
  return name.empty() || p.text.starts_with("data:") ? "document.pdf" : name.ends_with(".pdf") ? name : name + ".pdf";
}

/// Readers take a PDF whose header stands anywhere in its first 1,024 bytes, behind a byte order mark or what a printer wants: PDF
/// Reference 1.4, H.3, note on 3.4.1, as told at https://blog.idrsolutions.com/how-to-identify-a-pdf-file, read 2026-11-27. There
/// its end must be one as well: a text may speak of PDF.
bool is_pdf(std::string_view bytes) {
  constexpr std::size_t room = 1'024;
  if (bytes.starts_with("%PDF-"))
    return true;
  auto tail = bytes.substr(bytes.size() - std::min(bytes.size(), room));
  return bytes.substr(0, room).find("%PDF-") != std::string_view::npos && tail.find("%%EOF") != std::string_view::npos;
}

template <class File>
json content(const message& m, File file, const char* text_type) {
  auto out = json::array();
  for (auto& p : m.parts)
    out.push_back(file(p));
  if (!is_blank(m.text))
    out.push_back({{"type", text_type}, {"text", m.text}});
  return out;
}

} // namespace

std::string file_type(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1A\n"))
    return "image/png";
  if (bytes.starts_with("\xFF\xD8\xFF"))
    return "image/jpeg";
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a"))
    return "image/gif";
  if (bytes.starts_with("RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP")
    return "image/webp";
  return is_pdf(bytes) ? pdf : "";
}

std::string other_type(std::string_view bytes) {
  auto riff = bytes.starts_with("RIFF") && bytes.size() >= 12 ? bytes.substr(8, 4) : std::string_view{};
  auto brand = bytes.size() >= 12 && bytes.substr(4, 4) == "ftyp" ? bytes.substr(8, 4) : std::string_view{};
  if (riff == "WAVE" || bytes.starts_with("ID3") || bytes.starts_with("fLaC") || bytes.starts_with("OggS") || brand == "M4A "
      || bytes.starts_with("\xFF\xFB") || bytes.starts_with("\xFF\xF3") || bytes.starts_with("\xFF\xF1"))
    return "a sound";
  if (brand == "heic" || brand == "heix" || brand == "mif1" || brand == "avif" || bytes.starts_with("II*\0")
      || bytes.starts_with("MM\0*") || bytes.starts_with("BM"))
    return "an image of a type that few models take: convert it to PNG or JPEG";
  if (riff == "AVI " || !brand.empty() || bytes.starts_with("\x1A\x45\xDF\xA3"))
    return "a film";
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("\xD0\xCF\x11\xE0"))
    return "an archive, or an office document";
  return {};
}

std::string encode_base64(std::string_view bytes) {
  static constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    auto at = [&](std::size_t k) { return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u; };
    auto bits = at(0) << 16 | at(1) << 8 | at(2);
    for (int k = 3; k >= 0; --k)
      out += digits[bits >> (6 * k) & 63];
  }
  for (auto k = (3 - bytes.size() % 3) % 3; k > 0; --k)
    out[out.size() - k] = '=';
  return out;
}

std::string unfit(const backend_config& b, const std::vector<const attachment*>& files, const std::vector<model_row>& own) {
  if (files.empty())
    return {};
  auto* kind = find_backend_kind(b.type);
  auto most = std::find_if(std::begin(bounds), std::end(bounds),
                           [&](auto& x) { return kind != nullptr && x.dialect == std::string_view(kind->dialect); });
  auto name = "'" + shown_text(files.front()->name, 200) + "' ";
  if (most == std::end(bounds))
    return name + "cannot be shown to a model of type '" + shown_text(b.type) + "': it takes text alone";
  auto can = traits_of(b, own);
  std::uint64_t all = 0, encoded = 0;
  for (auto* a : files) {
    if (auto why = unfit(b, *most, can, *a); !why.empty())
      return why;
    all += a->bytes;
    encoded += (a->bytes + 2) / 3 * 4;
  }
  if (files.size() > max_attachments)
    return "there are " + std::to_string(files.size()) + " files, at most " + std::to_string(max_attachments)
           + " go with a question";
  if (all > max_attached || encoded > most->encoded)
    return "the files have " + std::to_string(all) + " bytes together, and this API takes "
           + size_text(std::min(max_attached, most->encoded / 4 * 3)) + " in one request at most: leave some out";
  return {};
}

json chat_content(const message& m) {
  if (m.parts.empty())
    return m.text;
  auto file = [](const content_part& p) -> json {
    if (p.media_type == pdf)
      return {{"type", "file"}, {"file", {{"filename", file_name(p)}, {"file_data", data_url(p)}}}};
    return {{"type", "image_url"}, {"image_url", {{"url", data_url(p)}}}};
  };
  return content(m, file, "text");
}

json responses_content(const message& m) {
  if (m.parts.empty())
    return m.text;
  auto file = [](const content_part& p) -> json {
    if (p.media_type == pdf)
      return {{"type", "input_file"}, {"filename", file_name(p)}, {"file_data", data_url(p)}};
    return {{"type", "input_image"}, {"image_url", data_url(p)}, {"detail", "auto"}};
  };
  return content(m, file, "input_text");
}

json anthropic_content(const message& m) {
  auto file = [](const content_part& p) -> json {
    json source = {{"type", "base64"}, {"media_type", p.media_type}, {"data", p.data}};
    return {{"type", p.media_type == pdf ? "document" : "image"}, {"source", std::move(source)}};
  };
  return content(m, file, "text");
}

json gemini_parts(const message& m) {
  auto out = json::array();
  for (auto& p : m.parts)
    out.push_back({{"inlineData", {{"mimeType", p.media_type}, {"data", p.data}}}});
  if (!is_blank(m.text))
    out.push_back({{"text", m.text}});
  return out;
}

} // namespace conclave::wire
