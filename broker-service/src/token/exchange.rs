//! The proxy's exchange: an agent's token against a credential for one call.
//!
//! The proxy is authenticated but not believed: the token is proved again, the same policy decides again, and the
//! intent is on the disk before anything is minted.

use accredit_policy::decide::{Facts, Permit, View, decide};
use accredit_policy::policy::Server;
use accredit_policy::scope::Scopes;
use accredit_policy::sender::Bound;
use accredit_policy::token::{Verified, hex};
use accredit_policy::wire::audit::{self, Decision, Kind, Record, Remedy};
use accredit_policy::wire::exchange::{ACCESS_TOKEN, Answer, TOOL_CALL, ToolCall};
use accredit_policy::{Policy, Reason, Secret};
use serde_json::Value;
use tokio::time::timeout;

use super::form::Form;
use super::refused::Refused;
use crate::app::App;
use crate::clock;
use crate::credential::{self, Definition, Failure, Lease};
use crate::error::{ApiError, Code};
use crate::foreign;
use crate::lease::end::{Why, end};
use crate::lease::reap::MINT;
use crate::lease::{Keeper, Row, Token};
use crate::store::{Intent, NotIntended, insert};

/// Mints a credential for `proxy`, or refuses.
pub async fn answer(app: &App, proxy: String, form: &Form) -> Result<Value, ApiError> {
    let call = call(form)?;
    // A name the configuration does not know is the caller's, and makes no label.
    let kind = app.credentials.get(&call.credential).map_or("none", |definition| definition.kind.name());
    let answer = decided(app, proxy, form, call).await;
    app.store.metrics().mint(kind, &answer);
    answer
}

async fn decided(app: &App, proxy: String, form: &Form, call: ToolCall) -> Result<Value, ApiError> {
    let mut record = begin(&app.policy, proxy, &call)?;
    match judge(app, form, call, &mut record).await {
        // A proxy that hangs up must not leave half a credential behind: what was begun is finished.
        Ok(asked) => {
            let app = app.clone();
            tokio::spawn(async move { mint(&app, asked, record).await }).await.map_err(ApiError::unavailable)?
        }
        Err(Refused { reason, error }) => {
            record.kind = Kind::Decision;
            app.store.append(vec![deny(record, reason)]).await?;
            Err(error)
        }
    }
}

/// The one call a credential is asked for.
///
/// [RFC 9396 §5](https://www.rfc-editor.org/rfc/rfc9396#section-5): unknown types and members are refused.
fn call(form: &Form) -> Result<ToolCall, ApiError> {
    let wrong = || ApiError::new(Code::InvalidRequest, "`authorization_details` is not one tool call");
    let details = form.required("authorization_details")?;
    let [call]: [ToolCall; 1] = serde_json::from_str(details).map_err(|error| wrong().because(error))?;
    let short = [&call.server, &call.method, &call.tool, &call.credential].iter().all(|text| text.len() <= 2048);
    let short = short && call.request_id.iter().all(|id| id.len() <= 256);
    if call.r#type == TOOL_CALL && short { Ok(call) } else { Err(wrong()) }
}

fn begin(policy: &Policy, proxy: String, call: &ToolCall) -> Result<Record, ApiError> {
    let digest = call.arguments_digest.as_ref().and_then(|digest| digest.strip_prefix("sha-256:"));
    Ok(Record {
        id: clock::id()?,
        time: clock::now().rfc3339(),
        kind: Kind::Intent,
        server: Some(call.server.clone()),
        method: Some(call.method.clone()),
        tool: Some(call.tool.clone()).filter(|tool| !tool.is_empty()),
        arguments_sha256: digest.map(str::to_owned),
        request_id: call.request_id.clone(),
        trace_id: call.traceparent.as_ref().and_then(|parent| parent.get(3..35)).map(str::to_owned),
        proxy: Some(audit::Proxy { node: proxy, worker: None }),
        policy: Some(policy.digest().to_owned()),
        ..Record::default()
    })
}

