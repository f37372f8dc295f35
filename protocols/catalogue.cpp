// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What backend types mean, which host takes which key, and which model belongs to which type. Types and variables are those
// of MassGen 0.1.0, so that its files mean the same here; `local` and `scripted` are ours. The default models of MassGen 0.1.0 have
// ended since: these are their successors.

#include "protocols/catalogue.hpp"

#include "protocols/config_url.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace conclave {

namespace {

struct host_row {
  const char* suffix;   ///< whole labels at the end of the host name; of several rows the longest counts
  const char* provider; ///< id
  bool has_key = true;  ///< false: anybody may have a server there
};

/// A provider's key goes to that provider's hosts and nowhere else.
constexpr std::array<host_row, 30> hosts = {{
    {"openai.com", "openai"},
    {"anthropic.com", "claude"},
    {"x.ai", "grok"},
    {"generativelanguage.googleapis.com", "gemini"},
    {"cerebras.ai", "cerebras"},
    {"together.xyz", "together"},
    {"together.ai", "together"},
    {"fireworks.ai", "fireworks"},
    {"groq.com", "groq"},
    {"nebius.com", "nebius"},
    {"nebius.ai", "nebius"},
    {"openrouter.ai", "openrouter"},
    {"z.ai", "zai"},
    {"bigmodel.cn", "zhipu"},
    {"moonshot.ai", "moonshot"},
    {"moonshot.cn", "moonshot"},
    {"poe.com", "poe"},
    {"dashscope.aliyuncs.com", "qwen"},
    {"dashscope-intl.aliyuncs.com", "qwen"},
    {"dashscope-us.aliyuncs.com", "qwen"},
    {"mistral.ai", "mistral"},
    {"deepseek.com", "deepseek"},
    {"cohere.ai", "cohere"},
    {"cohere.com", "cohere"},
    {"openai.azure.com", "azure_openai"},
    {"cognitiveservices.azure.com", "azure_openai"},
    {"services.ai.azure.com", "azure_openai"},
    {"huggingface.co", "huggingface"},
    {"ollama.com", "ollama_cloud"},
    {"aliyuncs.com", "qwen", false},
}};

const provider_info* find_provider(std::string_view id) {
  for (const auto& row : providers())
    if (id == row.id)
      return &row;
  return nullptr;
}

/// Which provider's keys go to the hosts of a row; "" = none.
const char* keys_of(const host_row& row) {
  const auto* provider = find_provider(row.provider);
  return row.has_key && provider ? provider->key_env : "";
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> result;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find(',', at), text.size());
    result.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return result;
}

bool ends_with_label(const std::string& host, std::string_view suffix) {
  return host == suffix
         || (host.size() > suffix.size() && host.compare(host.size() - suffix.size(), suffix.size(), suffix) == 0
             && host[host.size() - suffix.size() - 1] == '.');
}

/// Returns the row of a host, or nullptr.
const host_row* find_host(const std::string& host) {
  const host_row* best = nullptr;
  for (const auto& row : hosts)
    if (!host.empty() && ends_with_label(host, row.suffix)
        && (!best || std::string_view{row.suffix}.size() > std::string_view{best->suffix}.size()))
      best = &row;
  return best;
}

/// Prefixes, so that models that came after this table are known too; the first that fits counts.
struct model_row {
  const char* name;
  const char* type;
  bool completion_tokens = false; ///< a reasoning model of OpenAI: takes max_completion_tokens only
};

constexpr std::array<model_row, 12> model_prefixes = {{
    {"gpt-oss", "chatcompletion"}, // open weights: OpenAI does not serve them
    {"gpt-5", "openai", true},
    {"gpt-6", "openai", true},
    {"gpt-", "openai"},
    {"chatgpt-", "openai"},
    {"o1", "openai", true},
    {"o3", "openai", true},
    {"o4", "openai", true},
    {"claude-", "claude"},
    {"gemini-", "gemini"},
    {"grok-", "grok"},
    {"glm-", "zai"},
}};

} // namespace

