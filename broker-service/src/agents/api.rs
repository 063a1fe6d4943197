//! `/v1/agents`: what operators do with agents.

use accredit_policy::config::error::{Path as Place, Report};
use accredit_policy::config::field::Field;
use accredit_policy::{Secret, Time};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::profile::{Method, Profile};
use super::registry::Entry;
use super::secret::{self, Digest};
use super::{Agent, Status, registry};
use crate::app::App;
use crate::config::raw;
use crate::error::{ApiError, Code};
use crate::operator::Operator;
use crate::{admin, clock};

/// `GET /v1/agents`: all of them.
pub async fn list(State(app): State<App>, _: Operator) -> Result<Json<Value>, ApiError> {
    let agents = registry::all(app.store.pool()).await?;
    Ok(Json(json!({ "agents": agents.iter().map(show).collect::<Vec<_>>() })))
}

/// `GET /v1/agents/{id}`
pub async fn one(State(app): State<App>, _: Operator, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    Ok(Json(show(&known(&app, &id).await?)))
}

/// `POST /v1/agents`: registers one. Its secret is in the answer, and nowhere else afterwards.
pub async fn register(State(app): State<App>, operator: Operator, body: Bytes) -> Result<Response, ApiError> {
    let raw = read(&body)?;
    let Field::Read(id) = raw.id.clone() else {
        return Err(ApiError::new(Code::InvalidRequest, "the registration has no `id`"));
    };
    let profile = check(&app, &raw)?;
    let (secret, digest) = fresh(&profile)?;
    let record = admin::record(&app, &operator, "agent.register", &id)?;
    if !registry::put(&app, Entry::New, (&id, &profile), digest.as_ref(), &record).await? {
        return Err(ApiError::new(Code::Conflict, "an agent with this identifier is registered already"));
    }
    Ok(shown_once(StatusCode::CREATED, &known(&app, &id).await?, secret))
}

/// `PUT /v1/agents/{id}`: changes what is said of it, all at once. A secret it has stays as it is.
pub async fn change(
    State(app): State<App>,
    operator: Operator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let raw = read(&body)?;
    let profile = check(&app, &raw)?;
    let had = known(&app, &id).await?.secret.is_some();
    // Kept only where the agent has none when it is written.
    let (secret, digest) = fresh(&profile)?;
    let record = admin::record(&app, &operator, "agent.change", &id)?;
    registry::put(&app, Entry::Told, (&id, &profile), digest.as_ref(), &record).await?;
    let secret = secret.filter(|_| !had);
    Ok(shown_once(StatusCode::OK, &known(&app, &id).await?, secret))
}

/// `POST /v1/agents/{id}/rotate-secret`: the old one is worth nothing from then on.
pub async fn rotate(State(app): State<App>, operator: Operator, Path(id): Path<String>) -> Result<Response, ApiError> {
    let agent = known(&app, &id).await?;
    let (Some(secret), digest) = fresh(&agent.profile)? else {
        return Err(ApiError::new(Code::Conflict, "this agent proves who it is without a secret"));
    };
    let record = admin::record(&app, &operator, "agent.rotate-secret", &id)?;
    registry::put(&app, Entry::Secret, (&id, &agent.profile), digest.as_ref(), &record).await?;
    Ok(shown_once(StatusCode::OK, &agent, Some(secret)))
}

/// What may be said with a change of status.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why, for the record.
    why: Option<String>,
}

/// `POST /v1/agents/{id}/suspend`: refused everywhere until it is resumed.
pub async fn suspend(
    state: State<App>,
    operator: Operator,
    path: Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    turn(state, operator, path, &body, Status::Suspended).await
}

/// `POST /v1/agents/{id}/resume`
pub async fn resume(
    state: State<App>,
    operator: Operator,
    path: Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    turn(state, operator, path, &body, Status::Active).await
}

/// `POST /v1/agents/{id}/retire`: refused everywhere, for good.
pub async fn retire(
    state: State<App>,
    operator: Operator,
    path: Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    turn(state, operator, path, &body, Status::Retired).await
}

async fn turn(
    State(app): State<App>,
    operator: Operator,
    Path(id): Path<String>,
    body: &[u8],
    status: Status,
) -> Result<Json<Value>, ApiError> {
    let Reason { why } = match body {
        [] => Reason::default(),
        body => serde_json::from_slice(body)
            .map_err(|error| ApiError::new(Code::InvalidRequest, "not an object with `why`").because(error))?,
    };
    let agent = known(&app, &id).await?;
    if status == Status::Active && agent.profile.expires_at.is_some_and(|end| end <= clock::now()) {
        return Err(ApiError::new(Code::Conflict, "its `expires_at` is past: change that first"));
    }
    match registry::turn(&app, &agent, status, operator.name(), why.as_deref()).await? {
        true => Ok(Json(show(&known(&app, &id).await?))),
        false => Err(ApiError::new(Code::Conflict, "its status does not allow this").because(agent.status)),
    }
}

async fn known(app: &App, id: &str) -> Result<Agent, ApiError> {
    let agent = registry::find(app.store.pool(), id).await?;
    agent.ok_or_else(|| ApiError::new(Code::NotFound, "no agent has this identifier"))
}

fn read(body: &[u8]) -> Result<raw::Agent, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(Code::InvalidRequest, "the registration is no JSON object").because(error))
}

/// By the rules of the file; a secret comes from the broker here, never from the caller.
fn check(app: &App, raw: &raw::Agent) -> Result<Profile, ApiError> {
    let mut report = Report::default();
    let profile = Profile::check(raw, Some(&app.policy), &Place::root(), &mut report);
    let root = Place::root();
    if raw.secret_file.stands() {
        report.add(&root.at("secret_file"), "a value", "none: the broker makes the secret and shows it once");
    }
    report.finish(profile).map_err(|errors| {
        let details = errors.iter().map(ToString::to_string).collect();
        ApiError::new(Code::InvalidRequest, "the registration cannot be accepted").detailed(details)
    })
}

/// A new secret and its digest, for an agent that proves who it is by one.
fn fresh(profile: &Profile) -> Result<(Option<Secret>, Option<Digest>), ApiError> {
    match profile.method {
        Method::Secret => {
            let secret = secret::new()?;
            let digest = Digest::new(&secret)?;
            Ok((Some(secret), Some(digest)))
        }
        _ => Ok((None, None)),
    }
}

fn shown_once(status: StatusCode, agent: &Agent, secret: Option<Secret>) -> Response {
    let mut body = members(agent);
    if let Some(secret) = secret {
        body.insert("secret".to_owned(), json!(secret.reveal()));
    }
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// What operators see of an agent.
fn show(agent: &Agent) -> Value {
    Value::Object(members(agent))
}

fn members(agent: &Agent) -> Map<String, Value> {
    let mut members = agent.profile.members();
    let more = [
        ("id", json!(agent.id)),
        ("status", json!(agent.status.name())),
        ("created", json!(agent.created.rfc3339())),
        ("last_used", json!(agent.used.map(Time::rfc3339))),
    ];
    members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    members
}
