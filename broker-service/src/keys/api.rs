//! `/v1/keys`: the keys that sign tokens, and how operators change them.

use accredit_policy::Time;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rotate::{self, Pace};
use super::table::{self, Entry};
use super::{Life, State as Doing};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::operator::Operator;

/// `GET /v1/keys`: those that are published, the first to sign first.
pub async fn list(State(app): State<App>, _: Operator) -> Result<Json<Value>, ApiError> {
    let entries = table::entries(&mut *app.store.pool().acquire().await?).await?;
    Ok(Json(json!({ "keys": show(&entries, clock::now()) })))
}

/// What an operator says of a rotation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Whether the new key signs at once, and all that older ones have signed is refused.
    #[serde(default)]
    now: bool,
    /// Why, for the record.
    why: Option<String>,
}

/// `POST /v1/keys/rotate`: makes a key. Out: its `kid`, and all keys there are.
pub async fn rotate(State(app): State<App>, operator: Operator, body: Bytes) -> Result<Json<Value>, ApiError> {
    let Wish { now, why } = match &*body {
        [] => Wish::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            ApiError::new(Code::InvalidRequest, "not an object with `now` and `why`").because(error)
        })?,
    };
    let pace = if now { Pace::AtOnce } else { Pace::InTurn };
    let id = rotate::rotate(&app, pace, operator.name(), why.as_deref()).await?;
    let entries = table::entries(&mut *app.store.pool().acquire().await?).await?;
    Ok(Json(json!({ "kid": id, "keys": show(&entries, clock::now()) })))
}

fn show(entries: &[Entry], now: Time) -> Vec<Value> {
    let lives: Vec<Life> = entries.iter().map(|(_, life)| *life).collect();
    let states = entries.iter().map(|(id, life)| (id, life, life.state(&lives, now)));
    states
        .filter(|(_, _, state)| *state != Doing::Gone)
        .map(|(id, life, state)| {
            json!({
                "kid": id,
                "state": state.name(),
                "created": life.created.rfc3339(),
                "signs_from": life.signs_from.rfc3339(),
                "ends": life.retired_at.map(Time::rfc3339),
            })
        })
        .collect()
}