/// Proves the token and decides, as the proxy has done before.
async fn judge(app: &App, form: &Form, call: ToolCall, record: &mut Record) -> Result<Asked, Refused> {
    if form.required("subject_token_type")? != ACCESS_TOKEN {
        return Err(Refused::new(Code::InvalidRequest, "the subject token is not an access token"));
    }
    let server = app
        .policy
        .server(&call.server)
        .filter(|server| form.required("resource").is_ok_and(|one| one == server.resource.as_str()));
    let Some(server) = server else {
        return Err(Refused::new(Code::InvalidTarget, "no server of the policy has this name and resource"));
    };
    record.protocol = Some(server.protocol.name().into());
    let token = Secret::new(form.required("subject_token")?);
    let verified = prove(app, &token, server).await?;
    tell(record, &verified);
    // Only the proxy has seen the other end of the agent's connection.
    let bound = Bound::vouched(verified.clone());
    // Arguments and the request are known to the proxy only, which has judged what depends on them.
    let facts = Facts { token: &token, view: View::Told, tasks: &[] };
    let permit = decide(server, &bound, &call.call(), &facts).map_err(|denial| {
        record.remedy = denial.remedy(&verified.claims().scopes);
        let error = ApiError::new(Code::AccessDenied, "the policy does not permit this call").because(denial.note);
        Refused { reason: denial.reason.name(), error }
    })?;
    if let Some(scopes) = &mut record.scopes {
        scopes.required = permit.scopes().iter().map(str::to_owned).collect();
    }
    let bounded = call.arguments.iter().all(|(name, values)| permit.passes(name) && short(values));
    let same = bounded
        && permit.credential() == Some(call.credential.as_str())
        && form.required("scope")? == permit.scopes().to_string();
    known(app, &verified, permit.scopes(), record).await?;
    match same {
        true => Ok(Asked { call, token, verified, permit }),
        false => Err(Refused::new(Code::AccessDenied, "the proxy asks for more than the policy gives")),
    }
}

/// What an argument may be, as the filter passes it on.
fn short(values: &[String]) -> bool {
    values.len() <= 16 && values.iter().all(|value| value.len() <= 256)
}

async fn prove(app: &App, token: &Secret, server: &Server) -> Result<Verified, Refused> {
    let outcome = foreign::prove(app, token, server).await;
    Refused::unless_proved(outcome, Code::InvalidRequest, "the subject token proves nothing")
}

fn tell(record: &mut Record, verified: &Verified) {
    let claims = verified.claims();
    record.agent = Some(audit::Agent { issuer: verified.issuer().to_owned(), id: claims.agent.clone() });
    record.subject = Some(claims.subject.clone());
    record.chain = claims.chain.names().map(str::to_owned).collect();
    record.token = Some(audit::Token { jti: claims.id.clone(), sha256: hex(verified.digest()) });
    let held = claims.scopes.iter().map(str::to_owned).collect();
    record.scopes = Some(audit::Scopes { required: Vec::new(), held });
}

/// An agent of our own has to be registered and active now, whatever its token says; and it gets nothing for a scope it
/// may no longer ask for.
async fn known(app: &App, verified: &Verified, needed: &Scopes, record: &mut Record) -> Result<(), Refused> {
    if verified.issuer() != app.issuer.url() {
        return Ok(());
    }
    let agent = app.known.find(app.store.pool(), &verified.claims().agent).await?;
    let Some(agent) = agent.filter(|agent| agent.active(clock::now())) else {
        return Err(Refused::new(Code::AccessDenied, "the agent is not registered or not active"));
    };
    app.uses.note(&agent.id);
    let missing = needed.without(&agent.profile.rights());
    if missing.is_empty() {
        return Ok(());
    }
    record.remedy = Some(Remedy::of(&missing));
    Err(Refused::new(Code::AccessDenied, "the agent may no longer ask for this scope"))
}

/// Writes the intent, waits for the disk, mints.
async fn mint(app: &App, asked: Asked, record: Record) -> Result<Value, ApiError> {
    let Asked { call, permit, verified, .. } = &asked;
    let definition =
        app.credentials.get(&call.credential).ok_or_else(|| ApiError::unavailable("no such credential"))?;
    let lease = lease(definition, verified)?;
    let scope = permit.scopes().to_string();
    let record = intent(record, call, definition, &lease);
    intend(app, &asked, definition, &lease, &scope, &record).await?;
    let tool = asked.tool();
    let target = credential::Call {
        verified,
        token: &asked.token,
        tool,
        scope: &scope,
        lease: &lease,
        arguments: &call.arguments,
        issuer: &app.issuer,
        secrets: &app.secrets,
    };
    let keeper = Keeper { app, lease: &lease.id };
    let minted = timeout(MINT, definition.mint(&target, &keeper)).await;
    let minted = minted.unwrap_or_else(|_| Err(Failure::Unavailable("it takes too long".into())));
    let made = minted.and_then(|minted| {
        let headers = definition.headers.render(&minted.fields)?;
        Ok((minted, headers))
    });
    let told = Record { id: clock::id()?, time: clock::now().rfc3339(), kind: Kind::Mint, ..record };
    let (minted, headers) = match made {
        Ok(made) => made,
        Err(failure) => return Err(fail(app, &lease, told, failure).await),
    };
    if let Err(error) = hand_out(app, definition, &lease, told).await {
        abandon(app, &lease);
        return Err(error);
    }
    let expires = minted.expires.map_or(lease.expires, |expires| expires.min(lease.expires));
    let reuse = definition.reuse.map(|span| span.min(expires.since(lease.issued)).as_secs());
    let token = minted.fields.get("token");
    let answer = Answer {
        access_token: token.map(Secret::reveal).unwrap_or_default().to_owned(),
        issued_token_type: ACCESS_TOKEN.to_owned(),
        token_type: if token.is_some() { "Bearer" } else { "N_A" }.to_owned(),
        expires_in: expires.since(lease.issued).as_secs(),
        scope,
        lease_id: lease.id,
        headers,
        reuse: reuse.filter(|reuse| *reuse > 0),
    };
    serde_json::to_value(answer).map_err(ApiError::unavailable)
}

