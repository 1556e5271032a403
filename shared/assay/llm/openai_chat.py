"""Chat completions of OpenAI, or of any server that speaks its protocol. Chosen by `deployments.py`."""

import openai

from assay.llm.openai_sdk import CONNECTIONS, Clocks, SdkChat, http_client

NO_KEY = "no-key"
"""What is sent to servers that want none: the SDK does not go without."""


class OpenAIChat(SdkChat):
    """A ChatModel over the models behind one base URL, such as https://api.openai.com/v1."""

    def __init__(
        self, url: str, api_key: str | None = None, *, connections: int = CONNECTIONS, clocks: Clocks | None = None
    ) -> None:
        client = openai.AsyncOpenAI(
            base_url=url,
            api_key=api_key or NO_KEY,
            max_retries=0,  # a hidden retry would be a request without a permit
            http_client=http_client(connections),
        )
        super().__init__(client, clocks)
