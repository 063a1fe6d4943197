//! The calls, and what they know.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accredit_policy::Time;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::contract::Contract;
use super::{GitHub, Grant, Trouble, app};

const INSTALLATIONS: &str = "GET /app/installations";
const MINT: &str = "POST /app/installations/{installation_id}/access_tokens";
const REPOSITORIES: &str = "GET /installation/repositories";
const REVOKE: &str = "DELETE /installation/token";

/// What all calls share.
pub(super) struct Shared {
    contract: Contract,
    state: Mutex<Known>,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) installations: Vec<Installation>,
    pub(super) grants: Vec<Grant>,
    pub(super) troubles: VecDeque<Trouble>,
    pub(super) answered: Vec<(&'static str, u16)>,
}

/// An account that has the App.
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) account: String,
    pub(super) repositories: Vec<String>,
    pub(super) permissions: Map<String, Value>,
}

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/app/installations", get(installations))
        .route("/app/installations/{id}/access_tokens", post(mint))
        .route("/installation/repositories", get(repositories))
        .route("/installation/token", delete(revoke))
        .with_state(shared)
}

impl Shared {
    pub(super) fn new(contract: &std::path::Path) -> Arc<Self> {
        Arc::new(Self { contract: Contract::read(contract), state: Mutex::default() })
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        // A handler may have panicked over an answer of its own: the test should see that, not this.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Answers a call, unless there is trouble.
    async fn answer(&self, call: &'static str, answer: impl FnOnce(&mut Known) -> Result<Answer, Answer>) -> Response {
        let trouble = self.known().troubles.pop_front();
        if let Some(Trouble::Slow(delay)) = trouble {
            tokio::time::sleep(delay).await;
        }
        let mut known = self.known();
        let answer = trouble.and_then(Trouble::answer).map_or_else(|| answer(&mut known), Err);
        let Answer { status, body } = answer.unwrap_or_else(|refused| refused);
        self.contract.answer(call, status, &body);
        known.answered.push((call, status));
        let code = StatusCode::from_u16(status).expect("it is a status");
        let mut response = if body.is_null() { code.into_response() } else { (code, axum::Json(body)).into_response() };
        if trouble == Some(Trouble::Limited) {
            response.headers_mut().insert("retry-after", "1".parse().expect("it is a number"));
        }
        response
    }
}

struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    fn refused(status: u16, message: &str) -> Self {
        let body = json!({
            "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string(),
        });
        Self { status, body }
    }
}

impl Trouble {
    fn answer(self) -> Option<Answer> {
        let (status, message) = match self {
            Self::Unauthorized => (401, "A JSON web token could not be decoded"),
            Self::Limited => (403, "You have exceeded a secondary rate limit."),
            Self::Refused => (422, "Validation Failed"),
            Self::Broken => (500, "Server Error"),
            Self::Slow(_) => return None,
        };
        Some(Answer::refused(status, message))
    }
}

async fn installations(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let example = shared.contract.example(INSTALLATIONS, 200)[0].clone();
    let list = |known: &mut Known| {
        as_app(&headers)?;
        let one = |installation: &Installation| {
            let mut body = example.clone();
            body["id"] = json!(installation.id);
            body["app_id"] = json!(GitHub::APP);
            // Octokit's edition of the description wants an account to be a user and an enterprise at once.
            for name in ["login", "name", "slug", "created_at", "updated_at"] {
                body["account"][name] = json!(installation.account);
            }
            body["permissions"] = json!(installation.permissions);
            body
        };
        Ok(Answer { status: 200, body: known.installations.iter().map(one).collect() })
    };
    shared.answer(INSTALLATIONS, list).await
}

async fn mint(State(shared): State<Arc<Shared>>, Path(id): Path<u64>, headers: HeaderMap, body: String) -> Response {
    let example = shared.contract.example(REPOSITORIES, 200)["repositories"][0].clone();
    let mint = |known: &mut Known| {
        as_app(&headers)?;
        let found = known.installations.iter().find(|installation| installation.id == id);
        let installation = found.ok_or_else(|| Answer::refused(404, "Not Found"))?;
        let text = if body.is_empty() { "{}" } else { &body };
        let asked: Value = serde_json::from_str(text).map_err(|_| Answer::refused(400, "Problems parsing JSON"))?;
        shared.contract.request(MINT, &asked).map_err(|wrong| Answer::refused(422, &wrong))?;
        let grant = installation.narrow(&asked)?;
        let expires = SystemTime::now() + Duration::from_secs(3600);
        let mut answer = json!({
            "token": grant.token, "expires_at": timestamp(expires), "permissions": grant.permissions,
            "repository_selection": "selected",
        });
        if asked.get("repositories").or_else(|| asked.get("repository_ids")).is_some() {
            answer["repositories"] = installation.describe(&example, &grant.repositories);
        }
        known.grants.push(grant);
        Ok(Answer { status: 201, body: answer })
    };
    shared.answer(MINT, mint).await
}