/// What was asked for, judged.
struct Asked {
    call: ToolCall,
    token: Secret,
    verified: Verified,
    permit: Permit,
}

impl Asked {
    /// The tool, or the method where it is about nothing else.
    fn tool(&self) -> &str {
        if self.call.tool.is_empty() { &self.call.method } else { &self.call.tool }
    }
}

fn intent(record: Record, call: &ToolCall, definition: &Definition, lease: &Lease) -> Record {
    let credential = audit::Credential {
        name: call.credential.clone(),
        kind: Some(definition.kind.name().into()),
        lease: Some(lease.id.clone()),
        expires: Some(lease.expires.rfc3339()),
    };
    Record { decision: Some(Decision::Permit), credential: Some(credential), ..record }
}

/// Keeps intent and lease; a revocation that came before them refuses.
async fn intend(
    app: &App,
    asked: &Asked,
    definition: &Definition,
    lease: &Lease,
    scope: &str,
    record: &Record,
) -> Result<(), ApiError> {
    let Asked { call, verified, .. } = asked;
    let outlives = definition.kind.outlives();
    let row = Row {
        id: lease.id.clone(),
        credential: call.credential.clone(),
        kind: definition.kind.name().to_owned(),
        proxy: record.proxy.as_ref().map(|proxy| proxy.node.clone()).unwrap_or_default(),
        issuer: verified.issuer().to_owned(),
        agent: verified.claims().agent.clone(),
        subject: verified.claims().subject.clone(),
        token: if outlives { Token::of(verified) } else { Token::default() },
        server: call.server.clone(),
        tool: asked.tool().to_owned(),
        scope: scope.to_owned(),
        issued: lease.issued,
        expires: lease.expires,
        outlives,
        reason: None,
    };
    let intent = Intent {
        record: record.clone(),
        lease: row,
        verified: verified.clone(),
        server: call.server.clone(),
        tool: asked.tool().to_owned(),
    };
    match app.store.intend(intent).await {
        Ok(()) => Ok(()),
        Err(NotIntended::NotKept(error)) => Err(error.into()),
        Err(NotIntended::Revoked) => {
            let refused = Record { kind: Kind::Decision, credential: None, ..record.clone() };
            app.store.append(vec![deny(refused, Reason::Revoked.name())]).await?;
            Err(ApiError::new(Code::AccessDenied, "the token, its agent or what it calls is revoked"))
        }
    }
}

/// Makes the lease live, and says so, before anybody gets to know the credential.
async fn hand_out(app: &App, definition: &Definition, lease: &Lease, told: Record) -> Result<(), ApiError> {
    if !definition.kind.outlives() {
        return Ok(app.store.post(vec![told]).await?);
    }
    let mut transaction = app.store.begin().await?;
    let query = sqlx::query("UPDATE leases SET state = 'live' WHERE id = $1 AND state = 'open' AND claimed = 0");
    let done = query.bind(&lease.id).execute(&mut *transaction).await?;
    if done.rows_affected() == 0 {
        return Err(ApiError::unavailable("the lease has ended while its credential was made"));
    }
    insert(&mut transaction, &[&told]).await?;
    Ok(transaction.commit().await?)
}

/// Ends what was begun, and says so.
async fn fail(app: &App, lease: &Lease, told: Record, failure: Failure) -> ApiError {
    let error = match failure {
        Failure::Refused(why) => ApiError::new(Code::AccessDenied, "the target refuses this credential").because(why),
        Failure::Unavailable(why) => ApiError::unavailable(why),
    };
    if let Err(lost) = app.store.append(vec![deny(told, error.code.name())]).await {
        tracing::error!("a mint that failed was {lost}");
    }
    abandon(app, lease);
    error
}

/// Ends what nobody is handed.
fn abandon(app: &App, lease: &Lease) {
    let (app, lease) = (app.clone(), lease.id.clone());
    // The caller need not wait for a target that may not answer; what fails here is tried again.
    tokio::spawn(async move { drop(end(&app, &lease, Why::Orphaned).await) });
}

fn deny(record: Record, reason: &str) -> Record {
    Record { decision: Some(Decision::Deny), reason: Some(reason.to_owned()), ..record }
}

/// A lease that begins now.
fn lease(definition: &Definition, verified: &Verified) -> Result<Lease, ApiError> {
    let issued = clock::now();
    let expires = issued.plus(definition.ttl).min(verified.claims().expires);
    // A token that is good by the allowance for clocks alone has no time left to lend.
    if expires <= issued {
        return Err(ApiError::new(Code::InvalidRequest, "the subject token has expired"));
    }
    Ok(Lease { id: clock::id()?, issued, expires })
}
