//! The server of the Rust SDK; `tests/sdk/server.py` is the same by the Python SDK.

#![expect(deprecated, reason = "the legacy era's log levels, which a policy has to name before they are set")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult, ElicitRequest,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Reference, ResourceUpdatedNotificationParam,
    ServerConfig, ServerRequest, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{Sender, channel};

use super::{Life, Ran, Running};
use crate::tools;

/// The resource that `crm_update` changes.
const ACCOUNT: &str = "crm://public/accounts/1001";

pub(super) async fn serve(name: &'static str, dir: &Path) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let log = dir.join(format!("{name}.jsonl"));
    let file = File::options().create(true).append(true).open(&log).expect("the log can be written");
    let desk = Desk { log: Arc::new(Mutex::new(file)), changes: channel(16).0 };
    let service = StreamableHttpService::new(
        move || Ok(desk.clone()),
        Arc::new(LocalSessionManager::default()),
        Default::default(),
    );
    let app = Router::new().route_service("/mcp", service);
    let task = tokio::spawn(async move { tools::serve(listener, app).await.expect("the listener works") });
    Running { port, log, _life: Life::Task(task) }
}

#[derive(Clone)]
struct Desk {
    log: Arc<Mutex<File>>,
    /// Whoever listens hears here what changed.
    changes: Sender<&'static str>,
}

type Context = RequestContext<RoleServer>;

impl ServerHandler for Desk {
    fn get_info(&self) -> ServerConfig {
        let capabilities = json!({
            "tools": {}, "prompts": {}, "resources": { "subscribe": true }, "completions": {}, "logging": {},
        });
        ServerConfig::new(from(capabilities))
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        let id = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } });
        let none = json!({ "type": "object" });
        let tool = |name: &str, schema: &Value| json!({ "name": name, "inputSchema": schema });
        let with = ["crm_lookup", "crm_update", "crm_delete", "crm_merge"].map(|name| tool(name, &id));
        let without = ["crm_export", "report_sales", "report_costs"].map(|name| tool(name, &none));
        let tools: Vec<_> = with.into_iter().chain(without).collect();
        Ok(whole(json!({ "tools": tools })))
    }

    async fn call_tool(&self, params: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let name = params.name.as_ref();
        let arguments = json!(params.arguments.clone().unwrap_or_default());
        if name == "crm_merge"
            && let Some(question) = ask(&params, &context).await?
        {
            return Ok(question);
        }
        self.ran("tool", name, scope(&context));
        let row = match name {
            "crm_lookup" => json!({ "id": arguments["id"], "name": "Ada Lovelace" }),
            "crm_update" => {
                self.announce(&context).await;
                json!({ "id": arguments["id"], "tier": arguments["fields"]["tier"] })
            }
            "crm_delete" => json!({ "deleted": arguments["id"] }),
            "crm_export" => json!({ "rows": "all" }),
            "crm_merge" => json!({ "merged": arguments["id"] }),
            "report_sales" => {
                progress(&context).await;
                json!({ "sales": "42" })
            }
            "report_costs" => json!({ "costs": "41" }),
            other => return Err(ErrorData::invalid_params(format!("no tool `{other}`"), None)),
        };
        Ok(CallToolResult::structured(row).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompt = |name: &str| json!({ "name": name, "arguments": [{ "name": "style", "required": true }] });
        Ok(whole(json!({ "prompts": [prompt("summarize"), prompt("escalate")] })))
    }

    async fn get_prompt(&self, params: GetPromptRequestParams, _: Context) -> Result<GetPromptResponse, ErrorData> {
        self.ran("prompt", &params.name, None);
        let content = json!({ "type": "text", "text": format!("{}, {:?}", params.name, params.arguments) });
        let result: GetPromptResult = whole(json!({ "messages": [{ "role": "user", "content": content }] }));
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resource = |uri: &str| json!({ "uri": uri, "name": uri });
        Ok(whole(json!({ "resources": [resource("crm://public/terms"), resource("crm://secret/keys")] })))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = |uri: &str| json!({ "uriTemplate": uri, "name": uri });
        let templates = [template("crm://public/accounts/{id}"), template("crm://secret/accounts/{id}")];
        Ok(whole(json!({ "resourceTemplates": templates })))
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.ran("resource", &params.uri, None);
        let result: ReadResourceResult = whole(json!({ "contents": [{ "uri": params.uri, "text": "all of it" }] }));
        Ok(result.into())
    }

    async fn complete(&self, params: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        let name = match &params.r#ref {
            Reference::Prompt(prompt) => &prompt.name,
            Reference::Resource(resource) => &resource.uri,
            other => return Err(ErrorData::invalid_params(format!("no completion of {other:?}"), None)),
        };
        self.ran("completion", name, None);
        let values = [format!("{}rief", params.argument.value)];
        Ok(whole(json!({ "completion": { "values": values, "total": 1, "hasMore": false } })))
    }

    async fn subscribe(&self, params: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        self.ran("subscription", &params.uri, None);
        Ok(())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        self.ran("method", "logging/setLevel", None);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                Ok(uri) = changes.recv() => {
                    context.sink().notify_resource_updated(uri).await.ok();
                }
            }
        }
    }
}

impl Desk {
    fn ran(&self, kind: &str, name: &str, scope: Option<String>) {
        let ran = Ran { kind: kind.to_owned(), name: name.to_owned(), scope };
        let line = serde_json::to_string(&ran).expect("it is plain data");
        writeln!(self.log.lock().unwrap(), "{line}").expect("the log takes a line");
    }

    /// Tells who listens, in either era.
    async fn announce(&self, context: &Context) {
        self.changes.send(ACCOUNT).ok();
        if !modern(context) {
            context.peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(ACCOUNT)).await.ok();
        }
    }
}

async fn progress(context: &Context) {
    let Some(token) = context.meta.get_progress_token() else { return };
    for quarter in 1..=3 {
        let notice = ProgressNotificationParam::new(token.clone(), f64::from(quarter)).with_total(3.0);
        context.peer.notify_progress(notice.with_message(format!("quarter {quarter}"))).await.ok();
    }
}

/// Asks the user: in the modern era with an answer that the client comes back from, in the legacy one in between.
async fn ask(params: &CallToolRequestParams, context: &Context) -> Result<Option<CallToolResponse>, ErrorData> {
    let schema = json!({ "type": "object", "properties": { "sure": { "type": "boolean" } }, "required": ["sure"] });
    let question = json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": "Merge?", "requestedSchema": schema },
    });
    if !modern(context) {
        let question: ElicitRequest = from(question);
        let answer = context.peer.send_request(ServerRequest::ElicitRequest(question)).await;
        answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        return Ok(None);
    }
    if params.input_responses.as_ref().is_some_and(|answers| answers.contains_key("sure")) {
        return Ok(None);
    }
    let question = json!({ "resultType": "input_required", "inputRequests": { "sure": question } });
    Ok(Some(CallToolResponse::InputRequired(from(question))))
}

fn modern(context: &Context) -> bool {
    context.protocol_version() == Some(ProtocolVersion::V_2026_07_28)
}

/// The scopes of the bearer token that the request came with, unverified.
fn scope(context: &Context) -> Option<String> {
    let parts = context.extensions.get::<Parts>().expect("the SDK hands on the HTTP request");
    let claims = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split('.').nth(1)?.to_owned();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["scope"].as_str().map(str::to_owned)
}

/// A result the modern era takes: it has to say that it is all. To older clients the SDK does not say so.
fn whole<T: DeserializeOwned>(mut value: Value) -> T {
    value["resultType"] = json!("complete");
    from(value)
}

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is written above as the SDK reads it")
}
