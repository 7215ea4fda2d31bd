"""Hosts that speak OpenAI's Chat Completions, as rows of data.

`source` is the page that tells URL, key and variable; where a quirk stands elsewhere, a comment says where. Unless a
host's own pages name the role `developer`, it gets `system`, which every host knows. Base URL variables that no vendor
names follow the pattern of those that do (`TOGETHER_BASE_URL`).

"pi" below is github.com/earendil-works/pi, packages/ai/src/api/openai-completions.ts, `detectCompat`: a client that
asks these hosts every day.
"""

from __future__ import annotations

from ..dialects.base import Quirks
from .row import ProviderRow

_PLAIN = Quirks(developer_role=False)
_MAX_TOKENS = Quirks(developer_role=False, max_tokens_field="max_tokens")

# --- who serves their own models --------------------------------------------------------------------------------

MISTRAL = ProviderRow(
    name="mistral",
    base_url="https://api.mistral.ai/v1",
    key_env=("MISTRAL_API_KEY",),
    base_url_env=("MISTRAL_BASE_URL",),
    families=(
        *("mistral-", "ministral-", "magistral-", "codestral-", "devstral-", "pixtral-", "voxtral-"),
        *("open-mistral-", "open-mixtral-"),
    ),
    # Unknown fields are HTTP 422, "Extra inputs are not permitted": `max_completion_tokens`
    # (editor-code-assistant/eca#231), `stream_options` (avante-corp/avante.nvim#2347; usage comes without being asked
    # for), and `seed`, which is `random_seed` there (mistralai/client-python, ChatCompletionRequest). Thinking is a
    # part of the content list and goes back in it: https://docs.mistral.ai/capabilities/reasoning/
    quirks=Quirks(
        max_tokens_field="max_tokens",
        stream_usage=False,
        echo=("content",),
        refuses=frozenset({"seed"}),
        developer_role=False,
    ),
    source="https://docs.mistral.ai/resources/migration-guides",
)
DEEPSEEK = ProviderRow(
    name="deepseek",
    base_url="https://api.deepseek.com",
    key_env=("DEEPSEEK_API_KEY",),
    base_url_env=("DEEPSEEK_BASE_URL",),
    # "deepseek-" alone is the start of "deepseek-ai/...", the owner of the open models at other hosts
    families=("deepseek-chat", "deepseek-reasoner", "deepseek-flash", "deepseek-v"),
    # "unknown variant `developer`": earendil-works/pi#1048. No `json_schema`, "This response_format type is unavailable
    # now": llm-exe/llm-exe#662, UKGovernmentBEIS/inspect_ai#4916. Without `reasoning_content` a turn of tools is HTTP
    # 400: https://api-docs.deepseek.com/guides/thinking_mode
    quirks=Quirks(
        max_tokens_field="max_tokens",
        echo=("reasoning_content",),
        refuses=frozenset({"response_format"}),
        developer_role=False,
    ),
    source="https://api-docs.deepseek.com/",
)
XAI = ProviderRow(
    name="xai",
    base_url="https://api.x.ai/v1",
    key_env=("XAI_API_KEY",),
    base_url_env=("XAI_BASE_URL",),
    families=("grok-",),
    quirks=_PLAIN,
    source="https://docs.x.ai/developers/rest-api-reference/inference",
)
MOONSHOT = ProviderRow(
    name="moonshot",
    base_url="https://api.moonshot.ai/v1",
    key_env=("MOONSHOT_API_KEY",),
    base_url_env=("MOONSHOT_BASE_URL",),
    families=("kimi-", "moonshot-"),
    # `max_completion_tokens` is the documented name: https://platform.kimi.ai/docs/guide/kimi-k3-quickstart. "thinking
    # is enabled but reasoning_content is missing in assistant tool call message":
    # https://platform.kimi.ai/docs/guide/use-thinking-models
    quirks=Quirks(max_tokens_field="max_completion_tokens", echo=("reasoning_content",), developer_role=False),
    source="https://platform.kimi.ai/docs/api/overview",
)
ZAI = ProviderRow(
    name="zai",
    base_url="https://api.z.ai/api/paas/v4",
    key_env=("ZAI_API_KEY",),
    base_url_env=("ZAI_BASE_URL",),
    families=("glm-",),
    # "thinking blocks should be explicitly preserved and returned together with the tool results":
    # https://docs.z.ai/guides/capabilities/thinking-mode. `max_tokens`: pi.
    quirks=Quirks(max_tokens_field="max_tokens", echo=("reasoning_content",), developer_role=False),
    source="https://docs.z.ai/guides/develop/openai/python",
)
COHERE = ProviderRow(
    name="cohere",
    base_url="https://api.cohere.ai/compatibility/v1",
    key_env=("COHERE_API_KEY", "CO_API_KEY"),
    base_url_env=("COHERE_BASE_URL",),
    families=("command-",),
    # "rejects the stream_options request field": https://strandsagents.com/docs/user-guide/concepts/model-providers/cohere/
    quirks=Quirks(max_tokens_field="max_tokens", stream_usage=False, developer_role=False),
    source="https://docs.cohere.com/docs/compatibility-api",
)
MINIMAX = ProviderRow(
    name="minimax",
    base_url="https://api.minimax.io/v1",
    key_env=("MINIMAX_API_KEY",),
    base_url_env=("MINIMAX_BASE_URL",),
    families=("MiniMax-",),
    # `max_completion_tokens`: https://platform.minimax.io/docs/api-reference/text-chat-openai. Thinking stands in the
    # content, within <think>, and goes back there; `reasoning_split` is left to `extra_body`.
    quirks=Quirks(max_tokens_field="max_completion_tokens", developer_role=False),
    source="https://platform.minimax.io/docs/api-reference/text-openai-api",
)
DASHSCOPE = ProviderRow(
    name="dashscope",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    key_env=("DASHSCOPE_API_KEY",),
    base_url_env=("DASHSCOPE_BASE_URL",),
    # the open Qwen models are served by many; these are Alibaba's alone
    families=("qwen-plus", "qwen-max", "qwen-turbo", "qwen-flash"),
    quirks=_MAX_TOKENS,
    source="https://www.alibabacloud.com/help/en/model-studio/first-api-call-to-qwen",
)

