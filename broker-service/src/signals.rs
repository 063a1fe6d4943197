//! `POST /v1/events`: transmitters tell what happened to sessions and accounts, and what that makes unsafe is revoked.
//!
//! ```text
//! content type ─▶ claimed `iss` ─▶ bearer secret ─▶ signature ─▶ claims ─▶ events, subject ─▶ one transaction ─▶ 202
//!                                                                                          seen before? ─▶ 202
//! ```
//!
//! Security Event Tokens ([RFC 8417](https://www.rfc-editor.org/rfc/rfc8417)) by push
//! ([RFC 8935](https://www.rfc-editor.org/rfc/rfc8935)), of the
//! [Shared Signals Framework 1.0](https://openid.net/specs/openid-sharedsignals-framework-1_0-final.html).

mod act;
mod event;
mod refusal;
mod set;
mod subject;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use accredit_policy::policy::Issuer;
use accredit_policy::token::claims::Origin;
use accredit_policy::token::jws::{self, Compact};
use accredit_policy::token::{Outcome, Prover};
use accredit_policy::{Policy, Secret};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::ApiError;
use crate::foreign::{self, Circle};
use crate::token::client::Caller;
use crate::{clock, operator};
use refusal::{Failure, Refusal};
use set::Expected;
pub use subject::{Authority, Meaning, Names, Voice};

/// The `typ` of events, and with `application/` before it their media type.
///
/// [RFC 8417 §2.3](https://www.rfc-editor.org/rfc/rfc8417#section-2.3)
pub const TYPE: &str = "secevent+jwt";

/// The largest event that is read, in bytes.
pub const SIZE: usize = jws::LENGTH;

/// The transmitters there are.
#[derive(Debug)]
pub struct Signals {
    /// Who signs events, by the transmitter's name.
    pub issuers: Policy,
    /// Proves them.
    pub prover: Mutex<Prover>,
    /// What else is known of each.
    transmitters: BTreeMap<String, Transmitter>,
}

/// One transmitter of events.
#[derive(Debug)]
pub struct Transmitter {
    /// Whom its events have to be for.
    pub audience: String,
    /// The bearer token it has to send, if it has to.
    pub secret: Option<Secret>,
    /// What it may speak of.
    pub voice: Voice,
    /// How old an event may be.
    pub max_age: Duration,
}

impl Signals {
    /// These, by their names.
    pub fn new(issuers: BTreeMap<String, Issuer>, transmitters: BTreeMap<String, Transmitter>) -> Self {
        Self { issuers: Policy::of(issuers), prover: Mutex::default(), transmitters }
    }

    fn of(&self, issuer: &str) -> Option<(&Issuer, &Transmitter)> {
        let issuer = self.issuers.issuers().find(|one| one.identifier == issuer)?;
        Some((issuer, self.transmitters.get(&issuer.name)?))
    }
}

/// Takes an event in. 202 means that it is on the disk, with what it revokes.
///
/// [RFC 8935 §2.2](https://www.rfc-editor.org/rfc/rfc8935#section-2.2)
pub async fn receive(State(app): State<App>, caller: Caller, body: Bytes) -> Result<StatusCode, Failure> {
    let address = caller.peer.address.ip();
    app.rates.guesses(address)?;
    let text = text(&caller.headers, &body)?;
    let (issuer, transmitter) = claimed(text)?.and_then(|issuer| app.signals.of(&issuer)).ok_or(Refusal::Issuer)?;
    let proved = prove(&app, &caller.headers, text, (issuer, transmitter)).await;
    let said = proved.inspect_err(|failure| {
        if failure.guessed() {
            app.rates.failed(address);
        }
    })?;
    // Whose signature holds may still have lost control of its queue.
    let by = format!("signals:{}", issuer.name);
    app.rates.request(&by)?;
    let source = act::Source { by, issuer: &issuer.identifier, text };
    let Transmitter { audience, voice, max_age, .. } = transmitter;
    let expected = Expected { issuer: &issuer.identifier, audience, voice, max_age: *max_age, skew: issuer.clock_skew };
    let judged = set::read(&said, &expected, clock::now());
    match judged {
        Ok(set) => act::act(&app, &source, set).await?,
        Err(refusal) => return Err(act::refuse(&app, &source, &said, refusal).await?),
    }
    Ok(StatusCode::ACCEPTED)
}

/// [RFC 8935 §2.1](https://www.rfc-editor.org/rfc/rfc8935#section-2.1): one SET, and said to be one.
fn text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a str, Refusal> {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let media = lines.next().and_then(|value| value.to_str().ok()).filter(|_| lines.next().is_none());
    let media = media.and_then(|media| media.trim().split_once('/'));
    let named =
        |(family, kind): (&str, &str)| family.eq_ignore_ascii_case("application") && kind.eq_ignore_ascii_case(TYPE);
    match media.is_some_and(named) {
        true => std::str::from_utf8(body).map_err(|_| Refusal::Malformed("the body is no text")),
        false => Err(Refusal::Media),
    }
}

/// The transmitter an event says it is of; nothing is proved by it.
fn claimed(text: &str) -> Result<Option<String>, Refusal> {
    Ok(Origin::read(&Compact::parse(text)?.payload)?.issuer)
}

/// What the transmitter has said.
async fn prove(
    app: &App,
    headers: &HeaderMap,
    text: &str,
    (issuer, transmitter): (&Issuer, &Transmitter),
) -> Result<Map<String, Value>, Failure> {
    if let Some(secret) = &transmitter.secret
        && operator::bearer(headers).as_ref() != Some(secret)
    {
        return Err(Refusal::Credential.into());
    }
    match foreign::open(app, Circle::Signals, text, issuer).await {
        Outcome::Proved(said) => Ok(said),
        // Keys that cannot be had say nothing against the event.
        Outcome::Refused(refusal) if refusal.reason.status() == 503 => Err(ApiError::unavailable(refusal.note).into()),
        Outcome::Refused(refusal) => Err(Refusal::from(refusal).into()),
        Outcome::Waits(name) => Err(ApiError::unavailable(format!("the keys of `{name}` are not known yet")).into()),
    }
}
