//! Sessions of AWS roles, from a real implementation of STS that checks signatures and trust.

use harness::parts::{Keys, Moto};
use harness::stack::fresh;
use harness::{Alg, Issuer, Token};
use serde_json::{Value, json};

use super::odd::{Odd, Oddity};
use super::support::{Answer, Desk, FOREIGN, RESOURCE, policy};

fn token(agents: &Issuer) -> Token {
    agents.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read")
}

async fn exchange(desk: &Desk, agents: &Issuer) -> Answer {
    desk.exchange(&token(agents).sign(), "crm_lookup", "crm:read", |_| ()).await
}

fn definition(endpoint: &str, role: &str) -> Value {
    json!({
        "kind": "aws", "operation": "assume_role", "role_arn": role, "region": "us-east-1", "endpoint": endpoint,
        "credentials": { "access_key_id_file": "id", "secret_access_key_file": "key" },
        "session_name": "{agent}/{tool}", "tags": { "agent": "{agent}", "tool": "{tool}" }, "ttl": "2m",
        "policy": { "Statement": [{ "Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*" }] },
    })
}

fn keys(answer: &Answer) -> Keys {
    let header = |name: &str| {
        answer.body["headers"][name].as_str().unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned()
    };
    Keys {
        id: header("x-aws-access-key-id"),
        secret: header("x-aws-secret-access-key"),
        session: Some(header("x-aws-session-token")),
    }
}

#[tokio::test]
async fn a_session_is_the_roles_under_the_agents_name() {
    let Some(moto) = Moto::start(&fresh("aws-session")).await else { return };
    let user = moto.user("broker", &Moto::allow("sts:*")).await;
    let role = moto.role("crm", "broker", &Moto::allow("sts:GetCallerIdentity")).await;
    moto.enforce().await;
    let agents = Issuer::new(FOREIGN).at_now();
    let files = [("id", user.id.as_str()), ("key", user.secret.as_str())];
    let desk = Desk::holding("aws-session", &policy(&agents), &definition(&moto.url, &role), &files).await;
    let answer = exchange(&desk, &agents).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", desk.broker.process.log());
    assert_eq!((&answer.body["token_type"], answer.body["expires_in"].as_u64() <= Some(120)), (&json!("N_A"), true));
    let session = keys(&answer);
    let identity = moto.call(&session, "sts", "get_caller_identity", &json!({})).await.unwrap();
    let arn = format!("arn:aws:sts::{}:assumed-role/crm/agent-1=2Fcrm_lookup", Moto::ACCOUNT);
    assert_eq!(identity["Arn"], arn);
    assert_eq!(moto.call(&session, "iam", "list_users", &json!({})).await.unwrap_err(), "AccessDenied");
    let traces = desk.traces().await;
    let secrets = [&user.secret, &session.secret, session.session.as_ref().unwrap()];
    assert!(secrets.iter().all(|secret| !traces.contains(*secret)));
}

#[tokio::test]
async fn keys_that_are_wrong_or_not_trusted_get_no_session() {
    let Some(moto) = Moto::start(&fresh("aws-refused")).await else { return };
    let user = moto.user("broker", &Moto::allow("sts:*")).await;
    let other = moto.user("other", &Moto::allow("sts:*")).await;
    let role = moto.role("crm", "other", &Moto::allow("sts:GetCallerIdentity")).await;
    moto.enforce().await;
    let agents = Issuer::new(FOREIGN).at_now();
    for (name, id, key) in [("trust", &user.id, user.secret.as_str()), ("key", &other.id, "a-wrong-key")] {
        let files = [("id", id.as_str()), ("key", key)];
        let name = format!("aws-refused-{name}");
        let desk = Desk::holding(&name, &policy(&agents), &definition(&moto.url, &role), &files).await;
        assert_eq!(exchange(&desk, &agents).await.error(), (403, "access_denied"), "{name}");
        assert!(!desk.traces().await.contains(key));
    }
}

#[tokio::test]
async fn the_broker_vouches_for_the_agent_without_keys_of_its_own() {
    let Some(moto) = Moto::start(&fresh("aws-identity")).await else { return };
    let role = moto.role("crm", "broker", &Moto::allow("sts:GetCallerIdentity")).await;
    let mut definition = definition(&moto.url, &role);
    definition["operation"] = json!("web_identity");
    definition.as_object_mut().unwrap().remove("credentials");
    let agents = Issuer::new(FOREIGN).at_now();
    let desk = Desk::holding("aws-identity", &policy(&agents), &definition, &[]).await;
    let answer = exchange(&desk, &agents).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", desk.broker.process.log());
    let identity = moto.call(&keys(&answer), "sts", "get_caller_identity", &json!({})).await.unwrap();
    assert!(identity["Arn"].as_str().unwrap().ends_with("assumed-role/crm/agent-1=2Fcrm_lookup"), "{identity}");
}

#[tokio::test]
async fn an_odd_service_opens_no_session() {
    let (odd, agents) = (Odd::start().await, Issuer::new(FOREIGN).at_now());
    let definition = definition(&odd.url, "arn:aws:iam::123456789012:role/crm");
    let desk = Desk::holding("aws-odd", &policy(&agents), &definition, &[("id", "AKIAODD"), ("key", "odd-key")]).await;
    for oddity in [
        Oddity::Says(
            500,
            "text/xml",
            "<ErrorResponse><Error><Code>InternalFailure</Code></Error></ErrorResponse>".into(),
        ),
        Oddity::Says(400, "text/xml", "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>".into()),
        Oddity::Says(200, "text/html", "<html></html>".into()),
        Oddity::Says(200, "text/xml", "<AssumeRoleResponse/>".into()),
        Oddity::Redirects,
        Oddity::Floods,
    ] {
        odd.be(oddity.clone());
        odd.asked();
        assert_eq!(exchange(&desk, &agents).await.error(), (503, "temporarily_unavailable"), "{oddity:?}");
        assert_eq!(odd.asked(), ["POST /"], "{oddity:?}");
    }
    assert!(!desk.traces().await.contains("odd-key"));
}
