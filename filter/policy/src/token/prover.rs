//! Proves tokens with the keys, lists and earlier proofs there are.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::alg::Algorithm;
use super::cache::{Cache, Tally};
use super::claims::{self, Claims, Origin, malformed};
use super::jws::{Compact, Header};
use super::native::{self, Native};
use super::status::{self, List};
use super::{Proved, Refusal, Verified, digest, svid};
use crate::denial::Reason;
use crate::fetch::{Answer, Document, Fetch};
use crate::keys::{Health, Keys, Lookup};
use crate::lists::{self, Lists};
use crate::policy::{Issuer, Policy, Profile, Server};
use crate::secret::Secret;
use crate::time::Time;
use crate::token::typ::Typ;

/// How often ended tokens are dropped from the cache.
const SWEEP: Duration = Duration::from_secs(30);

/// What became of a token, or of another thing an issuer has signed.
#[derive(Debug)]
pub enum Outcome<T = Verified> {
    /// It holds.
    Proved(T),
    /// It does not.
    Refused(Refusal),
    /// Keys or lists of this issuer, by its name in the policy, have to be there first.
    Waits(String),
}

/// Everything it takes to prove tokens, besides the policy and the time.
#[derive(Debug)]
pub struct Prover {
    keys: Keys,
    lists: Lists,
    cache: Cache,
    native: Native,
    swept: Time,
}

impl Default for Prover {
    fn default() -> Self {
        Self::new(native::absent, 0)
    }
}

impl Prover {
    /// Without keys yet; `native` checks signatures where it can, `seed` spreads the fetches of many workers.
    pub fn new(native: Native, seed: u64) -> Self {
        Self { keys: Keys::new(seed), lists: Lists::default(), cache: Cache::default(), native, swept: Time::default() }
    }

    /// Proves `token`, which came at `since`, for `server` at `now`.
    pub fn prove(&mut self, token: &Secret, server: &Server, policy: &Policy, since: Time, now: Time) -> Outcome {
        self.judge(token, &Asked { server: Some(server), policy, since, now }).unwrap_or_else(Outcome::Refused)
    }

    /// Proves a token of any issuer of the policy. Whom it is for is left to the caller to judge.
    pub fn recognise(&mut self, token: &Secret, policy: &Policy, since: Time, now: Time) -> Outcome {
        self.judge(token, &Asked { server: None, policy, since, now }).unwrap_or_else(Outcome::Refused)
    }

    /// Opens what `issuer` has signed and is no token of an agent's. What it says is left to the caller to judge.
    pub fn open(&mut self, text: &str, issuer: &Issuer, since: Time, now: Time) -> Outcome<Map<String, Value>> {
        self.opened(text, issuer, (since, now)).unwrap_or_else(Outcome::Refused)
    }

    fn opened(
        &mut self,
        text: &str,
        issuer: &Issuer,
        times: (Time, Time),
    ) -> Result<Outcome<Map<String, Value>>, Refusal> {
        let compact = Compact::parse(text)?;
        let header = compact.header()?;
        issuer.typ.check(header.typ.as_deref())?;
        allowed(issuer, header.algorithm)?;
        match signed(&mut self.keys, self.native, (&compact, &header), issuer, times)? {
            Signed::By(_) => claims::object(&compact.payload).map(Outcome::Proved),
            Signed::Waits => Ok(Outcome::Waits(issuer.name.clone())),
        }
    }

    /// The host's check of signatures.
    pub fn native(&self) -> Native {
        self.native
    }

    fn judge(&mut self, token: &Secret, asked: &Asked<'_>) -> Result<Outcome, Refusal> {
        let Asked { server, policy, now, .. } = *asked;
        let Self { keys, cache, .. } = self;
        let known = cache.find(token.reveal(), |proved| keys.edition(policy.issuer(&proved.name)?, now));
        let proved = match known {
            Some(proved) => proved,
            None => match self.signature(token, asked)? {
                Signature::Holds(proved) => proved,
                Signature::Waits(issuer) => return Ok(Outcome::Waits(issuer)),
            },
        };
        let issuer = accepted(server, policy).find(|issuer| issuer.name == proved.name).ok_or_else(foreign)?;
        server.map_or(Ok(()), |server| proved.claims.addressed(server))?;
        proved.claims.current(issuer, now)?;
        match self.listed(issuer, &proved.claims, now)? {
            Step::Done => Ok(Outcome::Proved(Verified(proved))),
            Step::Waits => Ok(Outcome::Waits(issuer.name.clone())),
        }
    }

