// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/finish_reason.hpp"

#include <algorithm>
#include <string>

namespace conclave::wire {

namespace {

struct row {
  std::string_view reason; ///< lower case, without blanks, hyphens and underscores
  ending means;
};

// Sources: the API references of OpenAI, Anthropic, Mistral, DeepSeek, Zhipu, Cohere, Google, AWS Bedrock, IBM watsonx; the sources
// of vLLM, SGLang, TGI, llama.cpp, Ollama and LM Studio; read 2026-11-26. docs/providers.md shows the same table.
constexpr row table[] = {
    {"null", ending::open},
    {"none", ending::open},
    {"notfinished", ending::open},
    {"unspecified", ending::open},

    {"stop", ending::success},
    {"stopped", ending::success},
    {"stopsequence", ending::success},
    {"stopstring", ending::success},
    {"stopstringfound", ending::success},
    {"stoptoken", ending::success},
    {"endturn", ending::success},
    {"endoftext", ending::success},
    {"eos", ending::success},
    {"eostoken", ending::success},
    {"eosfound", ending::success},
    {"eot", ending::success},
    {"end", ending::success},
    {"complete", ending::success},
    {"completed", ending::success},
    {"finished", ending::success},
    {"normal", ending::success},
    {"toolcall", ending::success},
    {"toolcalls", ending::success},
    {"tooluse", ending::success},
    {"functioncall", ending::success},
    {"functioncalls", ending::success},

    {"length", ending::truncated},
    {"maxtokens", ending::truncated},
    {"maxoutputtokens", ending::truncated},
    {"maxlength", ending::truncated},
    {"maxmessages", ending::truncated},
    {"incomplete", ending::truncated},
    {"maxpredictedtokensreached", ending::truncated},
    {"modellength", ending::truncated},
    {"tokenlimit", ending::truncated},
    {"timelimit", ending::truncated},
    {"errorlimit", ending::truncated},
    {"contextlengthreached", ending::truncated},
    {"modelcontextwindowexceeded", ending::truncated},

    {"contentfilter", ending::refused},
    {"contentfiltered", ending::refused},
    {"guardrailintervened", ending::refused},
    {"refusal", ending::refused},
    {"refused", ending::refused},
    {"safety", ending::refused},
    {"imagesafety", ending::refused},
    {"imageprohibitedcontent", ending::refused},
    {"imagerecitation", ending::refused},
    {"modelarmor", ending::refused},
    {"sensitive", ending::refused},
    {"recitation", ending::refused},
    {"blocklist", ending::refused},
    {"prohibitedcontent", ending::refused},
    {"spii", ending::refused},
    {"language", ending::refused},
    {"errortoxic", ending::refused},
    {"biopolicy", ending::refused},
    {"misalignmentpolicyviolation", ending::refused},

    {"error", ending::failed},
    {"failed", ending::failed},
    {"failure", ending::failed},
    {"networkerror", ending::failed},
    {"servererror", ending::failed},
    {"internalerror", ending::failed},
    {"timeout", ending::failed},
    {"abort", ending::failed},
    {"aborted", ending::failed},
    {"cancel", ending::failed},
    {"canceled", ending::failed},
    {"cancelled", ending::failed},
    {"usercancel", ending::failed},
    {"userstopped", ending::failed},
    {"load", ending::failed},
    {"unload", ending::failed},
    {"modelunloaded", ending::failed},
    {"overloaded", ending::failed},
    {"insufficientsystemresource", ending::failed},
    {"repetition", ending::failed},
    {"repetitiontruncation", ending::failed},
    {"other", ending::failed},
    {"imageother", ending::failed},
    {"noimage", ending::failed},

    {"malformedfunctioncall", ending::malformed},
    {"malformedtoolcall", ending::malformed},
    {"malformedtooluse", ending::malformed},
    {"malformedmodeloutput", ending::malformed},
    {"malformedresponse", ending::malformed},
    {"unexpectedtoolcall", ending::malformed},
    {"toomanytoolcalls", ending::malformed},

    {"pauseturn", ending::paused},
    {"compaction", ending::paused},
    {"continuation", ending::paused},
};

ending look_up(std::string_view reason) {
  std::string key;
  for (unsigned char c : reason)
    if (c != '_' && c != '-' && c != ' ')
      key += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  std::string_view bare = key; // some gateways write the name of their enumeration, too: "FinishReason.STOP"
  for (std::string_view type : {"finishreason.", "finishreason"})
    if (bare.starts_with(type))
      bare.remove_prefix(type.size());
  auto i = std::find_if(std::begin(table), std::end(table), [&](auto& r) { return r.reason == bare; });
  return key.empty() ? ending::open : i == std::end(table) ? ending::unknown : i->means;
}

} // namespace

ending read_finish_reason(std::string_view reason) {
  if (reason.size() > 200)
    return ending::unknown;
  auto means = look_up(reason);
  auto colon = reason.find(':'); // Google's compatible endpoint: "content_filter: RECITATION"
  if (means != ending::unknown || colon == std::string_view::npos)
    return means;
  for (auto part : {reason.substr(colon + 1), reason.substr(0, colon)})
    if (means = look_up(part); means != ending::unknown && means != ending::open)
      return means;
  return ending::unknown;
}

} // namespace conclave::wire
