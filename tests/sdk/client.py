"""An MCP client by the official Python SDK that knows nothing of Accredit: conversations as scripted, one by one.

In, on standard input: a list of {"url", "mode", "steps": [{"method", "params"}]}; `mode` is the SDK's own. With it
`token`, a bearer token, or `client`, {"id", "secret", "issuer"} of a client that has to find out where to get tokens.
Out: for each conversation a line of JSON, a list of {"step", "result"} or {"step", "error"} that `connect` begins and,
unless that fails, `close` ends.
`tests/harness/sdk/client.rs` is the same client by the Rust SDK.
"""

import asyncio
import json
import sys
import warnings
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import BaseModel

warnings.simplefilter("ignore")
PATIENCE = 20


class Credentials(ClientCredentialsOAuthProvider):
    def __init__(self, url: str, client: dict[str, str]) -> None:
        super().__init__(url, Wallet(), client["id"], client["secret"], issuer=client["issuer"])


class Wallet(TokenStorage):
    """Keeps tokens for as long as the conversation lasts."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Conversation:
    def __init__(self, url: str, mode: str, token: str | None, client: dict[str, str] | None) -> None:
        self.said: list[Any] = []
        self.statuses: dict[str, int] = {}
        self.progress: asyncio.Queue[Any] = asyncio.Queue()
        self.updates: asyncio.Queue[str] = asyncio.Queue()
        self.stack = AsyncExitStack()
        # A proxy of the environment must not come between the parts on loopback.
        self.http = httpx2.AsyncClient(
            auth=Credentials(url, client) if client else None,
            headers={"authorization": f"Bearer {token}"} if token else None,
            timeout=PATIENCE,
            trust_env=False,
            event_hooks={"response": [self.answered]},
        )
        self.client = Client(
            streamable_http_client(url, http_client=self.http),
            mode=mode,
            read_timeout_seconds=PATIENCE,
            elicitation_callback=self.elicited,
            message_handler=self.heard,
        )

    async def answered(self, response: httpx2.Response) -> None:
        self.statuses[response.request.method] = response.status_code

    async def elicited(self, context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"sure": True})

    async def heard(self, message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            await self.updates.put(str(message.params.uri))

    async def told(self, progress: float, total: float | None, message: str | None) -> None:
        await self.progress.put([progress, total, message])

    async def connect(self) -> Any:
        await self.stack.enter_async_context(self.client)
        about = self.client.server_info
        return {"revision": self.client.protocol_version, "server": about and about.name}

    async def close(self) -> Any:
        self.statuses.clear()
        await self.stack.aclose()
        return {"statuses": self.statuses}

    async def step(self, method: str, params: dict[str, Any]) -> Any:
        client = self.client
        match method:
            case "ping":
                return await client.send_ping()
            case "tools/list":
                return await client.list_tools()
            case "prompts/list":
                return await client.list_prompts()
            case "resources/list":
                return await client.list_resources()
            case "resources/templates/list":
                return await client.list_resource_templates()
            case "tools/call":
                return await client.call_tool(params["name"], params["arguments"], progress_callback=self.told)
            case "prompts/get":
                return await client.get_prompt(params["name"], params["arguments"])
            case "resources/read":
                return await client.read_resource(params["uri"])
            case "resources/subscribe":
                return await client.subscribe_resource(params["uri"])
            case "subscriptions/listen":
                uris = params["notifications"]["resourceSubscriptions"]
                listening = await self.stack.enter_async_context(client.listen(resource_subscriptions=uris))
                asyncio.ensure_future(self.listen(listening))
                return {"honored": plain(listening.honored)}
            case "completion/complete":
                ref = params["ref"]
                kind = types.PromptReference if ref["type"] == "ref/prompt" else types.ResourceTemplateReference
                return await client.complete(kind.model_validate(ref), params["argument"])
            case "logging/setLevel":
                return await client.set_logging_level(params["level"])
            case "progressed":
                return [await asyncio.wait_for(self.progress.get(), PATIENCE) for _ in range(params["count"])]
            case "updated":
                return {"uri": await asyncio.wait_for(self.updates.get(), PATIENCE)}
        raise ValueError(f"no step `{method}`")

    async def listen(self, listening: Any) -> None:
        async for event in listening:
            await self.updates.put(str(event.uri))

    async def tell(self, name: str, work: Any) -> bool:
        """Runs one step and notes what came of it."""
        self.statuses.pop("POST", None)
        try:
            said = {"step": name, "result": plain(await work)}
        except Exception as raised:
            error = sole(raised)
            said = {"step": name, "error": {"class": type(error).__name__, "status": self.statuses.get("POST")}}
            if isinstance(error, MCPError):
                said["error"] |= {"code": error.code, "message": error.message, "data": error.data}
            else:
                said["error"] |= {"message": repr(error)}
        self.said.append(said)
        return "result" in said


def sole(error: Exception) -> Exception:
    """The SDK's task groups wrap what goes wrong while it connects."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        [error] = error.exceptions
    return error


def plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True) if isinstance(value, BaseModel) else value


async def hold(script: dict[str, Any]) -> list[Any]:
    conversation = Conversation(script["url"], script["mode"], script.get("token"), script.get("client"))
    if await conversation.tell("connect", conversation.connect()):
        for step in script["steps"]:
            await conversation.tell(step["method"], conversation.step(step["method"], step["params"]))
        await conversation.tell("close", conversation.close())
    return conversation.said


for script in json.load(sys.stdin):
    print(json.dumps(asyncio.run(hold(script))), flush=True)
