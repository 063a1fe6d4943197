//! What a SET asks for, done and recorded in one transaction, once.

use accredit_policy::Secret;
use accredit_policy::revocation::{Revocation, Target};
use accredit_policy::token::claims::named;
use accredit_policy::token::{digest, hex};
use accredit_policy::wire::audit::{Decision, Record, Token};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::refusal::{Failure, Refusal};
use super::set::{Effect, Event, Set};
use crate::agents::registry;
use crate::app::App;
use crate::error::ApiError;
use crate::store::{Change, Seen, insert, remember};
use crate::{admin, clock, revocations};

/// Where a SET comes from.
pub struct Source<'a> {
    /// The transmitter, as the record names it.
    pub by: String,
    /// Its `iss`.
    pub issuer: &'a str,
    /// The SET as it came.
    pub text: &'a str,
}

impl Source<'_> {
    /// How records name the SET.
    fn token(&self, id: Option<&str>) -> Token {
        Token { jti: id.map(str::to_owned), sha256: hex(&digest(&Secret::new(self.text))) }
    }

    /// What was signed. The signature is left out: one that is made again, by an algorithm that rolls dice, is another.
    fn content(&self) -> String {
        hex(&Sha256::digest(self.text.rsplit_once('.').map_or(self.text, |(signed, _)| signed)))
    }
}

/// Does what `set` asks for. Once it returns that is on the disk and counts here, and others are told.
///
/// A SET that was taken before is acknowledged once more and nothing else: its transmitter has not heard of the first time.
pub async fn act(app: &App, source: &Source<'_>, set: Set) -> Result<(), Failure> {
    let Set { id, until, events } = set;
    let mut work = Work { from: source.token(Some(&id)), changes: Vec::new(), records: Vec::new() };
    for event in events {
        work.take(app, source, event).await?;
    }
    // Hashed, so that what is kept of a `jti` has a bound; no identifier holds the byte between the two.
    let name = hex(&Sha256::new().chain_update(source.issuer).chain_update([0]).chain_update(&id).finalize());
    let mut transaction = app.store.begin().await?;
    match remember(&mut transaction, ("event", &name), &source.content(), until).await? {
        Seen::Before => {
            // Others wait for it, and what follows takes a connection of its own.
            drop(transaction);
            tracing::info!(by = source.by, jti = id, "an event came again");
        }
        Seen::New => {
            for change in &work.changes {
                app.store.revoke(&mut transaction, change).await?;
            }
            insert(&mut transaction, &work.records.iter().collect::<Vec<_>>()).await?;
            transaction.commit().await?;
        }
        Seen::Other => {
            drop(transaction);
            return Err(denied(app, source, Some(&id), Refusal::Changed).await?);
        }
    }
    Ok(app.store.refresh().await?)
}

/// Records that what a transmitter has `said` is not taken.
pub async fn refuse(
    app: &App,
    source: &Source<'_>,
    said: &Map<String, Value>,
    refusal: Refusal,
) -> Result<Failure, Failure> {
    denied(app, source, said.get("jti").and_then(Value::as_str).filter(|id| named(id)), refusal).await
}

async fn denied(app: &App, source: &Source<'_>, id: Option<&str>, refusal: Refusal) -> Result<Failure, Failure> {
    let record = Record {
        decision: Some(Decision::Deny),
        reason: Some(refusal.reason().to_owned()),
        from: vec![source.token(id)],
        ..admin::by(app, &source.by, "event.refuse", source.issuer, None)?
    };
    app.store.append(vec![record]).await?;
    Ok(refusal.into())
}

/// What there is to write.
struct Work {
    from: Token,
    changes: Vec<Change>,
    records: Vec<Record>,
}

impl Work {
    async fn take(&mut self, app: &App, source: &Source<'_>, event: Event) -> Result<(), Failure> {
        let Event { kind, effect } = event;
        let by = source.by.as_str();
        match effect {
            Effect::Revoked(revocation) => {
                for revocation in here(app, revocation).await? {
                    self.revoke(app, by, revocation, &kind)?;
                }
            }
            Effect::Ignored(why) => {
                tracing::warn!(by, kind, "an event is ignored: {why}");
                self.record(admin::by(app, by, "event.ignore", &kind, Some(why))?);
            }
            Effect::Verified(state) => {
                tracing::info!(by, state, "the transmitter verifies that its events arrive");
                self.record(admin::by(app, by, "event.verify", &kind, None)?);
            }
        }
        Ok(())
    }

    fn revoke(&mut self, app: &App, by: &str, revocation: Revocation, kind: &str) -> Result<(), Failure> {
        if self.changes.iter().any(|change| change.revocation == revocation) {
            return Ok(());
        }
        self.record(revocations::record(app, &revocation, "revocation.add", by, Some(kind))?);
        tracing::info!(by, kind, target = %revocation.target, "revocation.add");
        self.changes.push(Change { revocation, lifts: false, by: by.to_owned(), why: Some(kind.to_owned()) });
        Ok(())
    }

    fn record(&mut self, record: Record) {
        self.records.push(Record { from: vec![self.from.clone()], ..record });
    }
}

/// The revocation with what it means for our own tokens.
///
/// A subject of ours that is a registered agent is that agent, in other tokens' chains too. A user of an enterprise goes by
/// the same name in the tokens that were issued here against its assertions, unless that is an agent's name: for that one no
/// assertion was taken.
async fn here(app: &App, revocation: Revocation) -> Result<Vec<Revocation>, ApiError> {
    let ours = app.issuer.url().to_owned();
    let (Target::Subject { issuer, subject } | Target::AgentFor { issuer, subject, .. }) = &revocation.target else {
        return Ok(vec![revocation]);
    };
    let agent = registry::find(app.store.pool(), subject).await?.is_some();
    let lent = app.enterprises.issuers().any(|one| one.identifier == *issuer);
    let same = |target| Revocation { target, ..revocation.clone() };
    // An assertion from before the event may have been redeemed since: until now nobody here knew of it.
    let heard = clock::now().seconds().saturating_add(1);
    let lately = |target| Revocation { before: Some(heard), ..same(target) };
    Ok(match revocation.target.clone() {
        Target::Subject { issuer, subject } if agent && issuer == ours => {
            vec![same(Target::Agent { issuer, id: subject })]
        }
        Target::Subject { subject, .. } if lent && !agent => {
            let own = lately(Target::Subject { issuer: ours, subject });
            vec![revocation, own]
        }
        Target::AgentFor { id, subject, .. } if lent && !agent => {
            let own = lately(Target::AgentFor { issuer: ours, id, subject });
            vec![revocation, own]
        }
        _ => vec![revocation],
    })
}
