//! The demo: agents, their calls and what becomes of them, all the way through a real Envoy, told with real output.
//!
//! `--keep` leaves everything running and writes `target/demo/env`.

mod audit;
mod orders;
mod scenery;
mod secrets;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::Issuer;
use harness::agent::{Agent, Credentials};
use harness::stack::broker::accredit;
use harness::stack::{Ports, Stack};
use harness::tools::log::Event;
use harness::wire::{One, Post, Reply};
use orders::Orders;
use serde_json::{Value, json};
use tokio::time::sleep;

type Told = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Told {
    let keep = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--keep") => true,
        Some(other) => return Err(format!("found `{other}`, accepted is `--keep`").into()),
    };
    let dir = PathBuf::from("target/demo");
    Stack::stop_detached(&dir);
    std::fs::remove_dir_all(&dir).ok();
    step("start broker, tool server and Envoy");
    let (ports, orders) = (Ports::default(), Orders::start().await?);
    let stack = start(&dir, ports, orders.as_ref()).await?;
    for (name, url) in stack.env().iter().filter(|(name, _)| name.ends_with("_URL") && name != "CONSOLE_URL") {
        println!("{name:<16}{url}");
    }
    tell(&stack, orders.as_ref()).await?;
    if keep {
        write_env(&dir, &stack)?;
        stack.detach();
        println!("\nleft running; {} says where, `scripts/demo` ends it", dir.join("env").display());
    }
    Ok(())
}

/// The shipped configuration with the scenery of the story.
async fn start(dir: &Path, ports: Ports, orders: Option<&Orders>) -> Result<Stack, Box<dyn Error>> {
    let (has, port) = (orders.is_some(), orders.map(|orders| orders.port));
    if let Some(orders) = orders {
        std::fs::create_dir_all(dir.join("secrets"))?;
        std::fs::write(dir.join("secrets/orders.url"), &orders.url)?;
    }
    let url = has.then(|| PathBuf::from("secrets/orders.url"));
    let stack = Stack::builder(dir).ports(ports);
    let stack = stack.policy(move |text| scenery::policy(&text, ports, has));
    let stack = stack.broker(move |text| scenery::broker(&text, ports, url.as_deref()));
    let stack = stack.envoy(move |config| port.into_iter().for_each(|port| scenery::routes(config, port)));
    Ok(stack.start().await)
}

