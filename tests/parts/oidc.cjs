// A foreign authorization server: panva's oidc-provider, with RFC 8693 as a grant of its own.
//
// In: a file of JSON, or standard input, with
//   port        on loopback; the issuer is http://127.0.0.1:PORT
//   clients     registrations in the words of RFC 7591
//   resources   what tokens are for, as { URL: { scope, format: "jwt" or "opaque", ttl } }
//   alg         of the tokens, ES256 unless given
//   exchange    whose tokens are exchanged, as { issuer, audience, jwks }; nobody's unless given
//   log         a file that gets a line of JSON for each request: no secret and no token; none unless given
// It runs until it is ended. With one client and no log it is fit for a load test of client credentials.

const { appendFileSync, readFileSync } = require("node:fs");
const { pathToFileURL } = require("node:url");

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const JWT = "urn:ietf:params:oauth:token-type:jwt";

// The server is made for Node.js 22, and of what that brings needs this alone.
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);

const settings = JSON.parse(readFileSync(process.argv[2] ?? 0, "utf8"));
const alg = settings.alg ?? "ES256";
const grants = ["client_credentials", ...(settings.exchange ? [EXCHANGE] : [])];
const registration = { redirect_uris: [], response_types: [], grant_types: grants };
main();

async function main() {
  // Unlike `import`, `require` heeds NODE_PATH.
  const load = (name) => import(pathToFileURL(require.resolve(name)));
  const [{ Provider, errors }, jose] = await Promise.all([load("oidc-provider"), load("jose")]);

  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  const actors = new WeakMap();
  const provider = new Provider(`http://127.0.0.1:${settings.port}`, {
    clients: settings.clients.map((client) => ({ ...registration, ...client })),
    clientDefaults: { id_token_signed_response_alg: alg },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
    jwks: { keys: [{ ...(await jose.exportJWK(privateKey)), alg, use: "sig", kid: "foreign-1" }] },
    cookies: { keys: ["none are set"] },
    scopes: [...new Set(Object.values(settings.resources).flatMap(({ scope }) => scope.split(" ")))],
    extraTokenClaims: (_, token) => actors.get(token),
    ttl: {
      AccessToken: (_, token) => token.resourceServer?.accessTokenTTL ?? 300,
      ClientCredentials: (_, token) => token.resourceServer?.accessTokenTTL ?? 300,
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: (_, client, token) => token.clientId === client.clientId },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, resource) => server(resource, errors),
      },
    },
  });
  if (settings.log) provider.use(note);
  if (settings.exchange) {
    const keys = jose.createLocalJWKSet(settings.exchange.jwks);
    const exchange = (ctx) => exchanged(ctx, { actors, errors, jose, keys });
    const params = ["subject_token", "subject_token_type", "requested_token_type", "resource", "audience", "scope"];
    provider.registerGrantType(EXCHANGE, exchange, params);
  }
  provider.listen(settings.port, "127.0.0.1");
}

function server(resource, errors) {
  const { scope, format = "jwt", ttl = 300 } = settings.resources[resource] ?? {};
  if (scope === undefined) throw new errors.InvalidTarget();
  const jwt = format === "jwt" ? { sign: { alg } } : undefined;
  return { scope, audience: resource, accessTokenFormat: format, accessTokenTTL: ttl, jwt };
}

/** Token exchange, RFC 8693: a token of the trusted issuer for one of ours, for the same subject, the client acting. */
async function exchanged(ctx, { actors, errors, jose, keys }) {
  const { client, params, provider } = ctx.oidc;
  const { ResourceServer, AccessToken } = provider;
  if (!params.subject_token) throw new errors.InvalidRequest("missing required parameter(s) (subject_token)");
  if (![ACCESS_TOKEN, JWT].includes(params.subject_token_type)) {
    throw new errors.InvalidRequest("unsupported subject_token_type");
  }
  if (![undefined, ACCESS_TOKEN].includes(params.requested_token_type)) {
    throw new errors.InvalidRequest("unsupported requested_token_type");
  }
  const { issuer, audience } = settings.exchange;
  const required = ["sub", "exp"];
  const verified = await jose
    .jwtVerify(params.subject_token, keys, { issuer, audience, requiredClaims: required })
    .catch((cause) => {
      throw new errors.InvalidGrant("the subject token is not valid", undefined, { cause });
    });
  const subject = verified.payload;
  const resource = params.resource ?? params.audience;
  if (!resource) throw new errors.InvalidTarget("resource or audience is required");
  const target = new ResourceServer(resource, server(resource, errors));

  const held = subject.scope?.split(" ") ?? [];
  const wanted = params.scope?.split(" ") ?? held.filter((scope) => target.scopes.has(scope));
  const excess = wanted.find((scope) => !held.includes(scope) || !target.scopes.has(scope));
  if (excess) throw new errors.InvalidScope("requested scope exceeds the subject token's or the resource's", excess);

  // No token outlives the one it was exchanged for.
  const left = subject.exp - Math.floor(Date.now() / 1000);
  const expiresIn = Math.max(1, Math.min(target.accessTokenTTL, left));
  const scope = wanted.join(" ") || undefined;
  const token = new AccessToken({ client, accountId: subject.sub, scope, gty: "token-exchange", expiresIn });
  token.resourceServer = target;
  actors.set(token, { act: { sub: client.clientId, ...(subject.act && { act: subject.act }) } });
  ctx.oidc.entity("AccessToken", token);
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: ACCESS_TOKEN,
    token_type: token.tokenType,
    expires_in: token.expiration,
    scope,
  };
}

async function note(ctx, next) {
  await next();
  const { client, params = {} } = ctx.oidc ?? {};
  const line = {
    path: ctx.path,
    status: ctx.status,
    error: ctx.body?.error,
    client: client?.clientId,
    auth: client?.clientAuthMethod,
    grant: params.grant_type,
    scope: params.scope,
    resource: params.resource ?? params.audience,
  };
  appendFileSync(settings.log, JSON.stringify(line) + "\n");
}
