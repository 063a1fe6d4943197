use std::sync::atomic::{AtomicUsize, Ordering};

use accredit_policy::Secret;

use super::*;

#[derive(Default)]
struct Server(AtomicUsize);

impl Server {
    async fn token(&self, lifetime: Option<u64>) -> Result<Received, Failure> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let token = Secret::new(format!("t-{number}"));
        Ok(Received { token, lifetime: lifetime.map(Duration::from_secs), expires: None })
    }

    fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

async fn together(count: usize, cache: &Arc<Cache>, server: &Arc<Server>, lifetime: Option<u64>) -> Vec<Secret> {
    let tasks = (0..count).map(|_| {
        let (cache, server) = (Arc::clone(cache), Arc::clone(server));
        tokio::spawn(async move { cache.take("k".into(), async || server.token(lifetime).await).await.unwrap().token })
    });
    let mut tokens = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        tokens.push(task.await.unwrap());
    }
    tokens
}

#[tokio::test]
async fn many_calls_are_one_request() {
    let (cache, server) = (Arc::default(), Arc::default());
    for _ in 0..3 {
        let tokens = together(20, &cache, &server, Some(3600)).await;
        assert!(tokens.iter().all(|token| token.reveal() == "t-0"));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_token_near_its_end_serves_who_waited_for_it_and_nobody_later() {
    for lifetime in [None, Some(30), Some(1)] {
        let (cache, server) = (Arc::default(), Arc::default());
        together(20, &cache, &server, lifetime).await;
        assert_eq!(server.asked(), 1, "{lifetime:?}");
        together(20, &cache, &server, lifetime).await;
        assert_eq!(server.asked(), 2, "{lifetime:?}");
    }
}

#[test]
fn thirty_seconds_and_a_tenth_of_the_lifetime_stay_unused() {
    let seconds = |lifetime| usable(Duration::from_secs(lifetime)).map(|span| span.as_secs());
    assert_eq!([29, 30, 31, 300, 3600].map(seconds), [None, Some(0), Some(1), Some(270), Some(3240)]);
}

#[tokio::test]
async fn a_failure_is_told_to_who_waited_and_not_kept() {
    let cache = Cache::default();
    let down = Failure::Unavailable("down".into());
    let first = cache.take("k".into(), async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(down.clone())
    });
    let second = cache.take("k".into(), async || panic!("asked although the first request was under way"));
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap_err(), second.unwrap_err()), (down.clone(), down.clone()));
    let server = Server::default();
    cache.take("k".into(), async || server.token(None).await).await.unwrap();
}

#[tokio::test]
async fn a_request_given_up_does_not_block_the_next() {
    let (cache, server) = (Cache::default(), Server::default());
    let forever = cache.take("k".into(), async || std::future::pending().await);
    tokio::time::timeout(Duration::from_millis(10), forever).await.unwrap_err();
    cache.take("k".into(), async || server.token(None).await).await.unwrap();
}

#[tokio::test]
async fn no_more_than_a_limited_number_is_kept() {
    let (cache, server) = (Arc::new(Cache::default()), Arc::new(Server::default()));
    let tasks = (0..LIMIT + 10).map(|number| {
        let (cache, server) = (Arc::clone(&cache), Arc::clone(&server));
        let lifetime = Some(3600 + number as u64);
        tokio::spawn(async move { cache.take(format!("k-{number}"), async || server.token(lifetime).await).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert!(cache.0.lock().unwrap().len() <= LIMIT);
    let before = server.asked();
    cache.take("more".into(), async || server.token(Some(3600)).await).await.unwrap();
    cache.take("more".into(), async || server.token(Some(3600)).await).await.unwrap();
    assert_eq!(server.asked(), before + 1, "a new token finds no room");
    assert_eq!(cache.0.lock().unwrap().len(), LIMIT);
}
