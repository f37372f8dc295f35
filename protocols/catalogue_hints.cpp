// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Addresses of APIs that speak Chat Completions. Sources, read 2026-11-26 in stored copies, no server was called: the provider.toml
// files of models.dev (of 2026-07), providers of LiteLLM, aisuite, Portkey's gateway and Vercel's AI SDK, and excerpts of the pages
// of Together, Nebius, Cohere, NVIDIA, DeepInfra, Featherless, SiliconFlow, Cloudflare, Baidu, Tencent, Amazon, TGI, LocalAI,
// KoboldCpp, tabbyAPI and text-generation-webui. Only by what others write: Novita and MiniMax (promptfoo, rig), Databricks,
// Vertex, and the ports of LiteLLM and llama.cpp. VERTEX_ACCESS_TOKEN is our name: Google's libraries fetch that token themselves.
// Keys are bound to hosts in catalogue.cpp; a variable stands here only where no key is bound to the host.

#include "protocols/catalogue.hpp"
#include "protocols/spelling.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

namespace conclave {

namespace {

/// A server that speaks Chat Completions.
struct server_row {
  const char* names; ///< space separated, folded
  const char* title;
  const char* base_url; ///< or the id of a provider (protocols/catalogue.cpp), which has one
  const char* key;      ///< variable to name in api_key_env; "" = bound to the host, or none is needed
};

constexpr std::array<server_row, 38> servers = {{
    {"groq groqcloud", "Groq", "groq", ""},
    {"openrouter", "OpenRouter", "openrouter", ""},
    {"together togetherai", "Together", "together", ""},
    {"fireworks fireworksai", "Fireworks", "fireworks", ""},
    {"mistral mistralai", "Mistral", "mistral", ""},
    {"deepseek", "DeepSeek", "deepseek", ""},
    {"cerebras", "Cerebras", "cerebras", ""},
    {"nebius nebiusai", "Nebius", "nebius", ""},
    {"moonshot moonshotai kimi", "Moonshot", "moonshot", ""},
    {"qwen dashscope alibaba aliyun tongyi", "Qwen", "qwen", ""},
    {"poe", "Poe", "poe", ""},
    {"huggingface hf hfinference", "Hugging Face", "huggingface", ""},
    {"ollamacloud", "Ollama's cloud", "ollama_cloud", ""},
    {"cohere", "Cohere", "cohere", ""},
    {"nvidia nim nvidianim", "NVIDIA", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY"},
    {"sambanova", "SambaNova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"},
    {"deepinfra", "DeepInfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"},
    {"novita novitaai", "Novita", "https://api.novita.ai/openai/v1", "NOVITA_API_KEY"},
    {"hyperbolic", "Hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"},
    {"siliconflow", "SiliconFlow", "https://api.siliconflow.cn/v1", "SILICONFLOW_API_KEY"},
    {"minimax", "MiniMax", "https://api.minimax.io/v1", "MINIMAX_API_KEY"},
    {"cloudflare workersai cloudflareworkersai", "Cloudflare", "https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1",
     "CLOUDFLARE_API_TOKEN"},
    {"baseten", "Baseten", "https://inference.baseten.co/v1", "BASETEN_API_KEY"},
    {"featherless featherlessai", "Featherless", "https://api.featherless.ai/v1", "FEATHERLESS_API_KEY"},
    {"vercel vercelai aigateway", "Vercel's gateway", "https://ai-gateway.vercel.sh/v1", "AI_GATEWAY_API_KEY"},
    {"stepfun", "StepFun", "https://api.stepfun.com/v1", "STEPFUN_API_KEY"},
    {"doubao volcengine ark bytedance", "Volcengine Ark", "https://ark.cn-beijing.volces.com/api/v3", "ARK_API_KEY"},
    {"baidu qianfan ernie", "Baidu Qianfan", "https://qianfan.baidubce.com/v2", "QIANFAN_API_KEY"},
    {"hunyuan tencent tokenhub", "Tencent TokenHub", "https://tokenhub.tencentmaas.com/v1", "TENCENT_TOKENHUB_API_KEY"},
    {"databricks", "Databricks", "https://WORKSPACE/serving-endpoints", "DATABRICKS_TOKEN"},
    {"bedrock aws amazon awsbedrock amazonbedrock", "Amazon Bedrock", "https://bedrock-runtime.REGION.amazonaws.com/openai/v1",
     "AWS_BEARER_TOKEN_BEDROCK"},
    {"vertex vertexai googlevertex googlevertexai", "Vertex AI",
     "https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION/endpoints/openapi", "VERTEX_ACCESS_TOKEN"},
    {"litellm litellmproxy", "a LiteLLM proxy", "http://localhost:4000/v1", ""},
    {"llamacpp llamaserver llamafile ggml llama llamacppserver", "a llama.cpp server", "http://localhost:8080/v1", ""},
    {"localai", "LocalAI", "http://localhost:8080/v1", ""},
    {"tgi textgenerationinference", "text-generation-inference", "http://localhost:8080/v1", ""},
    {"textgenerationwebui textgenwebui oobabooga tabbyapi", "that server", "http://localhost:5000/v1", ""},
    {"koboldcpp kobold", "KoboldCpp", "http://localhost:5001/v1", ""},
}};

/// Another name of a type of ours, or of something that is reached by none.
struct name_row {
  const char* names; ///< space separated, folded
  const char* type;  ///< ours, "" = none
  const char* text;  ///< without a type: why, and what to do
};

constexpr std::array<name_row, 15> other_names = {{
    {"anthropic anthropicai anthropicclaude claudeapi claudeai sonnet opus haiku", "claude", ""},
    {"openairesponses openaiapi openairesponsesapi responses responsesapi", "openai", ""},
    {"openaichat openaicompatible openaicompat openaicompletions openaichatcompletions gpt gpt4 gpt4o gpt5 chatgpt chat "
     "completion completions chatcompletions oai compatible custom",
     "chatcompletion", ""},
    {"google googleai googlegenai googlegemini geminiai genai aistudio googleaistudio palm", "gemini", ""},
    {"xai grokai xaigrok", "grok", ""},
    {"zhipu zhipuai glm bigmodel chatglm zaiapi", "zai", ""},
    {"lms lmstudioserver", "lmstudio", ""},
    {"ollamalocal ollamaserver", "ollama", ""},
    {"vllmserver openaivllm", "vllm", ""},
    {"azure azureai azurefoundry foundry", "azure_openai", ""},
    {"gguf localmodel", "local", ""},
    {"codex codexcli geminicli copilot githubcopilot copilotcli claudecli cursor aider opencode antigravity antigravitycli", "",
     "programs that are agents themselves are not available yet; ask the model behind it by its own type"},
    {"langchain langgraph crewai autogen agentscope smolagents openaiassistant openaiassistants llamaindex dspy", "",
     "agents of other frameworks are not available yet; ask the model behind it by its own type"},
    {"github githubmodels", "", "GitHub Models ended in July 2026; ask the model by the type or address of its maker"},
    {"perplexity perplexityai pplx", "", "Perplexity ended Chat Completions in September 2026; its Agent API is not available yet"},
}};

std::string folded(const std::string& text) {
  std::string out;
  for (auto c : text)
    if (c != ' ' && c != '-' && c != '_' && c != '.')
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

template <class Test>
bool any_word(std::string_view words, Test test) {
  while (!words.empty()) {
    auto end = std::min(words.find(' '), words.size());
    if (test(words.substr(0, end)))
      return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

std::string text_of(const server_row& row) {
  backend_config b;
  b.type = "chatcompletion";
  b.base_url = row.base_url;
  for (const auto& provider : providers())
    if (b.base_url == provider.id)
      b.base_url = provider.base_url;
  std::string out = std::string{row.title} + " is reached by type 'chatcompletion' with base_url " + b.base_url;
  if (*row.key)
    return out + " and api_key_env " + row.key;
  std::string keys;
  for (const auto& name : key_names(b))
    keys += (keys.empty() ? "" : " or ") + name;
  return out + (keys.empty() ? "" : "; its key is " + keys);
}

std::string text_of(const name_row& row) {
  return *row.type ? "its models are reached by type '" + std::string{row.type} + "'" : row.text;
}

/// Returns the texts of the types and rows one of whose names passes; not of `type` itself.
template <class Test>
std::vector<std::string> matching(const std::string& type, Test test) {
  std::vector<std::string> out;
  for (const auto& kind : backend_kinds())
    if (type != kind.type && test(folded(kind.type)))
      out.push_back(std::string{"did you mean '"} + kind.type + "'?");
  for (const auto& row : servers)
    if (any_word(row.names, test))
      out.push_back(text_of(row));
  for (const auto& row : other_names)
    if (any_word(row.names, test))
      out.push_back(text_of(row));
  return out;
}

} // namespace

std::string type_hint(const std::string& type) {
  auto name = folded(type);
  if (name.empty() || type.size() > 64)
    return {};
  auto exact = matching(type, [&](std::string_view word) { return word == name; });
  if (!exact.empty())
    return exact.back(); // a company before a type that is not available yet
  if (name.size() < 4)
    return {};
  std::set<std::string> near;
  matching(type, [&](std::string_view word) {
    if (word.size() >= 4 && is_one_slip(word, name))
      near.emplace(word);
    return false;
  });
  if (near.size() > 1) // hardly anybody misses the first letter
    std::erase_if(near, [&](const std::string& word) { return word[0] != name[0]; });
  return near.size() == 1 ? matching(type, [&](std::string_view word) { return word == *near.begin(); }).back() : std::string{};
}

} // namespace conclave
