//! The operators' side of secrets: put, list, remove; values only come in.

use accredit_policy::Secret;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{About, Name, SIZE};
use crate::admin;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::operator::Operator;

/// `PUT /v1/secrets/{name}`: the body is the value; it counts from now on, and the one before no more.
pub async fn put(
    State(app): State<App>,
    operator: Operator,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let name = parse(&name)?;
    let wrong = || ApiError::new(Code::InvalidRequest, "a secret is a text of 1 to 16384 bytes");
    let body = body.map_err(|error| wrong().because(error))?;
    let text = str::from_utf8(&body).ok().filter(|text| (1..=SIZE).contains(&text.len())).ok_or_else(wrong)?;
    let record = admin::record(&app, &operator, "secret.put", name.as_str())?;
    let about = app.secrets.put(&name, &Secret::new(text), operator.name(), &record).await?;
    Ok(Json(shown(&about)))
}

/// `GET /v1/secrets`: names, versions and times.
pub async fn list(State(app): State<App>, _: Operator) -> Result<Json<Value>, ApiError> {
    let secrets = app.secrets.list().await?;
    Ok(Json(json!({ "secrets": secrets.iter().map(shown).collect::<Vec<_>>() })))
}

/// `DELETE /v1/secrets/{name}`
pub async fn remove(
    State(app): State<App>,
    operator: Operator,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name = parse(&name)?;
    let record = admin::record(&app, &operator, "secret.remove", name.as_str())?;
    match app.secrets.remove(&name, &record).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::new(Code::NotFound, "there is no such secret")),
    }
}

/// `POST /v1/data-keys`: a new data key, and everything sealed anew with it.
pub async fn rotate(State(app): State<App>, operator: Operator) -> Result<Json<Value>, ApiError> {
    let record = admin::record(&app, &operator, "data-key.rotate", "all")?;
    // On the record before it is done: what is sealed anew is many transactions.
    app.store.append(vec![record]).await.map_err(ApiError::unavailable)?;
    let (id, resealed) = app.vault.rotate().await.map_err(ApiError::unavailable)?;
    Ok(Json(json!({ "key": id.to_string(), "resealed": resealed.done, "failed": resealed.failed })))
}

fn parse(name: &str) -> Result<Name, ApiError> {
    let wrong = "the name is not 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit";
    Name::parse(name).ok_or_else(|| ApiError::new(Code::InvalidRequest, wrong))
}

fn shown(about: &About) -> Value {
    let About { name, version, created, created_by } = about;
    json!({ "name": name, "version": version, "created": created.rfc3339(), "created_by": created_by })
}
