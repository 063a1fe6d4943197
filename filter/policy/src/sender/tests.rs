//! Who may send which token.

use serde_json::{Value, json};

use super::*;
use crate::headers::Headers;
use crate::secret::Secret;
use crate::testing::{NOW, RESOURCE, claims, holder, policy_json, sign, token};
use crate::token::native;
use crate::token::{Outcome, Prover, encode};

const CERTIFICATE: [u8; 32] = [8; 32];

/// One request: a token bound by `cnf`, and what comes with it.
struct Attempt {
    policy: Value,
    token: String,
    scheme: Scheme,
    proofs: Vec<String>,
    peer: Peer,
}

fn attempt(sender: &str, cnf: Value) -> Attempt {
    let mut policy = policy_json();
    policy["servers"]["crm"]["sender"] = json!(sender);
    let mut claims = claims();
    if !cnf.is_null() {
        claims["cnf"] = cnf;
    }
    let token = token(&claims);
    Attempt { policy, token, scheme: Scheme::Bearer, proofs: Vec::new(), peer: Peer::default() }
}

fn key() -> Value {
    json!({ "jkt": encode(&holder().1) })
}

fn certificate() -> Value {
    json!({ "x5t#S256": encode(&CERTIFICATE) })
}

impl Attempt {
    fn dpop(mut self) -> Self {
        self.scheme = Scheme::Dpop;
        self
    }

    /// With a proof for the token, of the client's own key.
    fn proved(self) -> Self {
        let proof = proof(&self.token);
        Self { proofs: vec![proof], ..self }
    }

    fn from(mut self, certificate: Option<[u8; 32]>, identity: Option<&str>) -> Self {
        self.peer = Peer { certificate, identity: identity.map(str::to_owned), source: None };
        self
    }

    fn tied(mut self, place: &str, workload: &str) -> Self {
        self.policy.pointer_mut(place).unwrap()["workloads"] = json!([workload]);
        self
    }

    fn judged(&self) -> Result<Judged, Refusal> {
        let policy = crate::config::read(self.policy.clone()).unwrap();
        let server = policy.server("crm").unwrap();
        let token = Secret::new(self.token.as_str());
        let Outcome::Proved(verified) = Prover::default().prove(&token, server, &policy, NOW, NOW) else { panic!() };
        let headers = Headers::new(self.proofs.iter().map(|proof| ("dpop".to_owned(), proof.clone().into_bytes())));
        let (proof, nonce) = (headers.sole("dpop"), Nonce::new([5; 32]));
        let shown = Shown { scheme: self.scheme, proof, method: "POST", url: RESOURCE, peer: &self.peer };
        judge(verified, (server, &policy), &shown, (&nonce, native::absent), NOW)
    }

    fn verdict(&self) -> Option<Reason> {
        self.judged().err().map(|refusal| refusal.reason)
    }
}

fn proof(token: &str) -> String {
    let header = json!({ "alg": "EdDSA", "typ": "dpop+jwt", "jwk": holder().0 });
    let ath = encode(&crate::token::digest(&Secret::new(token)));
    let claims = json!({ "htm": "POST", "htu": RESOURCE, "iat": NOW.seconds(), "jti": "p1", "ath": ath });
    sign(&header.to_string(), &claims.to_string(), 3)
}

#[test]
fn a_proof_is_remembered_for_as_long_as_any_server_takes_it() {
    let mut attempt = attempt("dpop", key()).dpop().proved();
    let until = |attempt: &Attempt| match attempt.judged() {
        Ok(Judged::Once(fresh, _)) => fresh.until(),
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&attempt), NOW.plus(Duration::from_secs(60)));
    let mut patient = attempt.policy["servers"]["crm"].clone();
    patient["match"]["path"] = json!("/other");
    patient["dpop"] = json!({ "max_age": "5m" });
    attempt.policy["servers"]["patient"] = patient;
    assert_eq!(until(&attempt), NOW.plus(Duration::from_secs(300)));
}

#[test]
fn a_token_that_is_not_bound_passes_only_where_none_has_to_be() {
    assert_eq!(attempt("bearer", Value::Null).verdict(), None);
    for sender in ["dpop", "mtls", "bound"] {
        let attempt = attempt(sender, Value::Null).from(Some(CERTIFICATE), None);
        assert_eq!(attempt.verdict(), Some(Reason::SenderUnbound), "{sender}");
    }
}

