//! Tokens of GitHub App installations: no wider than asked for, and revoked with their lease.

use harness::parts::{GitHub, Trouble};
use harness::{Alg, Issuer, Token};
use serde_json::{Value, json};

use super::odd::{Odd, Oddity};
use super::support::{Answer, Desk, FOREIGN, RESOURCE, policy, set};

fn token(agents: &Issuer) -> Token {
    agents.token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read")
}

async fn exchange(desk: &Desk, agents: &Issuer) -> Answer {
    desk.exchange(&token(agents).sign(), "crm_lookup", "crm:read", |_| ()).await
}

fn definition(api: &str) -> Value {
    json!({
        "kind": "github", "app_id": 4711, "key_file": "app.pem", "api": api, "installation_id": 7, "owner": "acme",
        "repositories": ["docs", "crm-web"], "permissions": { "contents": "read" }, "ttl": "2m",
    })
}

const GRANT: &str = "POST /app/installations/7/access_tokens";
const REVOKE: &str = "DELETE /installation/token";

fn sound() -> Value {
    json!({
        "token": "ghs_odd", "expires_at": "2099-01-01T00:00:00Z", "permissions": { "contents": "read", "metadata": "read" },
        "repository_selection": "selected", "repositories": [{ "name": "docs", "full_name": "acme/docs" }],
    })
}

/// A broker whose tokens are narrowed by arguments of the call, before that GitHub.
async fn narrowing(name: &str, github: &GitHub, agents: &Issuer) -> Desk {
    let definition = json!({
        "kind": "github", "app_id": GitHub::CLIENT, "key_file": "app.pem", "api": github.url, "installation_id": 7,
        "owner": "acme", "repositories": ["{args.repo}"], "allow_repositories": ["docs", "crm-*"],
        "permissions": { "contents": "{args.access}" }, "ttl": "2m",
    });
    let mut policy = policy(agents);
    policy["servers"]["crm"]["tools"]["crm_lookup"]["credential_arguments"] = json!(["repo", "access"]);
    Desk::holding(name, &policy, &definition, &[("app.pem", &GitHub::private_key())]).await
}

async fn with(desk: &Desk, agents: &Issuer, arguments: Value) -> Answer {
    let details = json!([{
        "type": "tool_call", "server": "crm", "tool": "crm_lookup", "credential": "crm-api", "arguments": arguments,
    }]);
    let details = details.to_string();
    let change = |form: &mut _| set(form, "authorization_details", &details);
    desk.exchange(&token(agents).sign(), "crm_lookup", "crm:read", change).await
}

#[tokio::test]
async fn a_token_is_for_what_the_call_names_and_dies_with_its_lease() {
    let Some(github) = GitHub::start().await else { return };
    github.install(7, "acme", &["docs", "crm-web", "billing"], &json!({ "contents": "write", "issues": "write" }));
    let agents = Issuer::new(FOREIGN).at_now();
    let desk = narrowing("github-narrow", &github, &agents).await;
    let answer = with(&desk, &agents, json!({ "repo": ["acme/docs", "crm-web"], "access": ["read"] })).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", desk.broker.process.log());
    let grants = github.grants();
    assert_eq!(grants[0].repositories, ["crm-web", "docs"]);
    assert_eq!(json!(grants[0].permissions), json!({ "contents": "read" }));
    assert_eq!(answer.body["headers"]["authorization"], format!("Bearer {}", grants[0].token));
    assert_eq!(desk.revoke_lease(&answer.text("lease_id")).await, "revoked");
    assert!(!github.grants()[0].live);
    assert!(!desk.traces().await.contains(&grants[0].token));
}

#[tokio::test]
async fn arguments_ask_for_nothing_the_definition_does_not_allow() {
    let Some(github) = GitHub::start().await else { return };
    github.install(7, "acme", &["docs", "billing"], &json!({ "contents": "write" }));
    let agents = Issuer::new(FOREIGN).at_now();
    let desk = narrowing("github-more", &github, &agents).await;
    for arguments in [
        json!({ "repo": ["docs"] }),
        json!({ "access": ["read"] }),
        json!({ "repo": [], "access": ["read"] }),
        json!({ "repo": ["billing"], "access": ["read"] }),
        json!({ "repo": ["other/docs"], "access": ["read"] }),
        json!({ "repo": ["../docs"], "access": ["read"] }),
        json!({ "repo": ["docs/.."], "access": ["read"] }),
        json!({ "repo": [".."], "access": ["read"] }),
        json!({ "repo": ["docs"], "access": ["owner"] }),
        json!({ "repo": ["docs"], "access": ["read", "write"] }),
    ] {
        assert_eq!(with(&desk, &agents, arguments.clone()).await.error(), (403, "access_denied"), "{arguments}");
    }
    assert_eq!(github.answered(), []);
    // More than the installation has is for GitHub to refuse.
    let answer = with(&desk, &agents, json!({ "repo": ["docs"], "access": ["admin"] })).await;
    assert_eq!(answer.error(), (403, "access_denied"));
}