async fn tell(stack: &Stack, orders: Option<&Orders>) -> Told {
    let url = stack.mcp();

    step("the agent asks the broker for a token with the scope `crm:read`");
    let token = token(&stack.agent(), "crm:read", &url).await?;
    println!("{}", claims(&token));

    step("the agent calls `crm_lookup` through Envoy, with a stock MCP client");
    let agent = Agent::connect(&url, &token).await?;
    println!("protocol {}", agent.revision());
    println!("tools it is shown: {}", agent.tools().await?.join(", "));
    println!("{}", agent.call("crm_lookup", json!({ "id": "1001" })).await?);

    step("what the tool server received: a credential of the broker's for this call, not the agent's token");
    let credential = received(stack)?;
    println!("{credential}");
    if credential["sha256"] == json!(sha256(&token)) {
        return Err("the tool server received the agent's own token".into());
    }

    step("the agent calls `crm_delete`, which needs a scope it does not hold");
    print(&call(stack, &token, "crm_delete", json!({ "id": "1001" })).await?);

    step(
        "with a token for `crm:write` it changes three fields at once, where the policy says `size(args.fields) <= 2`",
    );
    let writer = self::token(&stack.agent(), "crm:read crm:write", &url).await?;
    let fields = json!({ "tier": "gold", "phone": "1", "street": "2" });
    print(&call(stack, &writer, "crm_update", json!({ "id": "1001", "fields": fields })).await?);

    step("alice's enterprise lets the planner read for her; what it gets is good at the scout's address alone");
    let planner = Credentials { id: "planner".into(), ..stack.agent() };
    let scout = Credentials { id: "scout".into(), ..stack.agent() };
    let lent = lent(&planner, stack).await?;
    println!("{}", claims(&lent));

    step("the planner hands the task on; the scout takes it over in its own name and calls `crm_lookup` for alice");
    let handed = handed(&scout, &lent, stack).await?;
    println!("{}", claims(&handed));
    let agent = Agent::connect(&url, &handed).await?;
    println!("{}", agent.call("crm_lookup", json!({ "id": "1002" })).await?);

    if let Some(orders) = orders {
        step("a clerk reads orders: the broker makes a role in PostgreSQL for this call, and it goes with it");
        clerk(stack, orders).await?;
    }

    step("the agent asks for `logging/setLevel`, whose rule is in shadow mode: it goes on, and the audit tells");
    print(&post(stack, &token, "logging/setLevel", None, json!({ "level": "debug" })).await?);

    step("an agent calls `crm_lookup` with a token that has expired");
    let hasty = Credentials { id: "hasty-agent".into(), ..stack.agent() };
    let expired = self::token(&hasty, "crm:read", &url).await?;
    sleep(Duration::from_millis(3100)).await;
    print(&call(stack, &expired, "crm_lookup", json!({ "id": "1001" })).await?);

    step("the operator suspends the scout: it is refused everywhere, with the token it still holds too");
    suspend(stack, &scout, &handed).await?;

    step("the operator revokes what the agent holds; its next call is refused");
    operate(stack, &["revoke", "agent", "demo-agent", "--issued-before", "now", "--why", "lost laptop"])?;
    print(&refused(stack, &token).await?);

    step("nothing that was refused has run: what the tool server executed");
    for event in stack.events() {
        if let Event::Execution(ran) = event {
            println!(
                "{} for {} (credential {})",
                ran.tool,
                ran.client_id.unwrap_or_default(),
                ran.jti.unwrap_or_default()
            );
        }
    }

    step("the audit of all of it");
    audit::table(stack).await?;

    step("the audit on the disk is whole");
    let key = audit::whole(stack)?;

    step("one byte is changed in a copy: it is found, and named");
    audit::forged(stack, &key).await?;

    step("no secret is in any log, record or database");
    let mut all: BTreeMap<_, _> = [
        ("the token", &token),
        ("the writer's token", &writer),
        ("the planner's token", &lent),
        ("the scout's", &handed),
    ]
    .map(|(name, token)| (name, token.clone()))
    .into();
    all.insert("the agents' secret", stack.secret("agent.secret"));
    all.insert("the operators' token", stack.secret("admin.token"));
    all.insert("the proxy's secret", stack.secret("proxy.secret"));
    if let Some(orders) = orders {
        all.insert("the database's URL", orders.url.clone());
        let brought = orders.brought.lock().expect("nobody panics with it").clone();
        all.extend(brought.into_iter().map(|url| ("a role's URL", url)));
    }
    let (files, found) = secrets::search(stack.dir(), &all)?;
    println!("looked for {} secrets in {files} files, found {}", all.len(), found.len());
    if found.is_empty() { Ok(()) } else { Err(found.join(", ").into()) }
}

/// A token for alice, by the assertion of her enterprise.
async fn lent(planner: &Credentials, stack: &Stack) -> Result<String, Box<dyn Error>> {
    let address = scenery::scout(stack.ports);
    let assertion = Issuer::new(scenery::ENTERPRISE).at_now().token().header("typ", "oauth-id-jag+jwt");
    let assertion = assertion.audience(&stack.ports.broker()).claim("sub", "alice").claim("client_id", "planner");
    let assertion = assertion.scope("crm:read").claim("resource", json!([stack.mcp(), address])).sign();
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    granted(planner, &[("grant_type", grant), ("assertion", &assertion), ("resource", &address)]).await
}

/// The scout's token for what the planner has handed to it.
async fn handed(scout: &Credentials, lent: &str, stack: &Stack) -> Result<String, Box<dyn Error>> {
    let own = token(scout, "crm:read", &stack.mcp()).await?;
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", lent),
        ("subject_token_type", kind),
        ("actor_token", &own),
        ("actor_token_type", kind),
        ("resource", &stack.mcp()),
    ];
    granted(scout, &form).await
}

async fn granted(agent: &Credentials, form: &[(&str, &str)]) -> Result<String, Box<dyn Error>> {
    let grant = agent.grant(form).await;
    let grant = grant.map_err(|refused| format!("no token: {} {}", refused.status, refused.body))?;
    Ok(grant["access_token"].as_str().ok_or("the grant holds no token")?.to_owned())
}