#[test]
fn a_bound_token_is_checked_wherever_it_is_sent() {
    for sender in ["bearer", "dpop", "bound"] {
        assert_eq!(attempt(sender, key()).dpop().proved().verdict(), None, "{sender}");
        assert_eq!(attempt(sender, key()).dpop().verdict(), Some(Reason::SenderProofInvalid), "{sender}");
    }
    for sender in ["bearer", "mtls", "bound"] {
        assert_eq!(attempt(sender, certificate()).from(Some(CERTIFICATE), None).verdict(), None, "{sender}");
        for other in [None, Some([7; 32])] {
            let attempt = attempt(sender, certificate()).from(other, None);
            assert_eq!(attempt.verdict(), Some(Reason::SenderUnbound), "{sender}");
        }
    }
    assert_eq!(attempt("mtls", key()).dpop().proved().verdict(), Some(Reason::SenderUnbound));
    assert_eq!(attempt("dpop", certificate()).from(Some(CERTIFICATE), None).verdict(), Some(Reason::SenderUnbound));
}

#[test]
fn a_token_bound_twice_is_checked_twice() {
    let both = || {
        let mut cnf = key();
        cnf["x5t#S256"] = certificate()["x5t#S256"].clone();
        attempt("bound", cnf)
    };
    assert_eq!(both().dpop().proved().from(Some(CERTIFICATE), None).verdict(), None);
    assert_eq!(both().dpop().proved().verdict(), Some(Reason::SenderUnbound));
    assert_eq!(both().dpop().from(Some(CERTIFICATE), None).verdict(), Some(Reason::SenderProofInvalid));
    assert_eq!(both().from(Some(CERTIFICATE), None).verdict(), Some(Reason::SenderUnbound));
}

#[test]
fn a_bound_token_does_not_pass_as_a_bearer_token_nor_a_bearer_token_as_bound() {
    assert_eq!(attempt("bearer", key()).proved().verdict(), Some(Reason::SenderUnbound));
    assert_eq!(attempt("bearer", Value::Null).dpop().proved().verdict(), Some(Reason::SenderUnbound));
}

#[test]
fn there_is_one_proof_and_it_is_for_this_token() {
    let mut twice = attempt("dpop", key()).dpop().proved();
    twice.proofs.push(twice.proofs[0].clone());
    assert_eq!(twice.verdict(), Some(Reason::SenderProofInvalid));
    let mut other = attempt("dpop", key()).dpop();
    other.proofs.push(proof("another token"));
    assert_eq!(other.verdict(), Some(Reason::SenderProofInvalid));
}

#[test]
fn a_proof_counts_once() {
    let claimed = |claim| {
        let Ok(Judged::Once(_, pending)) = attempt("dpop", key()).dpop().proved().judged() else { panic!() };
        pending.claimed(claim).err().map(|refusal| refusal.reason)
    };
    assert_eq!(claimed(Claim::First), None);
    assert_eq!(claimed(Claim::Again), Some(Reason::SenderProofInvalid));
    assert_eq!(claimed(Claim::Unknown), Some(Reason::HostFailed));
}

#[test]
fn workloads_tie_issuer_and_server_to_a_peer() {
    const ID: &str = "spiffe://prod/agents/planner-1";
    for place in ["/issuers/corp", "/servers/crm"] {
        let tied = |identity| {
            attempt("bearer", Value::Null).tied(place, "spiffe://prod/agents/planner-*").from(None, identity)
        };
        assert_eq!(tied(Some(ID)).verdict(), None, "{place}");
        for other in [None, Some("spiffe://prod/agents/worker"), Some("spiffe://evil/agents/planner-1"), Some("")] {
            assert_eq!(tied(other).verdict(), Some(Reason::SenderUnbound), "{place} {other:?}");
        }
    }
    let both = attempt("bearer", Value::Null).tied("/issuers/corp", ID).tied("/servers/crm", "spiffe://prod/other");
    assert_eq!(both.from(None, Some(ID)).verdict(), Some(Reason::SenderUnbound));
}
