//! What a worker keeps in its memory, however many tokens come.

use crate::support::*;
use harness::{Proxy, Request};
use serde_json::json;

const MIB: usize = 1024 * 1024;

/// A sound call with a token of its own, about as long as real ones are.
fn distinct(number: usize) -> Request {
    let claims = json!({
        "iss": "https://idp.example.com", "aud": "https://gateway.example.com/crm/mcp", "scope": "crm:read",
        "client_id": format!("agent-{}", number % 100), "sub": format!("user-{number}"), "jti": format!("token-{number}"),
        "iat": harness::START, "exp": harness::START + 3600, "groups": "x".repeat(200),
    });
    // The host of these tests takes every signature for good; only the token has to be another one.
    let header = r#"{"alg":"RS256","kid":"rsa-1","typ":"at+jwt"}"#;
    let token = harness::issuer::seal(header, &claims.to_string(), |_| {
        (0..256_usize).map(|at| (number.wrapping_mul(31 + at) >> 3) as u8).collect()
    });
    legacy(&token, &call("crm_lookup"))
}

fn send(proxy: &Proxy, numbers: std::ops::Range<usize>) -> usize {
    for number in numbers {
        proxy.run(distinct(number)).forwarded();
        if number % 100 == 0 {
            proxy.advance(std::time::Duration::from_secs(1));
            proxy.forget();
        }
    }
    proxy.memory(0)
}

#[test]
fn tokens_without_end_take_a_bounded_part_of_it() {
    let proxy = start();
    proxy.foreign("verify_signature", |_| Ok(vec![0x08, 1]));
    let full = send(&proxy, 0..10_200);
    assert!(full <= 24 * MIB, "{full} bytes after 10 200 tokens");
    let later = send(&proxy, 10_200..11_200);
    assert!(later <= full + MIB, "{full} bytes grew to {later} once the cache was full");
}
