//! `GET /v1/revocations` of the proxies: what happened since, or a wait until something does.

use std::time::Duration;

use accredit_policy::wire::feed::{Cursor, Page};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts as _, Query, Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::list;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::operator::Operator;
use crate::token::client::{Caller, Client, identify};

/// The longest wait.
const WAIT: Duration = Duration::from_secs(30);

/// How long what happens is gathered before the waiting are told: each of them asks again at once.
const GATHER: Duration = Duration::from_millis(20);

/// Up to where a proxy was told, and how long it waits for more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    after: u64,
    #[serde(default)]
    mark: String,
    #[serde(default)]
    wait: Option<String>,
}

/// Who shows a bearer token is an operator, and gets the list; everybody else has to be a proxy.
pub async fn answer(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let scheme = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().get(..7));
    if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer ")) {
        Operator::from_request_parts(&mut parts, &app).await?;
        return list(&app).await.map(Json::into_response);
    }
    let caller = Caller::from_request_parts(&mut parts, &app).await?;
    let Client::Proxy(_) = identify(&app, &caller, None).await? else {
        return Err(ApiError::new(Code::AccessDenied, "only proxies and operators see revocations"));
    };
    let question = Query::try_from_uri(&parts.uri).map_err(|error| unread(&error))?;
    let page = follow(&app, question).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)).into_response())
}

fn unread(error: &QueryRejection) -> ApiError {
    ApiError::new(Code::InvalidRequest, "not `after`, `mark` and `wait`").because(error)
}

/// What comes after the question's cursor. Whatever was revoked anywhere before the question was asked is in the answer: the
/// table is read before it is given, since another replica's notice can be late or lost.
async fn follow(app: &App, Query(question): Query<Question>) -> Result<Page, ApiError> {
    let Question { after, mark, wait } = question;
    let wait = wait.map_or(Ok(Duration::ZERO), |wait| humantime::parse_duration(&wait));
    let wait =
        wait.map_err(|error| ApiError::new(Code::InvalidRequest, "`wait` is no span such as `25s`").because(error))?;
    let cursor = Cursor { seq: after, mark };
    let until = Instant::now().checked_add(wait.min(WAIT)).unwrap_or_else(Instant::now);
    let mut news = app.store.revocations();
    app.store.refresh().await?;
    // Beyond half of all connections nobody is held, or there were none left for calls.
    let held = app.questions.try_acquire();
    let until = if held.is_ok() { until } else { Instant::now() };
    loop {
        news.mark_unchanged();
        if let Some(page) = app.store.page(&cursor) {
            return Ok(page);
        }
        tokio::select! {
            changed = news.changed() => {
                changed.map_err(ApiError::unavailable)?;
                sleep(GATHER).await;
            }
            () = sleep_until(until) => break,
            () = app.stop.begun() => break,
        }
    }
    app.store.refresh().await?;
    let nothing = Page { after: cursor.seq, seq: cursor.seq, mark: cursor.mark.clone(), ..Page::default() };
    Ok(app.store.page(&cursor).unwrap_or(nothing))
}
