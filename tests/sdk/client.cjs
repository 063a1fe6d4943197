// An MCP client by the official TypeScript SDK that knows nothing of Accredit: conversations as scripted, one by one.
//
// In and out: as `client.py`; `mode` is this SDK's own, as JSON.

const {
  Client,
  ClientCredentialsProvider,
  InsufficientScopeError,
  ProtocolError,
  SdkHttpError,
  StreamableHTTPClientTransport,
} = require("@modelcontextprotocol/client");

const PATIENCE = 20_000;

/** What comes in at its own time, for whoever waits for it. */
class Mailbox {
  #held = [];
  #waiting = [];
  put(letter) {
    const take = this.#waiting.shift();
    take ? take(letter) : this.#held.push(letter);
  }
  take() {
    if (this.#held.length > 0) return this.#held.shift();
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("nothing came")), PATIENCE));
    return Promise.race([new Promise((resolve) => this.#waiting.push(resolve)), late]);
  }
}

async function hold({ url, mode, token, client: account, steps }) {
  const said = [];
  const [progress, updates] = [new Mailbox(), new Mailbox()];
  const client = new Client(
    { name: "conversation", version: "1.0.0" },
    { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
  );
  client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: { sure: true } }));
  client.setNotificationHandler("notifications/resources/updated", async ({ params }) => updates.put(params.uri));
  const access = account
    ? { authProvider: credentials(account) }
    : { requestInit: { headers: { authorization: `Bearer ${token}` } } };
  const transport = new StreamableHTTPClientTransport(new URL(url), access);

  const connect = async () => {
    await client.connect(transport, { timeout: PATIENCE });
    return { revision: client.getNegotiatedProtocolVersion(), server: client.getServerVersion()?.name ?? null };
  };
  const close = async () => {
    await transport.terminateSession();
    await client.close();
    return null;
  };
  const onprogress = ({ progress: done, total, message }) => progress.put([done, total, message]);
  const does = {
    ping: () => client.ping(),
    "tools/list": () => client.listTools(),
    "prompts/list": () => client.listPrompts(),
    "resources/list": () => client.listResources(),
    "resources/templates/list": () => client.listResourceTemplates(),
    "tools/call": (params) => client.callTool(params, { onprogress, timeout: PATIENCE }),
    "prompts/get": (params) => client.getPrompt(params),
    "resources/read": (params) => client.readResource(params),
    "resources/subscribe": (params) => client.subscribeResource(params),
    "subscriptions/listen": async ({ notifications }) => ({ honored: (await client.listen(notifications)).honoredFilter }),
    "completion/complete": (params) => client.complete(params),
    "logging/setLevel": ({ level }) => client.setLoggingLevel(level),
    progressed: async ({ count }) => {
      const heard = [];
      while (heard.length < count) heard.push(await progress.take());
      return heard;
    },
    updated: async () => ({ uri: await updates.take() }),
  };
  if (await tell(said, "connect", connect)) {
    for (const { method, params } of steps) await tell(said, method, () => does[method](params));
    await tell(said, "close", close);
  }
  return said;
}

function credentials({ id, secret, issuer }) {
  return new ClientCredentialsProvider({ clientId: id, clientSecret: secret, expectedIssuer: issuer });
}

/** Runs one step and notes what came of it. */
async function tell(said, step, work) {
  try {
    said.push({ step, result: (await work()) ?? null });
    return true;
  } catch (error) {
    said.push({ step, error: { class: error.constructor.name, ...wrong(error) } });
    return false;
  }
}

/** The SDK keeps the body of an HTTP error only as the end of its text. */
function wrong(error) {
  const message = error.message;
  if (error instanceof ProtocolError) return { code: error.code, message, data: error.data };
  if (error instanceof InsufficientScopeError) return { status: 403, scope: error.requiredScope, message };
  if (!(error instanceof SdkHttpError)) return { message };
  const body = message.includes("{") ? message.slice(message.indexOf("{")) : "{}";
  let inner = {};
  try {
    inner = JSON.parse(body).error ?? {};
  } catch {}
  return { status: error.status, code: inner.code, message, data: inner.data };
}

async function main() {
  for (const script of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
    console.log(JSON.stringify(await hold(script)));
  }
}

main().then(() => process.exit());
