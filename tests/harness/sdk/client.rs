//! The client of the Rust SDK; `tests/sdk/client.py` is the same by the Python SDK.

use std::time::Duration;

use rmcp::model::{
    ClientConfig, ClientRequest, ElicitRequestParams, ElicitResult, ElicitationAction, PingRequest,
    ProgressNotificationParam, ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, Subscription};
use rmcp::{ClientHandler, ClientServiceExt as _, ErrorData, RoleClient};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::{Access, Said, Script, Step, Wrong};
use crate::agent::{Agent, CallError};

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn converse(scripts: &[Script]) -> Vec<Vec<Said>> {
    let mut all = Vec::new();
    for script in scripts {
        all.push(hold(script).await);
    }
    all
}

async fn hold(script: &Script) -> Vec<Said> {
    let mut said = Vec::new();
    let mut note = |step: &str, outcome: Result<Value, CallError>| {
        let well = outcome.is_ok();
        said.push(Said { step: step.to_owned(), outcome: outcome.map_err(Wrong::from) });
        well
    };
    match Conversation::begin(script).await {
        Ok(mut conversation) => {
            note("connect", Ok(conversation.about()));
            for step in &script.steps {
                note(step.method, conversation.step(step).await);
            }
            note("close", conversation.end().await);
        }
        Err(error) => _ = note("connect", Err(error)),
    }
    said
}

struct Conversation {
    service: RunningService<RoleClient, Ear>,
    listening: Option<Subscription>,
    progress: UnboundedReceiver<Value>,
    updates: UnboundedReceiver<String>,
}

/// Whoever the agent works for: says yes to everything, and notes what it is told.
struct Ear {
    config: ClientConfig,
    progress: UnboundedSender<Value>,
    updates: UnboundedSender<String>,
}

impl ClientHandler for Ear {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "sure": true })))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.progress.send(json!([params.progress, params.total, params.message])).ok();
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.updates.send(params.uri).ok();
    }
}

impl Conversation {
    async fn begin(script: &Script) -> Result<Self, CallError> {
        let Access::Token(token) = &script.access else { panic!("the SDK is built without OAuth") };
        let dial = Agent::dial(&script.url).token(token).era(script.era.clone());
        let (transport, mut config, lifecycle) = dial.parts();
        config.capabilities.elicitation = Some(from(json!({})));
        let ((told, progress), (heard, updates)) = (unbounded_channel(), unbounded_channel());
        let ear = Ear { config, progress: told, updates: heard };
        let service = bounded(ear.serve_with_lifecycle(transport, lifecycle)).await??;
        Ok(Self { service, listening: None, progress, updates })
    }

    fn about(&self) -> Value {
        let info = self.service.peer_info().expect("a connected client knows its server");
        json!({ "revision": info.protocol_version, "capabilities": info.capabilities })
    }

    async fn end(self) -> Result<Value, CallError> {
        drop(self.listening);
        bounded(self.service.cancel()).await?.map_err(|error| CallError::Broken(error.to_string()))?;
        Ok(Value::Null)
    }

    #[expect(deprecated, reason = "what the legacy era has and the modern one has not")]
    async fn step(&mut self, step: &Step) -> Result<Value, CallError> {
        let (service, params) = (&self.service, step.params.clone());
        match step.method {
            "ping" => plain(service.send_request(ClientRequest::PingRequest(PingRequest::default()))).await,
            "tools/list" => plain(service.list_tools(None)).await,
            "prompts/list" => plain(service.list_prompts(None)).await,
            "resources/list" => plain(service.list_resources(None)).await,
            "resources/templates/list" => plain(service.list_resource_templates(None)).await,
            "tools/call" => plain(service.call_tool(from(params))).await,
            "prompts/get" => plain(service.get_prompt(from(params))).await,
            "resources/read" => plain(service.read_resource(from(params))).await,
            "resources/subscribe" => plain(service.subscribe(from(params))).await,
            "completion/complete" => plain(service.complete(from(params))).await,
            "logging/setLevel" => plain(service.set_level(from(params))).await,
            "subscriptions/listen" => self.listen(from(params["notifications"].clone())).await,
            "progressed" => self.progressed(params["count"].as_u64().unwrap_or_default()).await,
            "updated" => self.updated().await,
            other => panic!("no step `{other}`"),
        }
    }

    async fn listen(&mut self, filter: SubscriptionFilter) -> Result<Value, CallError> {
        let listening = bounded(self.service.listen(filter)).await??;
        let honored = json!({ "honored": listening.acknowledged() });
        self.listening = Some(listening);
        Ok(honored)
    }

    /// The SDK hands each notice to a task of its own, so their order is not kept.
    async fn progressed(&mut self, count: u64) -> Result<Value, CallError> {
        let mut heard = Vec::new();
        for _ in 0..count {
            heard.extend(bounded(self.progress.recv()).await?);
        }
        heard.sort_by_key(|notice| notice[0].as_f64().map(f64::to_bits));
        Ok(json!(heard))
    }

    async fn updated(&mut self) -> Result<Value, CallError> {
        let uri = match &mut self.listening {
            None => bounded(self.updates.recv()).await?,
            Some(listening) => match bounded(listening.next()).await?? {
                Some(ServerNotification::ResourceUpdatedNotification(notice)) => Some(notice.params.uri),
                other => return Err(CallError::Broken(format!("{other:?}"))),
            },
        };
        Ok(json!({ "uri": uri }))
    }
}

async fn plain<T: Serialize, E>(work: impl Future<Output = Result<T, E>>) -> Result<Value, CallError>
where
    CallError: From<E>,
{
    Ok(serde_json::to_value(bounded(work).await??).expect("a result is plain data"))
}

async fn bounded<T>(work: impl Future<Output = T>) -> Result<T, CallError> {
    timeout(PATIENCE, work).await.map_err(|_| CallError::Broken(format!("no answer within {PATIENCE:?}")))
}

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the script is well-formed")
}

impl From<CallError> for Wrong {
    fn from(error: CallError) -> Self {
        let blank = Self::default();
        let class = |name: &str| name.to_owned();
        match error {
            CallError::Challenged { status, challenge, scope } => {
                Self { class: class("Challenged"), status: Some(status), scope, message: challenge, ..blank }
            }
            CallError::Http { status, body } => Self {
                class: class("Http"),
                status: Some(status),
                code: body["error"]["code"].as_i64(),
                message: body["error"]["message"].as_str().unwrap_or_default().to_owned(),
                data: body["error"]["data"].clone(),
                ..blank
            },
            CallError::Rpc { code, message, data } => {
                Self { class: class("Rpc"), code: Some(code.into()), message, data, ..blank }
            }
            CallError::Tool(data) => Self { class: class("Tool"), data, ..blank },
            CallError::Broken(message) => Self { class: class("Broken"), message, ..blank },
        }
    }
}
