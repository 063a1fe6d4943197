//! Signatures checked by Envoy, and by the policy's own code: the verdict is the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::issuer::broken;
use harness::stack::broker::accredit;
use harness::wire::Reply;
use harness::{Alg, Issuer};
use serde_json::{Value, json};

use super::scene::{CORP, Scene, Setup, call, denial};

/// Those Envoy's own function knows, and two that only the module does.
const ALGS: [Alg; 7] = [Alg::Rs256, Alg::Rs384, Alg::Rs512, Alg::Es256, Alg::Es384, Alg::Ps256, Alg::EdDsa];

/// What `policy explain` says of calls with these tokens: status, and the reason of a denial.
fn explained(scene: &Scene, tokens: &[String]) -> Vec<(u16, String)> {
    let request = |token: &String| {
        let headers = [
            ("authorization", format!("Bearer {token}")),
            ("content-type", "application/json".into()),
            ("mcp-protocol-version", "2026-07-28".into()),
            ("mcp-method", "tools/call".into()),
            ("mcp-name", "crm_lookup".into()),
        ];
        let body = STANDARD.encode(call("crm_lookup"));
        let request = json!({
            "method": "POST", "host": scene.address(), "path": "/crm/mcp", "headers": headers, "body_base64": body,
        });
        request.to_string() + "\n"
    };
    let input: String = tokens.iter().map(request).collect();
    let policy = scene.stack.policy();
    let args = ["policy", "explain", "--batch", "--output", "json", "--policy", policy.to_str().unwrap()];
    let output = accredit(&[&args[..], &["--request", "-"]].concat(), input.trim_end().as_bytes());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| outcome(&serde_json::from_str(line).unwrap())).collect()
}

fn outcome(verdict: &Value) -> (u16, String) {
    let status = verdict["status"].as_u64().and_then(|status| status.try_into().ok());
    (status.unwrap_or_default(), verdict["reason"].as_str().unwrap_or_default().to_owned())
}

fn answered(reply: &Reply) -> (u16, String) {
    if reply.status == 200 { (200, String::new()) } else { denial(reply) }
}

#[tokio::test]
async fn envoy_and_the_policys_own_code_come_to_the_same_verdicts() {
    let names: Vec<&str> = ALGS.iter().map(|alg| alg.name()).collect();
    let setup = Setup::new("native").issuer("algorithms", json!(names));
    let Some(scene) = setup.issuer("jwks", Issuer::new(CORP).jwks_for(&ALGS)).open().await else { return };
    let mut tokens = Vec::new();
    for alg in ALGS {
        // Several, since an ECDSA number may be short or have its highest bit set.
        tokens.extend((0..4).map(|_| scene.token().alg(alg).sign()));
        tokens.extend(broken(scene.token().alg(alg)));
    }
    let expected = explained(&scene, &tokens);
    assert_eq!(expected.len(), tokens.len());
    for (token, expected) in tokens.iter().zip(&expected) {
        assert_eq!(answered(&scene.call(token, "crm_lookup").await), *expected, "{token}");
    }
    let permits = expected.iter().filter(|verdict| verdict.0 == 200).count();
    let refused = expected.iter().filter(|(_, reason)| reason == "token_signature").count();
    assert_eq!((permits, refused), (ALGS.len() * 4, ALGS.len() * 7));
    scene.keeps_quiet(&tokens.iter().map(String::as_str).filter(|token| !token.ends_with('.')).collect::<Vec<_>>());
}
