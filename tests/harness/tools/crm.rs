//! The three tools, over a handful of customers in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value, json};

use super::{Call, permits};

/// The customers, shared by all sessions.
#[derive(Clone)]
pub(super) struct Crm(Arc<Mutex<BTreeMap<String, JsonObject>>>);

impl Default for Crm {
    fn default() -> Self {
        let rows = [
            ("1001", json!({"name": "Ada Lovelace", "tier": "gold"})),
            ("1002", json!({"name": "Charles Babbage", "tier": "silver"})),
            ("1003", json!({"name": "Mary Somerville", "tier": "gold"})),
        ];
        let rows = rows.into_iter().map(|(id, row)| (id.to_owned(), object(row)));
        Self(Arc::new(Mutex::new(rows.collect())))
    }
}

impl ServerHandler for Crm {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("demo-crm", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().into_iter().find(|tool| tool.name == name)
    }

    /// The second look at the credential is the one that counts: what the SDK read from the body
    /// is what runs, whatever the first look read from it.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<Parts>().expect("the SDK hands on the HTTP request");
        let call = parts.extensions.get::<Call>().expect("each request passes `receive`");
        let tool = request.name.as_ref();
        if self.get_tool(tool).is_none() {
            call.entry.not_executed();
            return Err(ErrorData::invalid_params(format!("unknown tool `{tool}`"), None));
        }
        if let Err(refusal) = permits(&call.credential, tool) {
            call.entry.not_executed();
            return Ok(failed(format!("{refusal:?}")));
        }
        let arguments = request.arguments.unwrap_or_default();
        let claims = call.credential.as_ref().expect("`permits` passes verified claims only");
        call.entry.executed(tool, &arguments, claims);
        Ok(self.run(tool, &arguments).map_or_else(failed, |row| CallToolResult::structured(row).into()))
    }
}

impl Crm {
    fn run(&self, tool: &str, arguments: &JsonObject) -> Result<Value, String> {
        let id = arguments.get("id").and_then(Value::as_str).ok_or("`id` must be a string")?;
        let mut rows = self.0.lock().unwrap();
        let row = rows.get_mut(id).ok_or_else(|| format!("no customer `{id}`"))?;
        match tool {
            "crm_update" => {
                let fields = arguments.get("fields").and_then(Value::as_object);
                row.extend(fields.ok_or("`fields` must be an object")?.clone());
                Ok(Value::Object(row.clone()))
            }
            "crm_delete" => {
                rows.remove(id);
                Ok(json!({ "deleted": id }))
            }
            _ => Ok(Value::Object(row.clone())),
        }
    }
}

fn tools() -> Vec<Tool> {
    let id = json!({ "type": "string", "description": "the customer's number, such as 1001" });
    let schema = |properties: Value| {
        let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).collect();
        object(json!({ "type": "object", "required": required, "properties": properties }))
    };
    vec![
        Tool::new("crm_lookup", "Reads one customer", schema(json!({ "id": id }))),
        Tool::new(
            "crm_update",
            "Sets fields of one customer",
            schema(json!({ "id": id, "fields": { "type": "object" } })),
        ),
        Tool::new("crm_delete", "Removes one customer", schema(json!({ "id": id }))),
    ]
}

fn failed(why: String) -> CallToolResponse {
    CallToolResult::error(vec![ContentBlock::text(why)]).into()
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => unreachable!("`{other}` is written above as an object"),
    }
}