# --- who serves many --------------------------------------------------------------------------------------------

AZURE = ProviderRow(
    name="azure",
    base_url="https://NAME.openai.azure.com",
    own_address=True,
    auth=("api-key", ""),
    key_env=("AZURE_OPENAI_API_KEY",),
    base_url_env=("AZURE_OPENAI_ENDPOINT",),
    deployments="/openai/deployments/{model}?api-version={version}",
    # the last generally available one; newer features come with the address ".../openai/v1", which has none
    version="2024-10-21",
    version_env=("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"),
    source="https://learn.microsoft.com/en-us/azure/ai-services/openai/reference",
)
OPENROUTER = ProviderRow(
    name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    key_env=("OPENROUTER_API_KEY",),
    base_url_env=("OPENROUTER_BASE_URL",),
    # Signed or encrypted reasoning goes back as it came: https://openrouter.ai/docs/use-cases/reasoning-tokens
    quirks=Quirks(echo=("reasoning_details",), developer_role=False),
    source="https://openrouter.ai/docs/api-reference/overview",
)
VERCEL = ProviderRow(
    name="vercel",
    base_url="https://ai-gateway.vercel.sh/v1",
    key_env=("AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    base_url_env=("AI_GATEWAY_BASE_URL",),
    quirks=_PLAIN,
    source="https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions",
)
HUGGINGFACE = ProviderRow(
    name="huggingface",
    base_url="https://router.huggingface.co/v1",
    key_env=("HF_TOKEN",),
    base_url_env=("HUGGINGFACE_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://huggingface.co/docs/inference-providers/index",
)
TOGETHER = ProviderRow(
    name="together",
    base_url="https://api.together.ai/v1",
    key_env=("TOGETHER_API_KEY",),
    base_url_env=("TOGETHER_BASE_URL",),
    quirks=_MAX_TOKENS,  # pi
    source="https://docs.together.ai/docs/inference/openai-compatibility",
)
FIREWORKS = ProviderRow(
    name="fireworks",
    base_url="https://api.fireworks.ai/inference/v1",
    key_env=("FIREWORKS_API_KEY",),
    base_url_env=("FIREWORKS_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
)
CEREBRAS = ProviderRow(
    name="cerebras",
    base_url="https://api.cerebras.ai/v1",
    key_env=("CEREBRAS_API_KEY",),
    base_url_env=("CEREBRAS_BASE_URL",),
    # "does not expose developer directly"; the same docs limit answers by `max_completion_tokens`.
    quirks=Quirks(max_tokens_field="max_completion_tokens", developer_role=False),
    source="https://inference-docs.cerebras.ai/resources/openai",
)
SAMBANOVA = ProviderRow(
    name="sambanova",
    base_url="https://api.sambanova.ai/v1",
    key_env=("SAMBANOVA_API_KEY",),
    base_url_env=("SAMBANOVA_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://docs.sambanova.ai/docs/en/features/openai-compatibility",
)
NVIDIA = ProviderRow(
    name="nvidia",
    base_url="https://integrate.api.nvidia.com/v1",
    key_env=("NVIDIA_API_KEY",),
    base_url_env=("NVIDIA_BASE_URL",),
    quirks=_MAX_TOKENS,  # pi
    source="https://build.nvidia.com/",
)
DEEPINFRA = ProviderRow(
    name="deepinfra",
    base_url="https://api.deepinfra.com/v1/openai",
    # the vendor's pages call the key a token; clients read one of these
    key_env=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN", "DEEPINFRA_API_TOKEN"),
    base_url_env=("DEEPINFRA_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://deepinfra.com/docs/advanced/openai_api",
)
NOVITA = ProviderRow(
    name="novita",
    base_url="https://api.novita.ai/openai/v1",
    key_env=("NOVITA_API_KEY",),
    base_url_env=("NOVITA_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://novita.ai/models/model-detail/moonshotai-kimi-k2-thinking",
)
NEBIUS = ProviderRow(
    name="nebius",
    base_url="https://api.tokenfactory.nebius.com/v1",
    key_env=("NEBIUS_API_KEY",),
    base_url_env=("NEBIUS_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://docs.tokenfactory.nebius.com/api-reference/introduction",
)
BASETEN = ProviderRow(
    name="baseten",
    base_url="https://inference.baseten.co/v1",
    key_env=("BASETEN_API_KEY",),
    base_url_env=("BASETEN_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://docs.baseten.co/reference/inference-api/chat-completions",
)
SILICONFLOW = ProviderRow(
    name="siliconflow",
    base_url="https://api.siliconflow.com/v1",
    key_env=("SILICONFLOW_API_KEY",),
    base_url_env=("SILICONFLOW_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions",
)
SCALEWAY = ProviderRow(
    name="scaleway",
    base_url="https://api.scaleway.ai/v1",
    key_env=("SCW_SECRET_KEY",),
    base_url_env=("SCALEWAY_BASE_URL",),
    quirks=_MAX_TOKENS,
    source="https://www.scaleway.com/en/docs/generative-apis/api-cli/using-chat-api/",
)

# --- on your own machine ----------------------------------------------------------------------------------------

OLLAMA = ProviderRow(
    name="ollama",
    base_url="http://localhost:11434/v1",
    key_env=("OLLAMA_API_KEY",),
    base_url_env=("OLLAMA_BASE_URL",),
    key_required=False,
    quirks=_MAX_TOKENS,
    source="https://docs.ollama.com/api/openai-compatibility",
)
VLLM = ProviderRow(
    name="vllm",
    base_url="http://localhost:8000/v1",
    key_env=("VLLM_API_KEY",),
    base_url_env=("VLLM_BASE_URL",),
    key_required=False,
    quirks=_PLAIN,
    source="https://docs.vllm.ai/en/v0.8.1/serving/openai_compatible_server.html",
)
LMSTUDIO = ProviderRow(
    name="lmstudio",
    base_url="http://localhost:1234/v1",
    key_env=("LM_API_TOKEN",),
    base_url_env=("LMSTUDIO_BASE_URL",),
    key_required=False,
    quirks=_PLAIN,
    source="https://lmstudio.ai/docs/developer/openai-compat",
)

HOSTS: tuple[ProviderRow, ...] = (
    *(MISTRAL, DEEPSEEK, XAI, MOONSHOT, ZAI, COHERE, MINIMAX, DASHSCOPE),
    *(AZURE, OPENROUTER, VERCEL, HUGGINGFACE, TOGETHER, FIREWORKS, CEREBRAS, SAMBANOVA, NVIDIA),
    *(DEEPINFRA, NOVITA, NEBIUS, BASETEN, SILICONFLOW, SCALEWAY),
    *(OLLAMA, VLLM, LMSTUDIO),
)
"""In the order in which they are listed to people."""

__all__ = ["HOSTS"]
