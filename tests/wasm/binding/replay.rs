//! Each proof counts once, whichever worker it comes to, and one that cannot be remembered does not count at all.

use super::*;
use harness::Answer;
use std::cell::Cell;

#[test]
fn a_proof_counts_once_on_all_workers_together() {
    let proxy = workers(3, &policy());
    let client = Client::new(Alg::EdDsa);
    let request = client.request(client.proof());
    proxy.run(request.clone()).forwarded();
    for worker in [0, 1, 2] {
        let again = proxy.send_on(worker, request.clone());
        proxy.settle();
        assert_eq!(denied(&again, 401, "sender_proof_invalid").challenge(), challenge("invalid_dpop_proof"));
    }
    for worker in [0, 1, 2] {
        let fresh = proxy.send_on(worker, client.request(client.proof()));
        proxy.settle();
        fresh.forwarded();
    }
}

#[test]
fn a_proof_is_remembered_until_it_would_be_too_old_and_by_its_name_alone() {
    let proxy = start();
    let client = Client::new(Alg::EdDsa);
    let named = |iat: u64| client.request(client.proof().claim("jti", "same").claim("iat", iat));
    proxy.run(named(START + 5)).forwarded();
    // The same name in a proof that differs otherwise.
    denied(&proxy.run(named(START + 4)), 401, "sender_proof_invalid");
    proxy.advance(Duration::from_secs(64));
    denied(&proxy.run(named(START + 5)), 401, "sender_proof_invalid");
    denied(&proxy.run(named(START + 60)), 401, "sender_proof_invalid");
    proxy.advance(Duration::from_secs(2));
    proxy.run(named(START + 60)).forwarded();
}

#[test]
fn a_proof_that_cannot_be_remembered_is_not_accepted() {
    let proxy = start();
    let client = Client::new(Alg::EdDsa);
    let buckets: Vec<String> = proxy.shared().into_keys().filter(|key| key.starts_with("accredit.dpop.")).collect();
    assert_eq!(buckets.len(), 1024);
    for odd in [None, Some(&b"of another plugin"[..])] {
        buckets.iter().for_each(|key| proxy.share(key, odd));
        denied(&proxy.run(client.request(client.proof())), 503, "host_failed");
    }
    buckets.iter().for_each(|key| proxy.share(key, Some(b"")));
    proxy.run(client.request(client.proof())).forwarded();
}

#[test]
fn workers_that_claim_at_the_same_time_overwrite_nothing() {
    let proxy = start();
    let client = Client::new(Alg::EdDsa);
    // Each time but the last another worker is faster, with an entry of its own.
    let others = Cell::new(0_u8);
    proxy.contend(move |_, bucket| {
        others.set(others.get() + 1);
        let entry = [&[others.get(); 16][..], &u32::MAX.to_be_bytes()].concat();
        (others.get() <= 40).then(|| [bucket, &entry].concat())
    });
    let request = client.request(client.proof());
    proxy.run(request.clone()).forwarded();
    let bucket = proxy.shared().into_values().max_by_key(Vec::len).unwrap();
    assert_eq!(bucket.len(), 41 * 20, "an entry was lost");
    denied(&proxy.run(request), 401, "sender_proof_invalid");
}

#[test]
fn the_faster_of_two_workers_with_the_same_proof_wins() {
    let proxy = workers(2, &policy());
    let client = Client::new(Alg::EdDsa);
    let request = client.request(client.proof());
    proxy.run(request.clone()).forwarded();
    let (key, taken) =
        proxy.shared().into_iter().find(|(key, value)| key.starts_with("accredit.dpop.") && !value.is_empty()).unwrap();
    // The second worker still sees the bucket without the proof; the first has entered it when the second swaps.
    proxy.share(&key, Some(b""));
    proxy.contend(move |_, bucket| bucket.is_empty().then(|| taken.clone()));
    let second = proxy.send_on(1, request);
    proxy.settle();
    denied(&second, 401, "sender_proof_invalid");
}

#[test]
fn a_bucket_that_never_holds_still_ends_in_a_refusal() {
    let proxy = start();
    let client = Client::new(Alg::EdDsa);
    proxy.contend(|_, bucket| Some(bucket.to_vec()));
    denied(&proxy.run(client.request(client.proof())), 503, "host_failed");
}

#[test]
fn a_proof_that_waited_for_keys_counts_once_too() {
    let proxy = started(builder(&remote()));
    let client = Client::new(Alg::EdDsa);
    let request = client.request(client.proof());
    let streams = [proxy.send(request.clone()), proxy.send(request)];
    proxy.cluster("idp").always(Answer::json(200, issuer().jwks()));
    proxy.settle();
    streams[0].forwarded();
    denied(&streams[1], 401, "sender_proof_invalid");
}
