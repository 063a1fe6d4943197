const member = (value, name) =>
  value !== null && typeof value === "object" && Object.hasOwn(value, name) ? value[name] : null;

for (const line of require("fs").readFileSync(0, "latin1").split("\n")) {
  if (line === "") continue;
  const message = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(line, "base64")));
  const params = member(message, "params");
  const ref = member(params, "ref");
  const listens = member(params, "notifications");
  const completes = member(message, "method") === "completion/complete";
  console.log(JSON.stringify({
    id: member(message, "id"),
    method: member(message, "method"),
    arguments: member(params, "arguments"),
    name: member(params, "name"),
    uri: member(params, "uri"),
    task: member(params, "taskId"),
    ref: completes && ref ? [member(ref, "type"), member(ref, "name"), member(ref, "uri")] : null,
    listens: [member(listens, "resourceSubscriptions") ?? [], member(listens, "taskIds") ?? []],
  }));
}
