//! Keys that change, are away, or are made up, while requests come in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::Alg;
use harness::site::Site;
use harness::wire::{End, One, Two};
use tokio::time::{Instant, sleep};

use super::scene::{KEYS, Scene, Setup, call, denial, publish};

/// What the clients of a load share.
struct Load {
    /// The key the issuer signs with now.
    alg: Mutex<Alg>,
    over: AtomicBool,
    calls: AtomicUsize,
}

/// One client: a connection of its own, a new token for each call.
async fn client(load: Arc<Load>, scene: Arc<Scene>) {
    let mut connection = One::connect(&scene.address()).await.unwrap();
    while !load.over.load(Ordering::SeqCst) {
        let alg = *load.alg.lock().unwrap();
        let token = scene.token().alg(alg).sign();
        let request = scene.post(&token, "crm_lookup").body(call("crm_lookup").as_bytes());
        let reply = connection.exchange(&[request]).await.unwrap();
        assert_eq!(reply.status, 200, "{alg:?}: {reply:?}");
        load.calls.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_rotation_of_keys_loses_no_request() {
    let site = Site::new();
    publish(&site, &[Alg::EdDsa]);
    site.open().await;
    let Some(scene) = Setup::new("rotation").fetched(&site).open().await else { return };
    let scene = Arc::new(scene);
    let load = Load { alg: Mutex::new(Alg::EdDsa), over: AtomicBool::new(false), calls: AtomicUsize::new(0) };
    let load = Arc::new(load);
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(client(load.clone(), scene.clone()))).collect();
    sleep(Duration::from_secs(1)).await;
    let before = load.calls.load(Ordering::SeqCst);
    // The issuer signs with the new key as soon as it is published, and nobody knows of it yet.
    publish(&site, &[Alg::EdDsa, Alg::Es256]);
    *load.alg.lock().unwrap() = Alg::Es256;
    sleep(Duration::from_secs(2)).await;
    load.over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("every call was answered with 200");
    }
    let after = load.calls.load(Ordering::SeqCst) - before;
    assert!(before >= 50 && after >= 50, "there was no load: {before} calls before the rotation, {after} after it");
    // Each of the two workers fetches when the first token comes, and when the first one of the new key does.
    assert!(site.proxied(KEYS) <= 4, "{} fetches", site.proxied(KEYS));
}

#[tokio::test]
async fn keys_that_are_away_at_the_start_are_used_as_soon_as_they_are_there() {
    let site = Site::new();
    let Some(scene) = Setup::new("keys-late").fetched(&site).open().await else { return };
    let token = scene.token().sign();
    for _ in 0..3 {
        let reply = scene.call(&token, "crm_lookup").await;
        assert_eq!(denial(&reply), (503, "keys_unavailable".into()));
        assert_eq!(reply.header("retry-after"), ["1"]);
        assert!(reply.header("www-authenticate").is_empty(), "the agent was told that its token is bad");
    }
    publish(&site, &[Alg::Es256]);
    site.open().await;
    let began = Instant::now();
    loop {
        let reply = scene.call(&token, "crm_lookup").await;
        if reply.status == 200 {
            break;
        }
        // The broker may not have them yet, which is no fault of the agent's either.
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "calls are still refused");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.ran(), ["crm_lookup"]);
}

#[tokio::test]
async fn made_up_keys_cause_one_fetch_only() {
    let site = Site::new();
    publish(&site, &[Alg::Es256]);
    site.open().await;
    let Some(scene) = Setup::new("made-up").fetched(&site).open().await else { return };
    // One connection stays on one worker, and each worker has keys of its own.
    let connection = Two::connect(&scene.address()).await.unwrap();
    let send = async |token: String| {
        let body = call("crm_lookup");
        connection.send(scene.request(&token, "crm_lookup"), &[body.as_bytes()], End::Stream).await.unwrap()
    };
    assert_eq!(send(scene.token().sign()).await.status, 200);
    assert_eq!(site.proxied(KEYS), 1);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        let reply = send(scene.token().kid(&format!("made-up-{sent}")).sign()).await;
        assert_eq!(denial(&reply), (401, "token_key_unknown".into()));
        sent += 1;
    }
    assert!(sent > 100 && site.proxied(KEYS) <= 2, "{sent} tokens, {} fetches", site.proxied(KEYS));
    assert_eq!(send(scene.token().sign()).await.status, 200);
}
