use accredit_policy::token::chain::Chain;
use accredit_policy::token::confirmation::Confirmation;
use serde_json::json;

use super::*;

const US: &str = "https://broker.example.test";
const CRM: &str = "https://gateway.example.test/crm/mcp";
const ERP: &str = "https://gateway.example.test/erp";
const NOW: Time = Time::from_seconds(1_800_000_000);

fn words(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}

/// What a test changes of an assertion nothing is wrong with, and of the request that brings it.
struct Case {
    claims: Claims,
    said: Value,
    resources: Vec<String>,
    asked: Option<&'static str>,
    resource: Option<&'static str>,
    proven: Bond,
}

impl Default for Case {
    fn default() -> Self {
        let claims = Claims {
            agent: "planner".into(),
            subject: "alice".into(),
            chain: Chain::default(),
            may_act: None,
            scopes: words("crm:read crm:write"),
            id: Some("a1".into()),
            audiences: vec![US.into()],
            confirmation: None,
            listing: None,
            issued: Some(NOW),
            begins: Some(NOW),
            expires: NOW.plus(Duration::from_secs(300)),
        };
        Self {
            claims,
            said: json!({ "sub": "alice", "iat": NOW.seconds(), "jti": "a1" }),
            resources: vec![CRM.into()],
            asked: None,
            resource: None,
            proven: Bond::default(),
        }
    }
}

impl Case {
    fn judge(&self) -> Result<Redeemed, Refusal> {
        let asked = self.asked.map(words);
        let agent = Agent {
            id: "planner",
            scopes: &words("crm:read crm:admin"),
            resources: &self.resources,
            accepts: &[],
            lifetime: Duration::from_secs(600),
        };
        let request = Request {
            claims: &self.claims,
            said: self.said.as_object().unwrap(),
            agent,
            scopes: asked.as_ref(),
            resource: self.resource,
            proven: self.proven,
            issuer: US,
        };
        redeem(&request, NOW)
    }
}

fn refused(change: impl FnOnce(&mut Case)) -> Option<Refusal> {
    let mut case = Case::default();
    change(&mut case);
    case.judge().err()
}

#[test]
fn the_token_is_the_users_and_as_long_as_the_agents_own() {
    let redeemed = Case::default().judge().unwrap();
    assert_eq!((redeemed.subject.as_str(), redeemed.audience.as_str()), ("alice", CRM));
    assert_eq!((redeemed.scopes, redeemed.expires), (words("crm:read"), NOW.plus(Duration::from_secs(600))));
    assert_eq!((redeemed.id.as_str(), redeemed.until), ("a1", NOW.plus(Duration::from_secs(360))));
}

#[test]
fn an_assertion_is_for_us_alone_and_for_the_client_that_brings_it() {
    for audiences in [vec![], vec!["https://else.example.test"], vec![US, "https://else.example.test"], vec![US, US]] {
        let audiences = audiences.into_iter().map(str::to_owned).collect();
        assert_eq!(refused(|case| case.claims.audiences = audiences), Some(Refusal::Audience));
    }
    assert_eq!(refused(|case| case.claims.audiences = vec![format!("{US}/token")]), Some(Refusal::Audience));
    assert_eq!(refused(|case| case.claims.agent = "scout".into()), Some(Refusal::Client));
}

#[test]
fn an_assertion_is_complete() {
    assert_eq!(refused(|case| case.claims.id = None), Some(Refusal::Malformed));
    for name in ["sub", "iat"] {
        let drop = |case: &mut Case| drop(case.said.as_object_mut().unwrap().remove(name));
        assert_eq!(refused(drop), Some(Refusal::Malformed), "{name}");
    }
}

#[test]
fn what_is_not_understood_is_not_left_aside() {
    for name in ["act", "tenant", "aud_tenant", "authorization_details"] {
        assert_eq!(refused(|case| case.said[name] = json!({ "sub": "x" })), Some(Refusal::Unknown), "{name}");
    }
    assert_eq!(refused(|case| case.said["email"] = json!("alice@example.test")), None);
}

#[test]
fn scopes_are_what_assertion_entry_and_request_have() {
    let granted = |held: &str, asked: Option<&'static str>| {
        let mut case = Case { asked, ..Case::default() };
        case.claims.scopes = words(held);
        case.judge().map(|redeemed| redeemed.scopes.to_string())
    };
    assert_eq!(granted("crm:read crm:write", Some("crm:read crm:admin")), Ok("crm:read".into()));
    assert_eq!(granted("crm:admin", None), Ok("crm:admin".into()));
    assert_eq!(granted("crm:write", None), Err(Refusal::Scope));
    assert_eq!(granted("crm:read", Some("crm:admin")), Err(Refusal::Scope));
    assert_eq!(granted("", None), Err(Refusal::Scope));
    assert_eq!(granted("", Some("crm:read")), Err(Refusal::Scope));
}

#[test]
fn one_resource_has_to_be_left() {
    let audience = |resources: &[&str], claim: Option<Value>, asked: Option<&'static str>| {
        let resources = resources.iter().map(|one| (*one).to_owned()).collect();
        let mut case = Case { resources, resource: asked, ..Case::default() };
        if let Some(claim) = claim {
            case.said["resource"] = claim;
        }
        case.judge().map(|redeemed| redeemed.audience)
    };
    let both = &[CRM, ERP];
    assert_eq!(audience(both, None, Some(ERP)), Ok(ERP.into()));
    assert_eq!(audience(both, Some(json!(ERP)), None), Ok(ERP.into()));
    assert_eq!(audience(both, Some(json!([ERP, "https://else.example.test"])), None), Ok(ERP.into()));
    assert_eq!(audience(both, Some(json!([CRM, ERP])), Some(CRM)), Ok(CRM.into()));
    assert_eq!(audience(both, None, None), Err(Refusal::Target));
    assert_eq!(audience(both, Some(json!(ERP)), Some(CRM)), Err(Refusal::Target));
    assert_eq!(audience(both, Some(json!([])), Some(CRM)), Err(Refusal::Target));
    assert_eq!(audience(&[CRM], None, Some(ERP)), Err(Refusal::Target));
    assert_eq!(audience(&[CRM], Some(json!(ERP)), Some(ERP)), Err(Refusal::Target));
    for broken in [json!(1), json!(null), json!([1]), json!({})] {
        assert_eq!(audience(&[CRM], Some(broken), None), Err(Refusal::Malformed));
    }
}

#[test]
fn a_bound_assertion_takes_the_key_it_is_bound_to() {
    let judge = |shown: Option<[u8; 32]>| {
        refused(|case| {
            case.claims.confirmation = Some(Confirmation { key: Some([1; 32]), certificate: None });
            case.proven.key = shown;
        })
    };
    assert_eq!(judge(Some([1; 32])), None);
    assert_eq!(judge(Some([2; 32])), Some(Refusal::Unbound));
    assert_eq!(judge(None), Some(Refusal::Unbound));
}
