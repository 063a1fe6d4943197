//! The proxy's exchange: an agent's token against a credential for one call.
//!
//! The proxy is authenticated but not believed: the token is proved again, the same policy decides again, and the
//! intent is on the disk before anything is minted.

use accredit_policy::decide::{Facts, Permit, View, decide};
use accredit_policy::policy::Server;
use accredit_policy::sender::Bound;
use accredit_policy::token::{Outcome, Verified, hex};
use accredit_policy::wire::audit::{self, Decision, Kind, Record};
use accredit_policy::wire::exchange::{ACCESS_TOKEN, TOOL_CALL, ToolCall};
use accredit_policy::{Policy, Reason, Secret};
use serde_json::{Value, json};

use super::form::Form;
use crate::agents;
use crate::app::App;
use crate::clock;
use crate::credential::{self, Arguments, Definition, Failure, Lease, Ledger};
use crate::error::{ApiError, Code};
use crate::foreign;

/// Mints a credential for `proxy`, or refuses.
pub async fn answer(app: &App, proxy: String, form: &Form) -> Result<Value, ApiError> {
    let policy = &app.policy;
    let call = call(form)?;
    let mut record = begin(policy, proxy, &call)?;
    match judge(app, form, &call, &mut record).await {
        Ok((verified, permit)) => {
            let token = Secret::new(form.required("subject_token")?);
            mint(app, &call, &token, &verified, &permit, record).await
        }
        Err(Refused { reason, error }) => {
            record.kind = Kind::Decision;
            record.decision = Some(Decision::Deny);
            record.reason = Some(reason.to_owned());
            app.store.append(vec![record]).await.map_err(ApiError::unavailable)?;
            Err(error)
        }
    }
}

struct Refused {
    reason: &'static str,
    error: ApiError,
}

impl Refused {
    fn new(code: Code, public: &'static str) -> Self {
        Self { reason: code.name(), error: ApiError::new(code, public) }
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { reason: error.code.name(), error }
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
async fn judge(app: &App, form: &Form, call: &ToolCall, record: &mut Record) -> Result<(Verified, Permit), Refused> {
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
    known(app, &verified).await?;
    // Only the proxy has seen the other end of the agent's connection.
    let bound = Bound::vouched(verified.clone());
    // Arguments and the request are known to the proxy only, which has judged what depends on them.
    let facts = Facts { token: &token, view: View::Told, tasks: &[] };
    let permit = decide(server, &bound, &call.call(), &facts).map_err(|denial| Refused {
        reason: denial.reason.name(),
        error: ApiError::new(Code::AccessDenied, "the policy does not permit this call").because(denial.note),
    })?;
    if let Some(scopes) = &mut record.scopes {
        scopes.required = permit.scopes().iter().map(str::to_owned).collect();
    }
    let same =
        permit.credential() == Some(call.credential.as_str()) && form.required("scope")? == permit.scopes().to_string();
    match same {
        true => Ok((verified, permit)),
        false => Err(Refused::new(Code::AccessDenied, "the proxy asks for more than the policy gives")),
    }
}

async fn prove(app: &App, token: &Secret, server: &Server) -> Result<Verified, Refused> {
    match foreign::prove(app, token, server).await {
        Outcome::Proved(verified) => Ok(verified),
        // Keys or a list that cannot be had say nothing against the token.
        Outcome::Refused(refusal) if refusal.reason.status() == 503 => {
            Err(Refused { reason: refusal.reason.name(), error: ApiError::unavailable(refusal.note) })
        }
        Outcome::Refused(refusal) => Err(Refused {
            reason: refusal.reason.name(),
            error: ApiError::new(Code::InvalidRequest, "the subject token proves nothing").because(refusal.note),
        }),
        Outcome::Waits(issuer) => Err(Refused {
            reason: Reason::KeysUnavailable.name(),
            error: ApiError::unavailable(format!("the keys of `{issuer}` are not known yet")),
        }),
    }
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

/// An agent of our own has to be registered and active now, whatever its token says.
async fn known(app: &App, verified: &Verified) -> Result<(), Refused> {
    if verified.issuer() != app.issuer.url() {
        return Ok(());
    }
    let agent = agents::find(app.store.pool(), &verified.claims().agent).await?;
    match agent.is_some_and(|agent| agent.active()) {
        true => Ok(()),
        false => Err(Refused::new(Code::AccessDenied, "the agent is not registered or not active")),
    }
}

/// Writes the intent, waits for the disk, mints.
async fn mint(
    app: &App,
    call: &ToolCall,
    token: &Secret,
    verified: &Verified,
    permit: &Permit,
    mut record: Record,
) -> Result<Value, ApiError> {
    let definition =
        app.credentials.get(&call.credential).ok_or_else(|| ApiError::unavailable("no such credential"))?;
    let lease = lease(definition, verified)?;
    record.decision = Some(Decision::Permit);
    record.credential = Some(audit::Credential {
        name: call.credential.clone(),
        kind: Some(definition.kind.name().into()),
        lease: Some(lease.id.clone()),
        expires: Some(lease.expires.rfc3339()),
    });
    app.store.append(vec![record.clone()]).await.map_err(ApiError::unavailable)?;
    let scope = permit.scopes().to_string();
    let target = credential::Call {
        verified,
        token,
        server: &call.server,
        tool: if call.tool.is_empty() { &call.method } else { &call.tool },
        scope: &scope,
        lease: &lease,
        arguments: &Arguments::new(),
        issuer: &app.issuer,
    };
    let minted = definition.mint(&target, &Nowhere).await.map_err(failed)?;
    let told = Record { id: clock::id()?, time: clock::now().rfc3339(), kind: Kind::Mint, ..record };
    app.store.append(vec![told]).await.map_err(ApiError::unavailable)?;
    let headers = definition.headers.render(&minted.fields).map_err(failed)?;
    Ok(json!({
        "access_token": minted.fields.get("token").map(Secret::reveal).unwrap_or_default(),
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": lease.expires.since(lease.issued).as_secs(),
        "scope": scope,
        "lease_id": lease.id,
        "headers": headers,
    }))
}

struct Nowhere;

impl Ledger for Nowhere {
    async fn keep(&self, _: Secret) -> Result<(), Failure> {
        Err(Failure::Unavailable("leases are not kept yet".into()))
    }
}

/// A lease that begins now.
fn lease(definition: &Definition, verified: &Verified) -> Result<Lease, ApiError> {
    let issued = clock::now();
    let expires = issued.plus(definition.ttl).min(verified.claims().expires);
    Ok(Lease { id: clock::id()?, issued, expires })
}

fn failed(failure: Failure) -> ApiError {
    match failure {
        Failure::Refused(why) => ApiError::new(Code::AccessDenied, "the target refuses this credential").because(why),
        Failure::Unavailable(why) => ApiError::unavailable(why),
    }
}
