// GitHub's own description of the few calls that a GitHub App's installation makes, out of all of GitHub's API.
//
// Out: JSON, as { "METHOD /path": { request: schema, responses: { status: { schema, example } } } }, without references.

const description = require("@octokit/openapi/generated/api.github.com.json");

const CALLS = [
  ["get", "/app/installations"],
  ["post", "/app/installations/{installation_id}/access_tokens"],
  ["get", "/installation/repositories"],
  ["delete", "/installation/token"],
];

function resolved(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(resolved);
  if (typeof value.$ref === "string") {
    const steps = value.$ref.replace(/^#\//, "").split("/");
    return resolved(steps.reduce((within, step) => within[step], description));
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner)]));
}

function body(part) {
  const { schema, examples } = resolved(part).content?.["application/json"] ?? {};
  return { schema, example: Object.values(examples ?? {})[0]?.value };
}

const calls = CALLS.map(([method, path]) => {
  const { requestBody, responses } = description.paths[path][method];
  const answers = Object.entries(responses).map(([status, answer]) => [status, body(answer)]);
  const request = requestBody && body(requestBody).schema;
  return [`${method.toUpperCase()} ${path}`, { request, responses: Object.fromEntries(answers) }];
});
process.stdout.write(JSON.stringify(Object.fromEntries(calls), null, 1) + "\n");