async fn repositories(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let example = shared.contract.example(REPOSITORIES, 200)["repositories"][0].clone();
    let list = |known: &mut Known| {
        let grant = as_installation(&headers, &mut known.grants)?;
        let of = known.installations.iter().find(|installation| installation.id == grant.installation);
        let repositories = of.map_or_else(|| json!([]), |of| of.describe(&example, &grant.repositories));
        Ok(Answer {
            status: 200,
            body: json!({ "total_count": grant.repositories.len(), "repositories": repositories }),
        })
    };
    shared.answer(REPOSITORIES, list).await
}

async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let revoke = |known: &mut Known| {
        as_installation(&headers, &mut known.grants)?.live = false;
        Ok(Answer { status: 204, body: Value::Null })
    };
    shared.answer(REVOKE, revoke).await
}

impl Installation {
    /// What is asked, which may only be less than what the installation has.
    fn narrow(&self, asked: &Value) -> Result<Grant, Answer> {
        let level = |level: &Value| ["read", "write", "admin"].iter().position(|name| level == name);
        let permissions = asked["permissions"].as_object().unwrap_or(&self.permissions);
        let within = |(name, wanted)| self.permissions.get(name).is_some_and(|held| level(wanted) <= level(held));
        if !permissions.iter().all(within) {
            return Err(Answer::refused(422, "The permissions requested are not granted to this installation."));
        }
        let named = asked["repositories"].as_array().into_iter().flatten().map(Value::as_str);
        let number = |id: &Value| {
            let index = usize::try_from(id.as_u64()?.checked_sub(1)?).ok()?;
            self.repositories.get(index).map(String::as_str)
        };
        let numbered = asked["repository_ids"].as_array().into_iter().flatten().map(number);
        let wanted: Option<Vec<&str>> = named.chain(numbered).collect();
        let known = |name: &&str| self.repositories.iter().any(|repository| repository == name);
        let Some(wanted) = wanted.filter(|wanted| wanted.iter().all(known)) else {
            let missing =
                "There is at least one repository that does not exist or is not accessible to the parent installation.";
            return Err(Answer::refused(422, missing));
        };
        let all = || self.repositories.clone();
        let repositories = if wanted.is_empty() { all() } else { wanted.into_iter().map(str::to_owned).collect() };
        Ok(Grant { token: token(), installation: self.id, repositories, permissions: permissions.clone(), live: true })
    }

    /// These repositories, as GitHub shows them.
    fn describe(&self, example: &Value, names: &[String]) -> Value {
        let one = |name: &String| {
            let mut body = example.clone();
            let index = self.repositories.iter().position(|repository| repository == name);
            body["id"] = json!(index.map_or(0, |index| index + 1));
            body["name"] = json!(name);
            body["full_name"] = json!(format!("{}/{name}", self.account));
            body["owner"]["login"] = json!(self.account);
            body
        };
        names.iter().map(one).collect()
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    value
        .split_once(' ')
        .filter(|(scheme, _)| ["bearer", "token"].contains(&&*scheme.to_lowercase()))
        .map_or("", |(_, token)| token)
}

fn as_app(headers: &HeaderMap) -> Result<(), Answer> {
    let names = [&GitHub::APP.to_string(), GitHub::CLIENT];
    app::judge(bearer(headers), &names).map_err(|wrong| Answer::refused(401, wrong))
}

fn as_installation<'a>(headers: &HeaderMap, grants: &'a mut [Grant]) -> Result<&'a mut Grant, Answer> {
    let token = bearer(headers);
    let grant = grants.iter_mut().find(|grant| grant.live && grant.token == token);
    grant.ok_or_else(|| Answer::refused(401, "Bad credentials"))
}

/// A token in the form GitHub gives out since April 2026: `ghs_`, the App's number and a JWT, far longer than before.
fn token() -> String {
    let mut bytes = [0; 384];
    aws_lc_rs::rand::fill(&mut bytes).expect("there is randomness");
    let [header, payload, signature] =
        [&bytes[..36], &bytes[36..300], &bytes[300..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("ghs_{}_{header}.{payload}.{signature}", GitHub::APP)
}

/// A moment as GitHub writes it, such as `2016-07-11T22:14:10Z`.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    Time::from_seconds(seconds).rfc3339().replace(".000", "")
}
