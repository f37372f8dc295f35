// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/key_hints.hpp"

#include "protocols/text.hpp"

#include <sstream>
#include <string_view>
#include <vector>

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
    {"apibase openaibasepath azureopenaibasepath azureopenaiapiendpoint azureopenaiendpoint azureendpoint endpoint endpointurl "
     "apiendpoint apiurl baseurl serverurl",
     "base_url", "azure_endpoint"},
    {"apiversion openaiapiversion azureapiversion azureopenaiapiversion", "api_version", ""},
    {"apikey apitoken", "api_key", ""},
    {"apikeyenvvar apikeyenvvariable apikeyvariable", "api_key_env", ""},
    {"host hostname apihost url uri baseuri inferenceserverurl", "base_url", "azure_endpoint"},
    {"token authtoken accesstoken key openaikey azureopenaikey credentials", "api_key", ""},
    {"resourcename azureopenaiapiinstancename", "base_url", "azure_endpoint"},
    {"modelname modelid", "model", "deployment_name", false},
    {"apitype", "type", "", false},
    {"organization openaiorganization", "extra_headers: {OpenAI-Organization: ...}", "", false},
    {"azureadtoken", "extra_headers: {Authorization: Bearer ...}", ""},
    {"maxoutputtokens maxtokenstosample maxnewtokens numpredict", "max_tokens", "", false},
    {"timeoutseconds requesttimeout requesttimeoutseconds connectiontimeout connectiontimeoutseconds connecttimeout readtimeout "
     "httptimeout calltimeout responsetimeout timeouts timeoutms timeoutsecs",
     "timeout", "", false},
    {"streamtimeout streamidletimeout idletimeout chunktimeout", "idle_timeout_seconds", "", false},
    {"system instructions systeminstruction", "system_message` beside `backend", "", false},
};

/// What one of ours alone does not answer.
struct remark {
  const char* foreign; ///< as above
  const char* text;
};

// Ollama: https://github.com/ollama/ollama/blob/main/docs/openai.md ("Setting the context size"), read 2026-11-27.
constexpr remark remarks[] = {
    {"retry retries maxretries numretries retryattempts maxattempts retrypolicy retrydelay retryconfig",
     "a call is tried again as its server asks, 3 times at most; `failover` beside `backend` says what follows then"},
    {"numctx contextlength contextsize contextwindow maxcontext maxcontexttokens nctx ctxsize",
     "write `context_tokens`, and set the window where the model is served (Ollama: OLLAMA_CONTEXT_LENGTH, or `PARAMETER num_ctx` "
     "of a Modelfile)"},
};

/// Variables of the environment are called so, with a name in front: `groq_api_key`.
constexpr std::string_view endings[] = {"apikey", "baseurl", "apiurl", "apibase", "apitoken", "endpointurl"};

/// What others call the budget of an agent where they describe its model.
constexpr const char* budgets = "budget budgets budgetusd maxbudget maxbudgetusd";

std::string_view without_name(std::string_view word) {
  for (auto ending : endings)
    if (word.ends_with(ending))
      return ending;
  return word;
}

bool holds(const char* words, std::string_view word) {
  std::istringstream in{words};
  for (std::string w; in >> w;)
    if (w == word)
      return true;
  return false;
}

std::string folded(const std::string& key) {
  std::string out;
  for (char c : lower(key))
    if (c != '_' && c != '-')
      out += c;
  return out;
}

const spelling* find_spelling(const std::string& key) {
  auto word = folded(key);
  for (const auto& s : spellings)
    if (holds(s.foreign, without_name(word)))
      return &s;
  return nullptr;
}

/// Returns where else a key of this name stands; empty if nowhere, or in many places.
std::string elsewhere(const key_table& keys, key_scope here, const std::string& name) {
  constexpr std::size_t most = 2;
  std::vector<std::string> places;
  for (const auto& key : keys.rows())
    if (key.scope != here && name == key.name && (key.status == key_status::live || key.status == key_status::parameter))
      places.push_back(key.scope == key_scope::top ? "at the top of the file" : "in " + to_string(key.scope));
  if (places.empty() || places.size() > most)
    return {};
  return "'" + name + "' stands " + places.front() + (places.size() > 1 ? " or " + places.back() : "");
}

} // namespace

key_hint hint_of(const std::string& key, key_scope at, const std::string& type, const key_table& keys) {
  auto in_agent = at == key_scope::backend || at == key_scope::agent || at == key_scope::top;
  if (const auto* s = in_agent ? find_spelling(key) : nullptr) {
    auto ours = std::string{*s->azure != '\0' && type == "azure_openai" ? s->azure : s->ours};
    if (at == key_scope::backend)
      return {"write `" + ours + "`", s->connection};
    return {"write `" + (key == ours || keys.find(key_scope::backend, key) != nullptr ? key : ours) + "` " + "under `"
                + to_string(key_scope::backend) + "`",
            s->connection};
  }
  if (at == key_scope::backend && holds(budgets, folded(key)))
    return {"a `budget` stands at the top of the file or in agents[], beside `backend`", false, true};
  if (at == key_scope::backend)
    for (const auto& r : remarks)
      if (holds(r.foreign, folded(key)))
        return {r.text};
  return {elsewhere(keys, at, key)};
}

} // namespace conclave
