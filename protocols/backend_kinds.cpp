// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What backend types mean, which host takes which key, and which model belongs to which type. Types, variables and default models
// are those of MassGen 0.1.0, so that its files mean the same here; `local` and `scripted` are ours.

#include "protocols/config.hpp"
#include "protocols/key_route.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace conclave {

namespace {

struct host_row {
  const char* suffix; ///< whole labels at the end of the host name
  const char* keys;
};

/// A provider's key goes to that provider's hosts and nowhere else.
constexpr std::array<host_row, 26> hosts = {{
    {"openai.com", "OPENAI_API_KEY"},
    {"anthropic.com", "ANTHROPIC_API_KEY"},
    {"x.ai", "XAI_API_KEY"},
    {"generativelanguage.googleapis.com", "GOOGLE_API_KEY,GEMINI_API_KEY"},
    {"cerebras.ai", "CEREBRAS_API_KEY"},
    {"together.xyz", "TOGETHER_API_KEY"},
    {"together.ai", "TOGETHER_API_KEY"},
    {"fireworks.ai", "FIREWORKS_API_KEY"},
    {"groq.com", "GROQ_API_KEY"},
    {"nebius.com", "NEBIUS_API_KEY"},
    {"nebius.ai", "NEBIUS_API_KEY"},
    {"openrouter.ai", "OPENROUTER_API_KEY"},
    {"z.ai", "ZAI_API_KEY"},
    {"bigmodel.cn", "ZAI_API_KEY"},
    {"moonshot.ai", "MOONSHOT_API_KEY,KIMI_API_KEY"},
    {"moonshot.cn", "MOONSHOT_API_KEY,KIMI_API_KEY"},
    {"poe.com", "POE_API_KEY"},
    {"dashscope.aliyuncs.com", "QWEN_API_KEY"},
    {"dashscope-intl.aliyuncs.com", "QWEN_API_KEY"},
    {"dashscope-us.aliyuncs.com", "QWEN_API_KEY"},
    {"mistral.ai", "MISTRAL_API_KEY"},
    {"deepseek.com", "DEEPSEEK_API_KEY"},
    {"openai.azure.com", "AZURE_OPENAI_API_KEY"},
    {"cognitiveservices.azure.com", "AZURE_OPENAI_API_KEY"},
    {"huggingface.co", "HF_TOKEN"},
    {"ollama.com", "OLLAMA_API_KEY"},
}};

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

std::string lowered(std::string text) {
  for (auto& c : text)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// Prefixes, so that models that came after this table are known too.
struct model_row {
  const char* name;
  const char* type;
};

constexpr std::array<model_row, 9> model_prefixes = {{
    {"gpt-", "openai"},
    {"chatgpt-", "openai"},
    {"o1", "openai"},
    {"o3", "openai"},
    {"o4", "openai"},
    {"claude-", "claude"},
    {"gemini-", "gemini"},
    {"grok-", "grok"},
    {"glm-", "zai"},
}};

} // namespace

const std::vector<backend_kind>& backend_kinds() {
  static const std::vector<backend_kind> kinds = {
      {"chatcompletion", "openai_chat", "ChatCompletion", "https://api.openai.com/v1", "OPENAI_API_KEY", ""},
      {"claude", "anthropic", "Claude", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "claude-sonnet-4-20250514"},
      {"grok", "openai_chat", "Grok", "https://api.x.ai/v1", "XAI_API_KEY", "grok-4"},
      {"zai", "openai_chat", "ZAI", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", "glm-4.5"},
      {"lmstudio", "openai_chat", "LM Studio", "http://localhost:1234/v1", "", "", "lm-studio"},
      {"vllm", "openai_chat", "vLLM", "http://localhost:8000/v1", "VLLM_API_KEY", "", "EMPTY"},
      {"sglang", "openai_chat", "SGLang", "http://localhost:30000/v1", "SGLANG_API_KEY", "", "EMPTY"},
      {"ollama", "openai_chat", "Ollama", "http://localhost:11434/v1", "", "", "ollama"},
      {"local", "local", "Local", "", "", "local"},
      {"scripted", "scripted", "Scripted", "", "", "scripted"},
      {"openai", "", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-4o"},
      {"gemini", "", "Gemini", "https://generativelanguage.googleapis.com/v1beta", "GOOGLE_API_KEY,GEMINI_API_KEY",
       "gemini-2.5-flash"},
      {"azure_openai", "", "Azure OpenAI", "", "AZURE_OPENAI_API_KEY", "gpt-4o"},
      {"claude_code", "", "Claude Code", "", "ANTHROPIC_API_KEY", "claude-sonnet-4-5-20250929"},
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
  auto name = lowered(model);
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
  const host_row* best = nullptr;
  for (const auto& row : hosts)
    if (!host.empty() && ends_with_label(host, row.suffix)
        && (!best || std::string_view{row.suffix}.size() > std::string_view{best->suffix}.size()))
      best = &row;
  return best ? split(best->keys) : std::vector<std::string>{};
}

std::string key_stranger(const std::string& variable, const std::string& url) {
  auto host = url_host(url);
  std::string home;
  for (const auto& row : hosts) {
    auto keys = split(row.keys);
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
  for (auto& row : hosts)
    add(row.keys);
  for (auto& kind : backend_kinds())
    add(kind.key_env);
  return {names.begin(), names.end()};
}

} // namespace conclave