#[tokio::test]
async fn trouble_at_github_is_told_apart_from_a_refusal() {
    let Some(github) = GitHub::start().await else { return };
    github.install(7, "acme", &["docs"], &json!({ "contents": "write" }));
    let agents = Issuer::new(FOREIGN).at_now();
    let desk = narrowing("github-trouble", &github, &agents).await;
    for (trouble, error) in [
        (Trouble::Limited, (503, "temporarily_unavailable")),
        (Trouble::Broken, (503, "temporarily_unavailable")),
        (Trouble::Unauthorized, (403, "access_denied")),
        (Trouble::Refused, (403, "access_denied")),
    ] {
        github.trouble(trouble, 1);
        let answer = with(&desk, &agents, json!({ "repo": ["docs"], "access": ["read"] })).await;
        assert_eq!(answer.error(), error, "{trouble:?}");
    }
    let answer = with(&desk, &agents, json!({ "repo": ["docs"], "access": ["read"] })).await;
    assert_eq!(answer.status, 200);
    github.expire();
    assert_eq!(desk.revoke_lease(&answer.text("lease_id")).await, "revoked");
}

#[tokio::test]
async fn a_wider_token_than_asked_for_is_revoked_and_not_handed_out() {
    let (odd, agents) = (Odd::start().await, Issuer::new(FOREIGN).at_now());
    let desk = Desk::holding("github-wider", &policy(&agents), &definition(&odd.url), &[("app.pem", &app())]).await;
    odd.be(Oddity::Says(201, "application/json", sound().to_string()));
    let answer = exchange(&desk, &agents).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", desk.broker.process.log());
    assert_eq!(answer.body["headers"]["authorization"], "Bearer ghs_odd");
    assert_eq!(odd.asked(), [GRANT]);
    for (name, value) in [
        ("permissions", json!({ "contents": "write" })),
        ("permissions", json!({ "contents": "read", "secrets": "read" })),
        ("repository_selection", json!("all")),
        ("repositories", json!([{ "name": "billing", "full_name": "acme/billing" }])),
        ("repositories", json!([{ "name": "docs", "full_name": "other/docs" }])),
    ] {
        let mut wider = sound();
        wider[name] = value;
        odd.be(Oddity::Says(201, "application/json", wider.to_string()));
        assert_eq!(exchange(&desk, &agents).await.error(), (503, "temporarily_unavailable"), "{wider}");
        assert!(odd.asked().windows(2).any(|two| two == [GRANT, REVOKE]), "{wider}");
    }
    assert!(!desk.traces().await.contains("ghs_odd"));
}

#[tokio::test]
async fn an_odd_api_gives_no_token() {
    let (odd, agents) = (Odd::start().await, Issuer::new(FOREIGN).at_now());
    let desk = Desk::holding("github-odd", &policy(&agents), &definition(&odd.url), &[("app.pem", &app())]).await;
    for oddity in [
        Oddity::Says(500, "application/json", "{}".into()),
        Oddity::Says(201, "text/html", sound().to_string()),
        Oddity::Says(201, "application/json", "[]".into()),
        Oddity::Redirects,
        Oddity::Floods,
    ] {
        odd.be(oddity.clone());
        assert_eq!(exchange(&desk, &agents).await.error(), (503, "temporarily_unavailable"), "{oddity:?}");
        assert_eq!(odd.asked(), [GRANT], "{oddity:?}");
    }
    for status in [401, 403, 404, 422] {
        odd.be(Oddity::Says(status, "application/json", json!({ "message": "ghs_odd" }).to_string()));
        assert_eq!(exchange(&desk, &agents).await.error(), (403, "access_denied"), "{status}");
    }
    assert!(!desk.traces().await.contains("ghs_odd"));
}

/// The key of an App.
fn app() -> String {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine as _;
    let der = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_der().unwrap().as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}
