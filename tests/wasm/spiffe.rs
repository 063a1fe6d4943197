//! JWT-SVIDs: workloads that call with the identity they have anyway.

use crate::support::*;
use harness::{Alg, Proxy, Request, Token};
use serde_json::{Value, json};

const DOMAIN: &str = "spiffe://prod.example";
const PLANNER: &str = "spiffe://prod.example/agents/planner";

/// A policy that also trusts a trust domain.
fn spiffe() -> Value {
    let domain = json!({
        "kind": "spiffe",
        "issuer": DOMAIN,
        "jwks": issuer().svid_jwks(),
        "algorithms": ["ES256", "RS256"],
        "grants": { "spiffe://prod.example/agents/*": ["crm:read"], PLANNER: ["crm:write"] },
    });
    let policy = changed(policy(), "/issuers/prod", domain);
    changed(policy, "/servers/crm/issuers", json!(["corp", "prod"]))
}

fn proxy() -> Proxy {
    started(builder(&spiffe()))
}

fn svid(id: &str) -> Token {
    issuer().svid(id)
}

fn calls(token: Token, tool: &str) -> Request {
    legacy(&token.sign(), &call(tool))
}

#[test]
fn a_workload_may_do_what_the_policy_grants_it() {
    let proxy = proxy();
    for alg in [Alg::Es256, Alg::Rs256] {
        proxy.run(calls(svid(PLANNER).alg(alg), "crm_lookup")).forwarded();
        let update = proxy.run(calls(svid(PLANNER).alg(alg), "crm_update")).forwarded();
        assert_eq!(update.headers.text("authorization"), Some("Bearer minted"));
    }
    let record = records(&proxy).pop().unwrap();
    assert_eq!(record["agent"], json!({ "issuer": DOMAIN, "id": PLANNER }));
    assert_eq!(record["subject"], PLANNER);
    assert_eq!(record["scopes"]["held"], json!(["crm:read", "crm:write"]));
    let reader = "spiffe://prod.example/agents/reader";
    proxy.run(calls(svid(reader), "crm_lookup")).forwarded();
    denied(&proxy.run(calls(svid(reader), "crm_update")), 403, "scope_missing");
    denied(&proxy.run(calls(svid("spiffe://prod.example/batch/nightly"), "crm_lookup")), 403, "scope_missing");
}

#[test]
fn what_says_it_is_of_another_issuer_is_no_workloads_whatever_was_asked_before() {
    let domain_only = changed(spiffe(), "/servers/crm/issuers", json!(["prod"]));
    let two_faced = || svid(PLANNER).claim("iss", "https://idp.example.com");
    for policy in [domain_only, spiffe()] {
        let proxy = started(builder(&policy));
        assert_eq!(proxy.run(calls(two_faced(), "crm_lookup")).replied().status, 401);
        proxy.run(calls(svid(PLANNER).claim("iss", "https://elsewhere.example"), "crm_lookup")).forwarded();
    }
}

#[test]
fn access_tokens_of_the_other_issuer_are_accepted_as_before() {
    let proxy = proxy();
    proxy.run(legacy(&reader(), &call("crm_lookup"))).forwarded();
    let document = proxy.run(Request::fetch("/.well-known/oauth-protected-resource/crm/mcp")).replied().json();
    assert_eq!(document["authorization_servers"], json!(["https://idp.example.com"]));
}

#[test]
fn the_header_of_a_jwt_svid_holds_three_parameters_at_most() {
    let proxy = proxy();
    for sound in
        [svid(PLANNER).without_header("typ"), svid(PLANNER).header("typ", "JOSE"), svid(PLANNER).without_header("kid")]
    {
        proxy.run(calls(sound, "crm_lookup")).forwarded();
    }
    for typ in ["at+jwt", "application/at+jwt", "jwt", "dpop+jwt", ""] {
        denied(&proxy.run(calls(svid(PLANNER).header("typ", typ), "crm_lookup")), 401, "token_type");
    }
    for name in ["x", "cty", "jku", "x5t", "nonce"] {
        let odd = svid(PLANNER).header(name, "x");
        assert_eq!(proxy.run(calls(odd, "crm_lookup")).replied().status, 401, "{name}");
    }
    denied(&proxy.run(calls(svid(PLANNER).header("x", 1), "crm_lookup")), 401, "token_malformed");
}

