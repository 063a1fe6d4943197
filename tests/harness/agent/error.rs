//! What a failed call tells an agent, found in the SDK's errors.

use std::error::Error;

use rmcp::ServiceError;
use rmcp::service::ClientInitializeError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use serde_json::Value;

/// How a call failed, as far as the SDK lets its user see.
#[derive(Debug)]
pub enum CallError {
    /// 401 or 403 with a challenge; the SDK drops the body.
    Challenged { status: u16, challenge: String, scope: Option<String> },
    /// Any other HTTP error; the body is JSON when it reads as JSON, null when the SDK drops it.
    Http { status: u16, body: Value },
    /// A JSON-RPC error in a body that the SDK reads as such.
    Rpc { code: i32, message: String, data: Value },
    /// The tool ran and failed, or the server said so.
    Tool(Value),
    /// No usable answer: connection refused, cut, not HTTP, too slow.
    Broken(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl std::error::Error for CallError {}

impl CallError {
    /// The HTTP status, where the SDK tells it.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Challenged { status, .. } | Self::Http { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// `data` of the JSON-RPC error, wherever it stands.
    pub fn data(&self) -> Option<&Value> {
        match self {
            Self::Rpc { data, .. } => Some(data),
            Self::Http { body, .. } => body.pointer("/error/data"),
            _ => None,
        }
    }
}

impl From<ServiceError> for CallError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) => error.into(),
            other => transport(&other),
        }
    }
}

impl From<ClientInitializeError> for CallError {
    fn from(error: ClientInitializeError) -> Self {
        match error {
            ClientInitializeError::JsonRpcError(error) => error.into(),
            ClientInitializeError::LegacyFallbackFailed { fallback, .. } => (*fallback).into(),
            // This variant does not name its error as its source.
            ClientInitializeError::TransportError { error, .. } => transport(error.error.as_ref()),
            other => transport(&other),
        }
    }
}

impl From<rmcp::ErrorData> for CallError {
    fn from(error: rmcp::ErrorData) -> Self {
        let data = error.data.unwrap_or_default();
        Self::Rpc { code: error.code.0, message: error.message.into_owned(), data }
    }
}

/// Finds the HTTP layer's error among the causes.
fn transport(error: &(dyn Error + 'static)) -> CallError {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(error) = current.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            return answered(error).unwrap_or_else(|| CallError::Broken(chain(error)));
        }
        cause = current.source();
    }
    CallError::Broken(chain(error))
}

fn answered(error: &StreamableHttpError<reqwest::Error>) -> Option<CallError> {
    match error {
        StreamableHttpError::AuthRequired(error) => {
            Some(CallError::Challenged { status: 401, challenge: error.www_authenticate_header.clone(), scope: None })
        }
        StreamableHttpError::InsufficientScope(error) => Some(CallError::Challenged {
            status: 403,
            challenge: error.www_authenticate_header.clone(),
            scope: error.required_scope.clone(),
        }),
        StreamableHttpError::HttpStatus(error) => Some(CallError::Http { status: error.status, body: Value::Null }),
        StreamableHttpError::SessionExpired => Some(CallError::Http { status: 404, body: Value::Null }),
        // The SDK keeps these only as the text `HTTP 403 Forbidden: <body>`.
        StreamableHttpError::UnexpectedServerResponse(text) => {
            let (head, body) = text.strip_prefix("HTTP ")?.split_once(": ")?;
            let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
            Some(CallError::Http { status: head.get(..3)?.parse().ok()?, body })
        }
        _ => None,
    }
}

/// The error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text = format!("{text}: {current}");
        cause = current.source();
    }
    text
}