const std::vector<backend_kind>& backend_kinds() {
  static const std::vector<backend_kind> kinds = {
      {"chatcompletion", "openai_chat", "ChatCompletion", "https://api.openai.com/v1", "OPENAI_API_KEY", ""},
      {"claude", "anthropic", "Claude", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "claude-sonnet-5-5"},
      {"gemini", "gemini", "Gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY,GEMINI_API_KEY",
       "gemini-3.8-flash"},
      {"grok", "openai_chat", "Grok", "https://api.x.ai/v1", "XAI_API_KEY", "grok-4.3"},
      {"zai", "openai_chat", "ZAI", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", "glm-4.5"},
      {"lmstudio", "openai_chat", "LM Studio", "http://localhost:1234/v1", "", "", "lm-studio"},
      {"vllm", "openai_chat", "vLLM", "http://localhost:8000/v1", "VLLM_API_KEY", "", "EMPTY"},
      {"sglang", "openai_chat", "SGLang", "http://localhost:30000/v1", "SGLANG_API_KEY", "", "EMPTY"},
      {"ollama", "openai_chat", "Ollama", "http://localhost:11434/v1", "", "", "ollama"},
      {"local", "local", "Local", "", "", "local"},
      {"scripted", "scripted", "Scripted", "", "", "scripted"},
      {"openai", "openai_responses", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-6-luna"},
      {"azure_openai", "azure_openai", "Azure OpenAI", "", "AZURE_OPENAI_API_KEY", ""},
      {"claude_code", "", "Claude Code", "", "ANTHROPIC_API_KEY", "claude-sonnet-5-5"},
      {"cli", "", "CLI", "", "", ""},
      {"ag2", "", "AG2", "", "", "custom"},
      {"autogen", "", "AG2", "", "", "custom"},
  };
  return kinds;
}

const backend_kind* find_backend_kind(const std::string& type) {
  for (const auto& kind : backend_kinds())
    if (type == kind.type)
      return &kind;
  return nullptr;
}

bool is_available(const backend_kind& kind) {
  return *kind.dialect != '\0';
}

std::string infer_backend_type(const std::string& model) {
  auto name = lower(model);
  for (const auto& row : model_prefixes)
    if (name.starts_with(row.name))
      return row.type;
  return "";
}

std::vector<std::string> key_names(const backend_config& b) {
  if (!b.api_key_env.empty())
    return {b.api_key_env};
  const auto* kind = find_backend_kind(b.type);
  if (!kind || b.type == "local" || b.type == "scripted")
    return {};
  // The user's own servers have no host of their own: their variable names the server, not a provider.
  if (*kind->default_key)
    return split(kind->key_env);
  // Azure resources and CLI programs are reached by settings of their own.
  if (b.base_url.empty() && !*kind->base_url)
    return split(kind->key_env);
  auto host = url_host(b.base_url.empty() ? kind->base_url : b.base_url);
  const auto* row = find_host(host);
  return row ? split(keys_of(*row)) : std::vector<std::string>{};
}

std::string provider_of_host(const std::string& host) {
  const auto* row = find_host(host);
  const auto* provider = row ? find_provider(row->provider) : nullptr;
  return provider ? provider->name : "";
}

const std::vector<provider_info>& providers() {
  static const std::vector<provider_info> rows = {
      {"openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY"},
      {"claude", "Claude", "https://api.anthropic.com", "ANTHROPIC_API_KEY"},
      {"gemini", "Gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY,GEMINI_API_KEY"},
      {"grok", "Grok", "https://api.x.ai/v1", "XAI_API_KEY"},
      {"azure_openai", "Azure OpenAI", "https://RESOURCE.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"},
      {"cerebras", "Cerebras AI", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"},
      {"cohere", "Cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"},
      {"deepseek", "DeepSeek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"},
      {"fireworks", "Fireworks AI", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"},
      {"groq", "Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"},
      {"huggingface", "Hugging Face", "https://router.huggingface.co/v1", "HF_TOKEN"},
      {"mistral", "Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"},
      {"moonshot", "Kimi", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY,KIMI_API_KEY"},
      {"nebius", "Nebius AI Studio", "https://api.tokenfactory.nebius.com/v1", "NEBIUS_API_KEY"},
      {"ollama_cloud", "Ollama", "https://ollama.com/v1", "OLLAMA_API_KEY"},
      {"openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"},
      {"poe", "POE", "https://api.poe.com/v1", "POE_API_KEY"},
      {"qwen", "Qwen", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "QWEN_API_KEY"},
      {"together", "Together AI", "https://api.together.ai/v1", "TOGETHER_API_KEY"},
      {"zai", "ZAI", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"},
      {"zhipu", "ZAI", "https://open.bigmodel.cn/api/paas/v4", "ZAI_API_KEY"},
  };
  return rows;
}

bool is_own_server(std::string_view type) {
  for (std::string_view own : {"lmstudio", "vllm", "sglang", "ollama", "local", "scripted"})
    if (type == own)
      return true;
  return false;
}

std::string provider_id(std::string_view name) {
  auto text = lower(std::string{name});
  if (text == "chatcompletion")
    return "openai"; // its default host
  if (text == "claude_code")
    return "claude";
  if (find_provider(text) || is_own_server(text))
    return text;
  for (const auto& row : providers())
    if (text == lower(row.name))
      return row.id;
  const auto* row = find_host(text);
  return row ? row->provider : text;
}

std::string base_url_of(const backend_config& b) {
  const auto* kind = find_backend_kind(b.type);
  return b.base_url.empty() && kind ? kind->base_url : b.base_url;
}

bool takes_documents_in_chat(std::string_view provider_id) {
  // Sources, read 2026-11-26: https://developers.openai.com/api/docs/guides/file-inputs,
  // https://openrouter.ai/docs/features/multimodal/pdfs.
  return provider_id == "openai" || provider_id == "openrouter";
}

bool is_ollama(const backend_config& b) {
  if (b.type != "chatcompletion")
    return b.type == "ollama";
  auto scheme = b.base_url.find("://");
  auto host = scheme == std::string::npos ? 0 : scheme + 3;
  return b.base_url.substr(0, b.base_url.find_first_of("/?#", host)).ends_with(":11434");
}

std::string provider_of(const backend_config& b) {
  auto host = url_host(base_url_of(b));
  if (const auto* row = find_host(host))
    return row->provider;
  if (is_ollama(b))
    return "ollama";
  if (is_own_server(b.type) || b.base_url.empty())
    return provider_id(b.type);
  return host;
}

namespace {

/// Returns the row of a model at OpenAI's own API, or nullptr.
const model_row* model_of_openai(const std::string& model, const std::string& base_url) {
  for (const auto& row : model_prefixes)
    if (model.starts_with(row.name))
      return row.type == std::string_view{"openai"} && ends_with_label(url_host(base_url), "openai.com") ? &row : nullptr;
  return nullptr;
}

} // namespace

bool wants_completion_tokens(const std::string& model, const std::string& base_url) {
  const auto* row = model_of_openai(model, base_url);
  return row && row->completion_tokens;
}

bool lacks_reasoning(const std::string& model, const std::string& base_url) {
  const auto* row = model_of_openai(model, base_url);
  return row && !row->completion_tokens;
}

std::string key_stranger(const std::string& variable, const std::string& url) {
  auto host = url_host(url);
  std::string home;
  for (const auto& row : hosts) {
    auto keys = split(keys_of(row));
    if (std::find(keys.begin(), keys.end(), variable) == keys.end())
      continue;
    if (ends_with_label(host, row.suffix))
      return "";
    home = home.empty() ? row.suffix : home;
  }
  return home;
}

std::vector<std::string> known_key_names() {
  std::set<std::string> names;
  auto add = [&names](const char* list) {
    for (auto& name : split(list))
      names.insert(std::move(name));
  };
  for (auto& row : providers())
    add(row.key_env);
  for (auto& kind : backend_kinds())
    add(kind.key_env);
  return {names.begin(), names.end()};
}

/// The variables by which the vendors' own libraries are sent elsewhere, by the host they would call otherwise, and what our path
/// has beyond theirs. Sources, read 2026-11-26: openai-python src/openai/_client.py (OPENAI_BASE_URL; OPENAI_API_BASE is its name
/// before 1.0, which LangChain and LiteLLM still read), anthropic-sdk-python src/anthropic/_client.py (ANTHROPIC_BASE_URL),
/// python-genai google/genai/_base_url.py (GOOGLE_GEMINI_BASE_URL; the version follows it), z-ai-sdk-python src/zai/_client.py
/// (ZAI_BASE_URL). xai-sdk-python reads none, LangChain and LiteLLM XAI_API_BASE; XAI_BASE_URL is what many programs call it.
const std::vector<base_variable>& base_variables() {
  static const std::vector<base_variable> rows = {
      {"api.openai.com", "OPENAI_BASE_URL"},
      {"api.openai.com", "OPENAI_API_BASE"},
      {"api.anthropic.com", "ANTHROPIC_BASE_URL"},
      {"api.x.ai", "XAI_BASE_URL"},
      {"api.z.ai", "ZAI_BASE_URL"},
      {"generativelanguage.googleapis.com", "GOOGLE_GEMINI_BASE_URL"},
  };
  return rows;
}

} // namespace conclave
