// An MCP server by the official TypeScript SDK that knows nothing of Accredit: both eras, without sessions in either.
//
// In and out: as `server.py`. Without sessions the SDK can neither ask nor tell a client of the legacy era anything.

const { appendFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { Readable } = require("node:stream");
const { parseArgs } = require("node:util");
const { Server, createMcpHandler, inputRequired } = require("@modelcontextprotocol/server");

const ACCOUNT = "crm://public/accounts/1001";

const text = { type: "string" };
const { values: options } = parseArgs({ options: { port: text, log: text } });

/** Notes that a handler runs, and for a tool what the credential it came with is for. */
function ran(kind, name, request) {
  appendFileSync(options.log, JSON.stringify({ kind, name, scope: scope(request) }) + "\n");
}

function scope(request) {
  const claims = request?.headers.get("authorization")?.split(".")[1];
  return claims ? JSON.parse(Buffer.from(claims, "base64url").toString()).scope : null;
}

const tools = {
  crm_lookup: ({ id }) => ({ id, name: "Ada Lovelace" }),
  crm_update: ({ id, fields }) => {
    handler.notify.resourceUpdated(ACCOUNT);
    return { id, ...fields };
  },
  crm_delete: ({ id }) => ({ deleted: id }),
  crm_export: () => ({ rows: "all" }),
  crm_merge: ({ id }) => ({ merged: id }),
  report_sales: async (_, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [1, 2, 3]) {
      const params = { progressToken, progress, total: 3, message: `quarter ${progress}` };
      await ctx.mcpReq.notify({ method: "notifications/progress", params });
    }
    return { sales: "42" };
  },
  report_costs: () => ({ costs: "41" }),
};
const question = {
  method: "elicitation/create",
  params: {
    mode: "form",
    message: "Merge?",
    requestedSchema: { type: "object", properties: { sure: { type: "boolean" } }, required: ["sure"] },
  },
};

const handler = createMcpHandler(({ requestInfo }) => {
  const about = { name: "conversations", version: "1.0.0" };
  const capabilities = { tools: {}, prompts: {}, resources: { subscribe: true }, completions: {}, logging: {} };
  const server = new Server(about, { capabilities });
  const on = (method, answer) => server.setRequestHandler(method, (request, ctx) => answer(request.params, ctx));

  on("tools/list", () => ({ tools: Object.keys(tools).map((name) => ({ name, inputSchema: { type: "object" } })) }));
  on("tools/call", async ({ name, arguments: given, inputResponses }, ctx) => {
    const asks = name === "crm_merge" && !(inputResponses ?? ctx.mcpReq.inputResponses)?.sure;
    if (asks) return inputRequired({ inputRequests: { sure: question } });
    ran("tool", name, requestInfo);
    const row = await tools[name](given ?? {}, ctx);
    return { content: [{ type: "text", text: JSON.stringify(row) }], structuredContent: row };
  });

  const style = [{ name: "style", required: true }];
  on("prompts/list", () => ({ prompts: ["summarize", "escalate"].map((name) => ({ name, arguments: style })) }));
  on("prompts/get", ({ name }) => {
    ran("prompt", name);
    return { messages: [{ role: "user", content: { type: "text", text: name } }] };
  });

  const resource = (uri) => ({ uri, name: uri });
  const template = (uriTemplate) => ({ uriTemplate, name: uriTemplate });
  on("resources/list", () => ({ resources: ["crm://public/terms", "crm://secret/keys"].map(resource) }));
  on("resources/templates/list", () => ({
    resourceTemplates: ["crm://public/accounts/{id}", "crm://secret/accounts/{id}"].map(template),
  }));
  on("resources/read", ({ uri }) => {
    ran("resource", uri);
    return { contents: [{ uri, text: "all of it" }] };
  });
  on("resources/subscribe", ({ uri }) => {
    ran("subscription", uri);
    return {};
  });
  on("logging/setLevel", () => {
    ran("method", "logging/setLevel");
    return {};
  });
  on("completion/complete", ({ ref, argument }) => {
    ran("completion", ref.name ?? ref.uri);
    return { completion: { values: [`${argument.value}rief`], total: 1, hasMore: false } };
  });
  return server;
});

createServer(async (incoming, outgoing) => {
  if (incoming.url === "/healthz") return outgoing.end("ok");
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  const { method, headers } = incoming;
  const body = ["GET", "HEAD"].includes(method) ? undefined : Readable.toWeb(incoming);
  const url = `http://${headers.host}${incoming.url}`;
  const answer = await handler.fetch(new Request(url, { method, headers, body, duplex: "half", signal: gone.signal }));
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
  outgoing.flushHeaders();
  if (!answer.body) return outgoing.end();
  Readable.fromWeb(answer.body).on("error", () => outgoing.destroy()).pipe(outgoing);
}).listen(Number(options.port), "127.0.0.1");
