//! What one client may take of time, room and connections.

use std::time::Duration;

use harness::stack::broker::{Broker, SECRET};
use harness::{Alg, Issuer};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::super::support::{Answer, Desk, FOREIGN, RESOURCE, call, policy};
use super::{HEALTH, dial, plain, prepare, token_request};

const SHORT: Duration = Duration::from_millis(600);

async fn hasty(name: &str) -> Desk {
    plain(name, |config| config["limits"] = json!({ "request": "600ms" })).await
}

/// How long the broker takes to cut the connection, bytes or not.
async fn cut(began: Instant) -> Duration {
    let spent = began.elapsed();
    assert!(spent >= SHORT / 2 && spent < SHORT * 4, "cut after {spent:?}");
    spent
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let desk = hasty("slow-head").await;
    for first in ["", "GET /heal", "GET /healthz HTTP/1.1\r\nhost: broker\r\nx: "] {
        let (mut one, began) = (dial(&desk).await, Instant::now());
        if !first.is_empty() {
            one.write(&[first]).await.unwrap();
        }
        // A byte now and then buys no time.
        let closed = loop {
            assert!(began.elapsed() < SHORT * 6, "the head may take for ever");
            match timeout(Duration::from_millis(50), one.read()).await {
                Ok(outcome) => break outcome,
                Err(_) if first.is_empty() => {}
                Err(_) => drop(one.write(&["x"]).await),
            }
        };
        assert!(closed.is_err(), "{closed:?}");
        cut(began).await;
    }
}

#[tokio::test]
async fn the_head_after_an_answer_is_cut_as_well() {
    let desk = hasty("slow-second").await;
    let mut one = dial(&desk).await;
    assert_eq!(one.exchange(&[HEALTH]).await.unwrap().status, 200);
    one.write(&["GET /heal"]).await.unwrap();
    let began = Instant::now();
    assert!(one.read().await.is_err());
    cut(began).await;
}

#[tokio::test]
async fn a_connection_that_waits_for_the_next_request_is_kept() {
    let desk = hasty("idle").await;
    let mut one = dial(&desk).await;
    for _ in 0..2 {
        assert_eq!(one.exchange(&[HEALTH]).await.unwrap().status, 200);
        sleep(SHORT * 3).await;
    }
    assert_eq!(one.exchange(&[HEALTH]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let desk = hasty("slow-body").await;
    let (head, body) = token_request();
    let (mut one, began) = (dial(&desk).await, Instant::now());
    one.write(&[&head, &body[..10]]).await.unwrap();
    let reply = one.read().await.unwrap();
    cut(began).await;
    assert_eq!((reply.status, reply.header("connection")), (408, vec!["close".into()]));
    assert!(reply.text().contains("\"error\":\"request_too_slow\""), "{reply:?}");
    assert!(one.read().await.is_err(), "the connection is of no more use");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_comes() {
    let desk = plain("large", |_| ()).await;
    for (path, size) in [("/token", 64 * 1024), ("/v1/audit/events", 1024 * 1024)] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: broker\r\n");
        let announced = format!("{head}content-length: {}\r\n\r\n", size + 1);
        let reply = dial(&desk).await.exchange(&[announced]).await.unwrap();
        assert_eq!(reply.status, 413, "nothing of it has to be sent");
        assert!(reply.text().contains("\"error\":\"request_too_large\""), "{reply:?}");
        let unannounced =
            format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n", size + 1, "x".repeat(size + 1));
        assert_eq!(dial(&desk).await.exchange(&[unannounced]).await.unwrap().status, 413);
        let fits = desk.http.post(desk.url(path)).basic_auth("gateway", Some(SECRET)).body("x".repeat(size));
        assert_eq!(Answer::of(fits.send().await.unwrap()).await.error(), (400, "invalid_request"));
    }
}

#[tokio::test]
async fn answers_without_a_handler_have_the_form_of_errors() {
    let desk = plain("nowhere", |_| ()).await;
    let ask = async |method: Method, path: &str| {
        Answer::of(desk.http.request(method, desk.url(path)).send().await.unwrap()).await
    };
    for path in ["/", "/tokens", "/token/", "/v1/audit"] {
        assert_eq!(ask(Method::GET, path).await.error(), (404, "not_found"), "{path}");
    }
    for (method, path, allowed) in [
        (Method::GET, "/token", "POST"),
        (Method::PUT, "/healthz", "GET,HEAD"),
        (Method::DELETE, "/v1/audit/events", "POST,GET,HEAD"),
    ] {
        let answer = ask(method, path).await;
        assert_eq!(answer.error(), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.header("allow"), allowed);
        assert!(answer.body["error_description"].is_string());
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    // Keys from a site that takes connections and never answers: the exchange waits five seconds for them.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", mute.local_addr().unwrap());
    let mut policy = policy(&Issuer::new(FOREIGN));
    policy["issuers"]["corp"]["jwks"] = json!({ "url": url, "cluster": "idp" });
    let (dir, url) = prepare("answer", &policy, |config| config["limits"] = json!({ "answer": "500ms" }));
    let broker = Broker::start(&dir, &url).await.unwrap_or_else(|failure| panic!("{failure}"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = Issuer::new(FOREIGN).at_now().token().alg(Alg::Es256).audience(RESOURCE).scope("crm:read").sign();
    let request = http.post(format!("{}/token", broker.url)).basic_auth("gateway", Some(SECRET));
    let began = Instant::now();
    let answer = Answer::of(request.form(&call(&token, "crm_lookup", "crm:read")).send().await.unwrap()).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable"));
    assert_eq!(answer.header("retry-after"), "1");
    let spent = began.elapsed();
    assert!(spent > Duration::from_millis(400) && spent < Duration::from_secs(3), "{spent:?}");
}

#[tokio::test]
async fn a_flood_of_connections_harms_none_that_is_open() {
    let desk = plain("flood", |config| config["limits"] = json!({ "connections": 4, "request": "600ms" })).await;
    let mut one = dial(&desk).await;
    assert_eq!(one.exchange(&[HEALTH]).await.unwrap().status, 200);
    // The readiness probe of the harness may still hold one.
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(dial(&desk).await);
    }
    for _ in 0..5 {
        assert_eq!(one.exchange(&[HEALTH]).await.unwrap().status, 200);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_idle_ones_give_way() {
    let desk = plain("wait", |config| config["limits"] = json!({ "connections": 2, "request": "1500ms" })).await;
    // What the harness asked for readiness is idle, and gives way as well.
    let mut held = [dial(&desk).await, dial(&desk).await];
    for one in &mut held {
        assert_eq!(one.exchange(&[HEALTH]).await.unwrap().status, 200);
    }
    let mut late = dial(&desk).await;
    late.write(&[HEALTH]).await.unwrap();
    let early = timeout(Duration::from_millis(500), late.read()).await;
    assert!(early.is_err(), "served beyond the limit: {early:?}");
    assert_eq!(late.read().await.unwrap().status, 200);
    let kept = [held[0].exchange(&[HEALTH]).await.is_ok(), held[1].exchange(&[HEALTH]).await.is_ok()];
    assert_ne!(kept, [true, true], "somebody had to go");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_not_ready() {
    let desk = plain("unready", |_| ()).await;
    let ready = async || {
        let answer = desk.http.get(desk.url("/readyz")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ready().await, (200, "ready\n".into()));
    let lock = desk.broker.lock().await;
    assert_eq!(ready().await, (503, "the store cannot be written\n".into()));
    assert_eq!(desk.http.get(desk.url("/healthz")).send().await.unwrap().status(), 200);
    drop(lock);
    assert_eq!(ready().await.0, 200);
}
