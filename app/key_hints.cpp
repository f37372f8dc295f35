// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/key_hints.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <sstream>
#include <string_view>

namespace conclave {

namespace {

struct spelling {
  const char* foreign; ///< space separated; lower case, without '_' and '-'
  const char* ours;
  const char* azure; ///< as Azure's users call it, which is taken there; "" = as ours
  bool connection = true;
};

// As other clients call them, read 2026-11-27: https://reference.langchain.com/javascript/langchain-openai/OpenAIEndpointConfig,
// langchain/chat_models/azure_openai.py (`azure_deployment`, `openai_api_version`, `openai_api_base`),
// https://developers.llamaindex.ai/python/framework-api-reference/llms/azure_openai (`engine`),
// https://hadley.github.io/elmer/reference/chat_azure.html (`endpoint`, `deployment_id`).
constexpr spelling spellings[] = {
    {"azuredeployment azuredeploymentname azureopenaiapideploymentname azureopenaideployment azureopenaideploymentname "
     "azureopenaichatdeploymentname deployment "
     "deploymentid deploymentname engine",
     "model", "deployment_name"},
    {"apibase apibaseurl openaibasepath azureopenaibasepath azureopenaiapiendpoint openaiapibase openaibaseurl azureapibase "
     "azureopenaiapibase azureopenaiendpoint azureendpoint endpoint "
     "endpointurl apiendpoint apiurl baseurl serverurl",
     "base_url", "azure_endpoint"},
    {"apiversion openaiapiversion azureapiversion azureopenaiapiversion", "api_version", ""},
    {"apikey openaiapikey azureapikey azureopenaiapikey anthropicapikey googleapikey geminiapikey apitoken", "api_key", ""},
    {"apikeyenvvar apikeyenvvariable apikeyvariable", "api_key_env", ""},
    {"apitype", "type", "", false},
    {"organization openaiorganization", "extra_headers: {OpenAI-Organization: ...}", "", false},
    {"azureadtoken", "extra_headers: {Authorization: Bearer ...}", ""},
    {"maxoutputtokens maxtokenstosample maxnewtokens numpredict", "max_tokens", "", false},
    {"timeoutseconds requesttimeout requesttimeoutseconds", "timeout", "", false},
    {"system instructions systeminstruction", "system_message` beside `backend", "", false},
};

std::string folded(const std::string& key) {
  std::string out;
  for (char c : lower(key))
    if (c != '_' && c != '-')
      out += c;
  return out;
}

const spelling* find_spelling(const std::string& key) {
  auto wanted = folded(key);
  for (const auto& s : spellings) {
    std::istringstream in{s.foreign};
    for (std::string word; in >> word;)
      if (word == wanted)
        return &s;
  }
  return nullptr;
}

std::string place_of(key_scope scope) {
  return scope == key_scope::top ? "at the top level" : "under `" + to_string(scope) + "`";
}

} // namespace

key_hint hint_of(const std::string& key, key_scope at, const std::string& type, const key_table& keys) {
  auto in_agent = at == key_scope::backend || at == key_scope::agent || at == key_scope::top;
  if (const auto* s = in_agent ? find_spelling(key) : nullptr) {
    auto ours = std::string{*s->azure != '\0' && type == "azure_openai" ? s->azure : s->ours};
    if (at == key_scope::backend)
      return {"write `" + ours + "`", s->connection};
    return {"write `" + (key == ours || keys.find(key_scope::backend, key) != nullptr ? key : ours) + "` "
                + place_of(key_scope::backend),
            s->connection};
  }
  for (auto scope : {key_scope::backend, key_scope::agent, key_scope::orchestrator, key_scope::coordination,
                     key_scope::timeout_settings, key_scope::ui, key_scope::top})
    if (scope != at && keys.find(scope, key) != nullptr)
      return {"it stands " + place_of(scope), false};
  return {};
}

} // namespace conclave
