"""Chat completions of a llama.cpp server. Chosen by `deployments.py`.

Protocol: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from assay.llm.openai_chat import OpenAIChat
from assay.llm.openai_sdk import CONNECTIONS, Clocks

_OPENAI_PATH = "/v1"


class LlamaCppChat(OpenAIChat):
    """A ChatModel over one llama.cpp server: its address with or without `/v1`, its key if it was started with one.

    What is its own is known where answers and errors are read: tokens in `timings`, the error types, 503 while it loads
    its model. A server without a router answers with the model it has, whatever the deployment is called.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, connections: int = CONNECTIONS, clocks: Clocks | None = None
    ) -> None:
        address = url.rstrip("/").removesuffix(_OPENAI_PATH)
        super().__init__(f"{address}{_OPENAI_PATH}", api_key, connections=connections, clocks=clocks)
