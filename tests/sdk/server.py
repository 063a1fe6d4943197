"""An MCP server by the official Python SDK that knows nothing of Accredit: both eras, sessions in the legacy one.

In: a port of loopback and a file. Out: MCP at /mcp, and in the file one JSON line for each handler that ran.
`tests/harness/sdk/server.rs` is the same server by the Rust SDK.
"""

import argparse
import base64
import json
from typing import Annotated

import mcp_types as types
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

ACCOUNT = "crm://public/accounts/1001"

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--log", required=True)
options = parser.parse_args()
server = MCPServer("conversations", version="1.0.0", log_level="WARNING")


def ran(kind: str, name: str, ctx: Context | None = None) -> None:
    """Notes that a handler runs, and for a tool what the credential it came with is for."""
    line = {"kind": kind, "name": name, "scope": scope(ctx)}
    with open(options.log, "a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def scope(ctx: Context | None) -> str | None:
    bearer = ((ctx and ctx.headers) or {}).get("authorization")
    if bearer is None:
        return None
    claims = bearer.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["scope"]


@server.tool()
def crm_lookup(id: str, ctx: Context) -> dict[str, str]:
    """Reads one customer"""
    ran("tool", "crm_lookup", ctx)
    return {"id": id, "name": "Ada Lovelace"}


@server.tool()
async def crm_update(id: str, fields: dict[str, str], ctx: Context) -> dict[str, str]:
    """Sets fields of one customer, and says so to who listens"""
    ran("tool", "crm_update", ctx)
    await ctx.notify_resource_updated(ACCOUNT)
    if ctx.protocol_version != "2026-07-28":
        await ctx.session.send_resource_updated(ACCOUNT)
    return {"id": id, **fields}


@server.tool()
def crm_delete(id: str, ctx: Context) -> dict[str, str]:
    """Removes one customer"""
    ran("tool", "crm_delete", ctx)
    return {"deleted": id}


@server.tool()
def crm_export(ctx: Context) -> dict[str, str]:
    """Copies all customers; no policy names it"""
    ran("tool", "crm_export", ctx)
    return {"rows": "all"}


class Sure(BaseModel):
    sure: bool


async def ask(id: str) -> Elicit[Sure]:
    return Elicit(f"Merge {id}?", Sure)


@server.tool()
def crm_merge(id: str, answer: Annotated[Sure, Resolve(ask)], ctx: Context) -> dict[str, str]:
    """Merges a customer's duplicates, after asking"""
    ran("tool", "crm_merge", ctx)
    return {"merged": id if answer.sure else ""}


@server.tool()
async def report_sales(ctx: Context) -> dict[str, str]:
    """Adds up sales, and tells how far it is"""
    ran("tool", "report_sales", ctx)
    for quarter in range(1, 4):
        await ctx.report_progress(quarter, 3, f"quarter {quarter}")
    return {"sales": "42"}


@server.tool()
def report_costs(ctx: Context) -> dict[str, str]:
    """Adds up costs"""
    ran("tool", "report_costs", ctx)
    return {"costs": "41"}


@server.prompt()
def summarize(style: str) -> str:
    """Sums up a customer"""
    ran("prompt", "summarize")
    return f"Sum up, {style}"


@server.prompt()
def escalate(style: str) -> str:
    """Takes a case to a person"""
    ran("prompt", "escalate")
    return f"Escalate, {style}"


@server.resource("crm://public/terms")
def terms() -> str:
    """What everybody may read"""
    ran("resource", "crm://public/terms")
    return "the terms"


@server.resource("crm://secret/keys")
def keys() -> str:
    """What nobody may read"""
    ran("resource", "crm://secret/keys")
    return "the keys"


@server.resource("crm://public/accounts/{id}")
def account(id: str) -> str:
    """An account, as everybody may see it"""
    ran("resource", f"crm://public/accounts/{id}")
    return f"account {id}"


@server.resource("crm://secret/accounts/{id}")
def whole_account(id: str) -> str:
    """An account with all that is in it"""
    ran("resource", f"crm://secret/accounts/{id}")
    return f"secrets of {id}"


@server.completion()
async def complete(ref, argument, context) -> types.Completion:
    ran("completion", ref.name if isinstance(ref, types.PromptReference) else ref.uri)
    return types.Completion(values=[f"{argument.value}rief"], total=1, has_more=False)


async def subscribe(ctx, params: types.SubscribeRequestParams) -> types.EmptyResult:
    ran("subscription", params.uri)
    return types.EmptyResult()


async def set_level(ctx, params: types.SetLevelRequestParams) -> types.EmptyResult:
    ran("method", "logging/setLevel")
    return types.EmptyResult()


# The SDK's high-level server has no decorators for these two of the legacy era.
low = server._lowlevel_server
low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, subscribe)
low.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)


@server.custom_route("/healthz", methods=["GET"])
async def health(request: Request) -> Response:
    return PlainTextResponse("ok")


uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=options.port, log_level="warning")