    /// Takes a token apart, checks its signature and reads its claims.
    fn signature(&mut self, token: &Secret, asked: &Asked<'_>) -> Result<Signature, Refusal> {
        let compact = Compact::parse(token.reveal())?;
        let header = compact.header()?;
        let issuer = issuer(&compact, asked.server, asked.policy)?;
        allowed(issuer, header.algorithm)?;
        match &issuer.profile {
            Profile::AccessToken => issuer.typ.check(header.typ.as_deref())?,
            Profile::JwtSvid { .. } => svid::header(&compact.parameters)?,
        }
        let times = (asked.since, asked.now);
        let key = match signed(&mut self.keys, self.native, (&compact, &header), issuer, times)? {
            Signed::By(key) => key,
            Signed::Waits => return Ok(Signature::Waits(issuer.name.clone())),
        };
        let claims = Claims::parse(&compact.payload, issuer, asked.now)?;
        let proved = Arc::new(Proved {
            issuer: issuer.identifier.clone(),
            name: issuer.name.clone(),
            claims,
            // Not what the header says: a key that was revoked signs without a `kid`, too.
            key,
            digest: digest(token),
            edition: self.keys.edition(issuer, asked.now).unwrap_or_default(),
        });
        self.cache.keep(token, &proved);
        Ok(Signature::Holds(proved))
    }

    /// Looks the token up in its issuer's status list.
    fn listed(&mut self, issuer: &Issuer, claims: &Claims, now: Time) -> Result<Step, Refusal> {
        let (Some(option), Some(listing)) = (&issuer.status, &claims.listing) else {
            return Ok(Step::Done);
        };
        // A list is fetched from where the token says: never from a place its issuer has nothing to do with.
        if !option.origins.iter().any(|origin| origin == listing.list.origin()) {
            return Err(malformed("the status list is at none of the issuer's origins"));
        }
        match self.lists.find(issuer, listing, option.max_age, now) {
            lists::Lookup::Judged(verdict) => verdict.map(|()| Step::Done),
            lists::Lookup::Waits => Ok(Step::Waits),
            lists::Lookup::Unavailable => {
                Err(Refusal::new(Reason::RevocationStale, "the issuer's status list cannot be had"))
            }
        }
    }

    /// Has the keys of all issuers fetched by the next [`tick`](Self::tick), before a token asks for them.
    pub fn warm(&mut self, policy: &Policy) {
        self.keys.warm(policy);
    }

    /// Keeps keys fresh, and drops what has ended.
    pub fn tick(&mut self, now: Time) {
        self.keys.tick(now);
        if now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.cache.sweep(now);
        }
    }

    /// Whether some document has to be fetched.
    pub fn wants(&self) -> bool {
        self.keys.wants() || self.lists.wants()
    }

    /// Takes what has to be fetched now, each document once.
    pub fn wanted(&mut self, policy: &Policy) -> Vec<Fetch> {
        let mut wanted = self.keys.wanted(policy);
        wanted.extend(self.lists.wanted(policy));
        wanted
    }

    /// Takes in what a fetch brought; the error says why the document was not renewed.
    pub fn arrived(
        &mut self,
        document: &Document,
        answer: &Answer<'_>,
        policy: &Policy,
        now: Time,
    ) -> Result<(), String> {
        match document {
            Document::Keys(name) => match policy.issuer(name) {
                Some(issuer) => self.keys.arrived(issuer, answer, now).map_err(|bad| bad.to_string()),
                None => Ok(()),
            },
            Document::Statuses(name, place) => match policy.issuer(name) {
                Some(issuer) => self.statuses(issuer, place, answer, now).map_err(str::to_owned),
                None => Ok(()),
            },
            // Not a document of an issuer's.
            Document::Revocations(_) | Document::Sessions => Ok(()),
        }
    }

    /// Proves a status list token with its issuer's keys and takes it in.
    ///
    /// [draft-ietf-oauth-status-list §5.1](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list#section-5.1)
    fn statuses(&mut self, issuer: &Issuer, place: &str, answer: &Answer<'_>, now: Time) -> Result<(), &'static str> {
        let Self { keys, lists, native, .. } = self;
        let prove = |token: &str| {
            let compact = Compact::bounded(token, status::SIZE)?;
            let header = compact.header()?;
            Typ::new("statuslist+jwt").check(header.typ.as_deref())?;
            allowed(issuer, header.algorithm)?;
            // A list is fetched after a token was proved, so the keys are there; one that is not waits for its next turn.
            match signed(keys, *native, (&compact, &header), issuer, (now, now))? {
                Signed::By(_) => List::read(&compact.payload, place, now),
                Signed::Waits => {
                    Err(Refusal::new(Reason::KeysUnavailable, "is signed with a key that is not known yet"))
                }
            }
        };
        lists.arrived((issuer, place), answer, prove, now)
    }

    /// How the keys of the issuers in use are.
    pub fn health(&mut self, now: Time) -> Vec<Health> {
        self.keys.health(now)
    }

    /// Hits and misses of the cache since the last time.
    pub fn tally(&mut self) -> Tally {
        self.cache.tally()
    }
}

