//! Token exchange by an agent: it takes over what another agent has handed to it.
//!
//! [RFC 8693 §2](https://www.rfc-editor.org/rfc/rfc8693#section-2)

use std::collections::BTreeMap;

use accredit_policy::policy::Server;
use accredit_policy::token::Verified;
use accredit_policy::wire::audit::{self, Record};
use accredit_policy::wire::exchange::ACCESS_TOKEN;
use accredit_policy::{Secret, token::hex};
use serde_json::{Map, Value};

use super::binding::bind;
use super::client::Caller;
use super::form::Form;
use super::grant::{Draft, asked, begin, conclude, entitled, seen, standing};
use super::refused::Refused;
use crate::agents::profile::Grant;
use crate::agents::{Agent, registry};
use crate::app::App;
use crate::clock;
use crate::delegation::{self, Entry, Held, Refusal, Request, Standing, Terms, delegate};
use crate::error::{ApiError, Code};
use crate::foreign::{self, Circle};

/// The other name of what an access token of ours is.
///
/// [RFC 8693 §3](https://www.rfc-editor.org/rfc/rfc8693#section-3)
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Issues `agent` a token to act with for someone else, or refuses; either is on the record first.
pub async fn answer(app: &App, caller: &Caller, agent: &Agent, form: &Form) -> Result<Value, ApiError> {
    let shown = [form.all("subject_token"), form.all("actor_token")].concat();
    let mut record = begin(app, agent, &shown)?;
    let outcome = judge(app, caller, agent, form, &mut record).await;
    conclude(app, agent, outcome, record).await
}

async fn judge(app: &App, caller: &Caller, agent: &Agent, form: &Form, record: &mut Record) -> Result<Draft, Refused> {
    let proven = bind(app, caller, agent).await?;
    entitled(agent, Grant::TokenExchange)?;
    let [subject, actor] = tokens(form)?;
    let server = target(app, form)?;
    record.server = Some(server.name.clone());
    let scopes = asked(form)?;
    let subject = Token::prove(app, subject).await?;
    let actor = Token::prove(app, actor).await?;
    record.subject = Some(subject.verified.claims().subject.clone());
    record.chain = subject.verified.claims().chain.names().map(str::to_owned).collect();
    record.from = [&subject, &actor].map(Token::told).into();
    // Another replica may have revoked something just now.
    app.store.refresh().await.map_err(ApiError::from)?;
    standing(app, &subject.verified, Code::InvalidRequest, NOTHING)?;
    standing(app, &actor.verified, Code::InvalidRequest, NOTHING)?;
    let registry = entries(app, subject.held().agents(app.issuer.url())).await?;
    let accepted: Vec<_> = server.issuers.iter().filter_map(|name| app.policy.issuer(name)).collect();
    let accepted: Vec<_> = accepted.iter().map(|issuer| issuer.identifier.as_str()).collect();
    // To start a workflow is asked for by name.
    let rights = if scopes.is_some() { agent.profile.rights() } else { agent.profile.scopes.clone() };
    let request = Request {
        subject: subject.held(),
        actor: actor.held(),
        agent: seen(agent, &rights),
        scopes: scopes.as_ref(),
        resource: server.resource.as_str(),
        proven,
    };
    let terms = Terms { issuer: app.issuer.url(), accepted: &accepted, registry: &registry, max_depth: app.max_depth };
    let delegation::Delegated { subject, chain, scopes, audience, expires, may_act, .. } =
        delegate(&request, &terms, clock::now())?;
    Ok(Draft { subject, chain, scopes, audience, expires, may_act, proven })
}

/// The two tokens of a request that is in order: the task, and the agent's own.
///
/// [RFC 8693 §2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)
fn tokens(form: &Form) -> Result<[Secret; 2], ApiError> {
    let wrong = |public| Err(ApiError::new(Code::InvalidRequest, public));
    let is_token = |kind: &str| [ACCESS_TOKEN, JWT].contains(&kind);
    if !is_token(form.required("subject_token_type")?) {
        return wrong("the subject token is not an access token");
    }
    let actor = match (form.optional("actor_token")?, form.optional("actor_token_type")?) {
        (Some(actor), Some(kind)) if is_token(kind) => actor,
        (Some(_), Some(_)) => return wrong("the actor token is not an access token"),
        (Some(_), None) => return wrong("`actor_token` comes with `actor_token_type`"),
        (None, Some(_)) => return wrong("`actor_token_type` comes with `actor_token`"),
        // [RFC 8693 §1.1](https://www.rfc-editor.org/rfc/rfc8693#section-1.1): to impersonate is to leave no trace.
        (None, None) => return wrong("an agent acts in its own name: `actor_token` is missing"),
    };
    if form.optional("requested_token_type")?.is_some_and(|kind| kind != ACCESS_TOKEN) {
        return wrong("only access tokens are issued");
    }
    if form.optional("authorization_details")?.is_some() {
        return wrong("`authorization_details` are for proxies");
    }
    Ok([form.required("subject_token")?, actor].map(Secret::new))
}

/// The one server the token is for: by `resource`, by `audience` as its name, or by both where they agree.
///
/// [RFC 8693 §2.1.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1.1): a token for several would be theirs to use
/// against each other.
fn target<'a>(app: &'a App, form: &Form) -> Result<&'a Server, Refused> {
    let (resources, audiences) = (form.all("resource"), form.all("audience"));
    let one = |values: &[&str]| values.len() <= 1;
    let none = resources.is_empty() && audiences.is_empty();
    let means = |server: &&Server| {
        let resource = server.resource.as_str();
        resources.iter().all(|one| *one == resource)
            && audiences.iter().all(|one| *one == resource || *one == server.name)
    };
    let mut servers = app.policy.servers().filter(means);
    match servers.next() {
        Some(server) if !none && one(&resources) && one(&audiences) => Ok(server),
        _ => Err(Refusal::Target.into()),
    }
}

/// What the caller is told of a token that does not hold.
///
/// [RFC 8693 §2.2.2](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.2)
const NOTHING: &str = "a token proves nothing";

/// A token that was shown, proved.
struct Token {
    verified: Verified,
    said: Map<String, Value>,
}

impl Token {
    async fn prove(app: &App, token: Secret) -> Result<Self, Refused> {
        let outcome = foreign::recognise(app, Circle::Policy, &token).await;
        let verified = Refused::unless_proved(outcome, Code::InvalidRequest, NOTHING)?;
        match verified.told(&token) {
            Some(Value::Object(said)) => Ok(Self { verified, said }),
            _ => Err(Refused::new(Code::InvalidRequest, NOTHING)),
        }
    }

    fn held(&self) -> Held<'_> {
        Held { issuer: self.verified.issuer(), claims: self.verified.claims(), may_act: self.said.get("may_act") }
    }

    fn told(&self) -> audit::Token {
        audit::Token { jti: self.verified.claims().id.clone(), sha256: hex(self.verified.digest()) }
    }
}

/// What the registry says of these agents.
async fn entries(app: &App, ids: Vec<&str>) -> Result<BTreeMap<String, Entry>, ApiError> {
    let (mut entries, now) = (BTreeMap::new(), clock::now());
    for id in ids {
        if entries.contains_key(id) {
            continue;
        }
        if let Some(agent) = registry::find(app.store.pool(), id).await? {
            let standing = if agent.active(now) { Standing::Active } else { Standing::Barred };
            entries.insert(agent.id, Entry { standing, may_delegate_to: agent.profile.may_delegate_to });
        }
    }
    Ok(entries)
}