/// One read of orders, and the role it was made with.
async fn clerk(stack: &Stack, orders: &Orders) -> Told {
    let gateway = stack.ports.gateway();
    let clerk = Credentials { id: "clerk".into(), ..stack.agent() };
    let token = token(&clerk, "crm:read", &format!("{gateway}/orders")).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = http.get(format!("{gateway}/orders/1001")).bearer_auth(&token).send().await?;
    println!("HTTP {}\n{}", answer.status().as_u16(), answer.text().await?);
    for _ in 0..100 {
        let roles = orders.roles().await?;
        if roles.is_empty() {
            println!("roles of the broker in the database now: none");
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err("the role outlives its call".into())
}

/// Suspends the scout by the command line, and shows what becomes of it.
async fn suspend(stack: &Stack, scout: &Credentials, handed: &str) -> Told {
    operate(stack, &["agents", "suspend", "scout", "--why", "calls at night"])?;
    match token(scout, "crm:read", &stack.mcp()).await {
        Ok(_) => return Err("a suspended agent got a token".into()),
        Err(refused) => println!("{refused}"),
    }
    print(&refused(stack, handed).await?);
    Ok(())
}

/// The first answer that refuses a call. The proxy hears of a revocation in some milliseconds.
async fn refused(stack: &Stack, token: &str) -> Result<Reply, Box<dyn Error>> {
    for _ in 0..200 {
        let reply = call(stack, token, "crm_lookup", json!({ "id": "1001" })).await?;
        if reply.status == 401 {
            return Ok(reply);
        }
        sleep(Duration::from_millis(5)).await;
    }
    Err("it is still let through".into())
}

/// Shows a command of the operator's, and what it says.
fn operate(stack: &Stack, args: &[&str]) -> Result<String, Box<dyn Error>> {
    let file = stack.dir().join("secrets/admin.token").display().to_string();
    let broker = stack.ports.broker();
    let told = accredit(&[args, &["--broker", &broker, "--token-file", &file]].concat(), b"");
    let said = String::from_utf8(told.stdout)? + &String::from_utf8(told.stderr)?;
    let quoted = args.iter().map(|arg| if arg.contains(' ') { format!("\"{arg}\"") } else { (*arg).to_owned() });
    println!("$ accredit {}", quoted.collect::<Vec<_>>().join(" "));
    print!("{said}");
    if told.status.success() { Ok(said) } else { Err(said.into()) }
}

fn step(text: &str) {
    println!("\n\x1b[1m── {text}\x1b[0m");
}

async fn token(agent: &Credentials, scope: &str, resource: &str) -> Result<String, Box<dyn Error>> {
    let token = agent.token(scope, resource).await;
    token.map_err(|refused| format!("no token: {} {}", refused.status, refused.body).into())
}

/// The header and claims of a token, for a reader; nothing is verified.
fn claims(token: &str) -> String {
    let part = |index| {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let shown = [part(0), part(1)].map(Option::unwrap_or_default);
    format!("{}\n{}", shown[0], shown[1])
}

/// The `authorization` of the last tool call that reached the tool server.
fn received(stack: &Stack) -> Result<Value, Box<dyn Error>> {
    let mut calls = stack.events().into_iter().filter_map(|event| match event {
        Event::Request(request) if request.tool.is_some() => Some(request),
        _ => None,
    });
    let call = calls.next_back().ok_or("no call reached the tool server")?;
    Ok(call.header("authorization").first().copied().cloned().ok_or("the call carried no credential")?)
}

/// A call as raw HTTP, to show the whole answer.
async fn call(stack: &Stack, token: &str, tool: &str, arguments: Value) -> Result<Reply, Box<dyn Error>> {
    let params = json!({ "name": tool, "arguments": arguments });
    post(stack, token, "tools/call", Some(tool), params).await
}

/// A request of revision 2026-07-28, whose headers repeat its body.
async fn post(
    stack: &Stack,
    token: &str,
    method: &str,
    name: Option<&str>,
    mut params: Value,
) -> Result<Reply, Box<dyn Error>> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let address = stack.ports.gateway().replace("http://", "");
    let post = Post::new("/crm/mcp", &address)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    let post = name.into_iter().fold(post, |post, name| post.header("mcp-name", name));
    let post = post.body(body.to_string().as_bytes());
    let closed = |closed| format!("{closed:?}");
    let mut connection = One::connect(&address).await.map_err(closed)?;
    Ok(connection.exchange(&[post]).await.map_err(closed)?)
}

fn print(reply: &Reply) {
    println!("HTTP {}", reply.status);
    for challenge in reply.header("www-authenticate") {
        println!("www-authenticate: {challenge}");
    }
    println!("{}", reply.text());
}

fn write_env(dir: &Path, stack: &Stack) -> std::io::Result<()> {
    let lines: String = stack.env().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(dir.join("env"), lines)
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