/// What a token is asked for.
struct Asked<'a> {
    /// The server it has to be for, and has to accept its issuer.
    server: Option<&'a Server>,
    policy: &'a Policy,
    since: Time,
    now: Time,
}

/// Which key a signature holds with.
enum Signed {
    /// By its `kid` in the issuer's set, if it has one there.
    By(Option<String>),
    /// The keys have to be fetched first.
    Waits,
}

/// What became of a step that nothing stood against.
enum Step {
    Done,
    /// A document has to be fetched first.
    Waits,
}

enum Signature {
    Holds(Arc<Proved>),
    Waits(String),
}

/// [RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1): the algorithms the policy lists, and no other.
fn allowed(issuer: &Issuer, algorithm: Algorithm) -> Result<(), Refusal> {
    match issuer.algorithms.contains(&algorithm) {
        true => Ok(()),
        false => Err(Refusal::new(Reason::TokenAlgorithm, "the issuer does not use this algorithm")),
    }
}

/// Checks a signature of `issuer` with the key its header names, for something that came at `since`.
fn signed(
    keys: &mut Keys,
    native: Native,
    (compact, header): (&Compact<'_>, &Header),
    issuer: &Issuer,
    (since, now): (Time, Time),
) -> Result<Signed, Refusal> {
    let key = match keys.find(issuer, header.key.as_deref(), header.algorithm, since, now) {
        Lookup::Found(key) => key,
        Lookup::Waits => return Ok(Signed::Waits),
        Lookup::Unknown => return Err(Refusal::new(Reason::TokenKeyUnknown, "no key of the issuer fits")),
        Lookup::Unavailable => {
            return Err(Refusal::new(Reason::KeysUnavailable, "the issuer's keys never loaded"));
        }
    };
    match key.verifier().accepts(&compact.signature, compact.signed.as_bytes(), native) {
        true => Ok(Signed::By(key.id().map(str::to_owned))),
        false => Err(Refusal::new(Reason::TokenSignature, "the signature does not hold")),
    }
}

/// The issuer a token claims, if the server accepts it: by `iss`, else by the trust domain of `sub`.
///
/// What says it is of one issuer is not also of another, whatever the server accepts: the cache would remember which of
/// them was asked first.
fn issuer<'p>(compact: &Compact<'_>, server: Option<&Server>, policy: &'p Policy) -> Result<&'p Issuer, Refusal> {
    let origin = Origin::read(&compact.payload)?;
    let by_name = accepted(server, policy)
        .filter(|issuer| issuer.profile == Profile::AccessToken)
        .find(|issuer| origin.issuer.as_ref() == Some(&issuer.identifier));
    let mut others = policy.issuers().filter(|issuer| issuer.profile == Profile::AccessToken);
    let named = others.any(|issuer| origin.issuer.as_ref() == Some(&issuer.identifier));
    let by_domain = || {
        let id = origin.subject.as_deref().filter(|_| !named)?;
        accepted(server, policy)
            .filter(|issuer| issuer.profile != Profile::AccessToken)
            .find(|issuer| svid::within(id, &issuer.identifier))
    };
    by_name.or_else(by_domain).ok_or_else(foreign)
}

fn accepted<'p>(server: Option<&Server>, policy: &'p Policy) -> impl Iterator<Item = &'p Issuer> {
    policy.issuers().filter(move |issuer| server.is_none_or(|server| server.issuers.contains(&issuer.name)))
}

fn foreign() -> Refusal {
    Refusal::new(Reason::TokenIssuer, "this server does not accept the issuer")
}