#[test]
fn an_identity_of_another_domain_or_of_no_form_is_nobodys() {
    let proxy = proxy();
    for id in [
        "spiffe://other.example/agents/planner",
        "spiffe://prod.example.evil/agents/planner",
        "spiffe://prod.exampl/agents/planner",
        "spiffe://Prod.example/agents/planner",
        "spiffe://prod.example",
        "spiffe://prod.example/",
        "spiffe://prod.example//planner",
        "spiffe://prod.example/agents/../planner",
        "spiffe://prod.example/agents/%70lanner",
        "https://prod.example/agents/planner",
        "planner",
    ] {
        denied(&proxy.run(calls(svid(id), "crm_lookup")), 401, "token_issuer");
    }
}

#[test]
fn a_jwt_svid_has_an_audience_and_an_end() {
    let proxy = proxy();
    denied(&proxy.run(calls(svid(PLANNER).without("aud"), "crm_lookup")), 401, "token_audience");
    denied(&proxy.run(calls(svid(PLANNER).audience("https://other.example"), "crm_lookup")), 401, "token_audience");
    denied(&proxy.run(calls(svid(PLANNER).without("exp"), "crm_lookup")), 401, "token_malformed");
    denied(&proxy.run(calls(svid(PLANNER).claim("exp", harness::START - 30), "crm_lookup")), 401, "token_expired");
    let foreign = legacy(&svid(PLANNER).sign_foreign(), &call("crm_lookup"));
    denied(&proxy.run(foreign), 401, "token_signature");
}

#[test]
fn neither_kind_of_token_passes_for_the_other() {
    let proxy = proxy();
    let named = svid(PLANNER).claim("iss", "https://idp.example.com");
    denied(&proxy.run(calls(named, "crm_lookup")), 401, "token_type");
    let access = issuer().token().claim("sub", PLANNER).without("iss");
    denied(&proxy.run(calls(access, "crm_lookup")), 401, "token_type");
    let domain = issuer().token().claim("iss", DOMAIN);
    denied(&proxy.run(calls(domain, "crm_lookup")), 401, "token_issuer");
}

#[test]
fn only_keys_meant_for_jwt_svids_count() {
    let mut jwks = issuer().svid_jwks();
    jwks["keys"][1]["use"] = json!("sig");
    let proxy = started(builder(&changed(spiffe(), "/issuers/prod/jwks", jwks)));
    proxy.run(calls(svid(PLANNER).alg(Alg::Rs256), "crm_lookup")).forwarded();
    denied(&proxy.run(calls(svid(PLANNER).alg(Alg::Es256), "crm_lookup")), 401, "token_key_unknown");
}

#[test]
fn a_trust_domain_is_configured_as_one() {
    for (place, value, expected) in [
        ("/issuers/prod/algorithms", json!(["EdDSA"]), "`issuers.prod.algorithms[0]`: found `EdDSA`"),
        ("/issuers/prod/issuer", json!("prod.example"), "`issuers.prod.issuer`: found `prod.example`"),
        ("/issuers/prod/typ", json!("JWT"), "`issuers.prod.typ`: found a key that `kind: spiffe` does not use"),
        ("/issuers/prod/jwks", issuer().jwks(), "`issuers.prod.jwks.keys`: found a key set that"),
        (
            "/issuers/prod/grants",
            json!({ "spiffe://other.example/*": ["crm:read"] }),
            "a workload of the issuer's trust domain",
        ),
        ("/issuers/corp/grants", json!({ PLANNER: ["crm:read"] }), "`issuers.corp.grants`: found grants without"),
    ] {
        let refused = builder(&changed(spiffe(), place, value)).try_start().err().expect(place);
        assert!(refused.log.iter().any(|line| line.contains(expected)), "{expected}: {:#?}", refused.log);
    }
}
