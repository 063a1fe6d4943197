//! The end: nothing begins, what has begun is finished.

use std::time::Duration;

use harness::wire::One;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::super::support::Desk;
use super::{HEALTH, address, dial, plain, token_request};

/// Waits for the end of the process; how long that took.
async fn ended(desk: &mut Desk) -> Duration {
    let began = Instant::now();
    while desk.broker.process.runs() {
        assert!(began.elapsed() < Duration::from_secs(15), "the broker does not end");
        sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_none_begun() {
    let mut desk = plain("stop", |_| ()).await;
    let (mut busy, mut asking, mut idle) = (dial(&desk).await, dial(&desk).await, dial(&desk).await);
    let (head, body) = token_request();
    busy.write(&[&head, &body[..10]]).await.unwrap();
    asking.write(&["GET /readyz HTTP/1.1\r\nhost:"]).await.unwrap();
    assert_eq!(idle.exchange(&[HEALTH]).await.unwrap().status, 200);
    desk.broker.process.tell();
    let closed = timeout(Duration::from_secs(2), idle.read()).await;
    assert!(closed.is_ok_and(|read| read.is_err()), "an idle connection is closed at once");
    assert!(One::connect(address(&desk)).await.is_err(), "nobody listens");
    let reply = asking.exchange(&[" broker\r\n\r\n"]).await.unwrap();
    assert_eq!((reply.status, reply.text()), (503, "stopping\n".into()));
    assert!(desk.broker.process.runs());
    let reply = busy.exchange(&[&body[10..]]).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.text().contains("access_token"));
    assert!(ended(&mut desk).await < Duration::from_secs(2));
    assert!(desk.broker.process.log().contains("\"over\":\"Finished\""));
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let mut desk = plain("drain", |config| config["limits"] = json!({ "drain": "700ms" })).await;
    let mut busy = dial(&desk).await;
    let (head, body) = token_request();
    busy.write(&[&head, &body[..10]]).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    desk.broker.process.tell();
    let spent = ended(&mut desk).await;
    assert!(spent > Duration::from_millis(500) && spent < Duration::from_secs(3), "{spent:?}");
    assert!(desk.broker.process.log().contains("\"over\":\"Late\""));
}

#[tokio::test]
async fn the_second_signal_ends_at_once() {
    let mut desk = plain("twice", |_| ()).await;
    let mut busy = dial(&desk).await;
    let (head, body) = token_request();
    busy.write(&[&head, &body[..10]]).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    desk.broker.process.tell();
    sleep(Duration::from_millis(300)).await;
    assert!(desk.broker.process.runs());
    desk.broker.process.tell();
    assert!(ended(&mut desk).await < Duration::from_secs(2));
    assert!(desk.broker.process.log().contains("\"over\":\"ToldAgain\""));
}
