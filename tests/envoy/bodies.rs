//! The body is judged whole, however it comes, and nothing of it moves before.

use harness::wire::{End, One};
use http::HeaderMap;

use super::scene::{Scene, call, denial};

const PERMITTED: &str = "crm_lookup";
const FORBIDDEN: &str = "crm_delete";

fn trailers() -> End {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    End::Trailers(trailers)
}

#[tokio::test]
async fn trailers_end_the_body_and_change_no_decision() {
    let Some(scene) = Scene::open("trailers").await else { return };
    let token = scene.own("crm:read").await;
    let (permitted, forbidden) = (call(PERMITTED), call(FORBIDDEN));
    for frames in [vec![permitted.as_bytes()], permitted.as_bytes().chunks(7).collect()] {
        let reply = scene.call_two(&token, PERMITTED, &frames, trailers()).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    for frames in [vec![forbidden.as_bytes()], forbidden.as_bytes().chunks(7).collect()] {
        let reply = scene.call_two(&token, FORBIDDEN, &frames, trailers()).await.unwrap();
        assert_eq!(denial(&reply), (403, "scope_missing".into()));
    }
    let reply = scene.call_two("x", FORBIDDEN, &[forbidden.as_bytes()], trailers()).await.unwrap();
    assert_eq!(denial(&reply).0, 401);
    let reply = scene.call_two(&token, PERMITTED, &[], trailers()).await.unwrap();
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(scene.ran(), ["crm_lookup"; 2]);
    assert_eq!(scene.received().len(), 2);
}

#[tokio::test]
async fn a_body_split_anywhere_gets_the_same_decision() {
    let Some(scene) = Scene::open("split").await else { return };
    let token = scene.own("crm:read").await;
    let (permitted, forbidden) = (call(PERMITTED), call(FORBIDDEN));
    let mut ran = 0;
    for at in (1..permitted.len()).step_by(9) {
        let (head, tail) = permitted.as_bytes().split_at(at);
        assert_eq!(scene.call_chunked(&token, PERMITTED, &[head, tail]).await.status, 200, "split at {at}");
        assert_eq!(
            scene.call_two(&token, PERMITTED, &[head, tail], End::Stream).await.unwrap().status,
            200,
            "split at {at}"
        );
        let (head, tail) = forbidden.as_bytes().split_at(at);
        assert_eq!(scene.call_chunked(&token, FORBIDDEN, &[head, tail]).await.status, 403, "split at {at}");
        ran += 2;
    }
    let bytes: Vec<_> = permitted.as_bytes().chunks(1).collect();
    assert_eq!(scene.call_two(&token, PERMITTED, &bytes, End::Stream).await.unwrap().status, 200);
    assert_eq!(scene.ran().len(), ran + 1);
    assert!(scene.ran().iter().all(|tool| tool == "crm_lookup"));
}

#[tokio::test]
async fn a_client_gone_half_way_leaves_nothing_behind() {
    let Some(scene) = Scene::open("gone").await else { return };
    let token = scene.own("crm:read").await;
    let body = call(PERMITTED);
    let half = &body.as_bytes()[..body.len() / 2];
    for _ in 0..10 {
        let head = scene.post(&token, PERMITTED).header("content-length", body.len().to_string()).head();
        let mut connection = One::connect(&scene.address()).await.unwrap();
        connection.write(&[head.as_slice(), half]).await.unwrap();
        drop(connection);
        assert!(scene.call_two(&token, PERMITTED, &[half], End::Reset).await.is_err());
    }
    let gone =
        |records: &[serde_json::Value]| records.iter().filter(|record| record["reason"] == "client_gone").count() == 20;
    scene.records(gone).await;
    assert!(scene.received().is_empty(), "a request without its body went upstream");
}

#[tokio::test]
async fn bodies_that_can_be_read_in_two_ways_are_refused() {
    let Some(scene) = Scene::open("ambiguous").await else { return };
    let token = scene.own("crm:read").await;
    let sound = call(PERMITTED);
    let utf16: Vec<u8> = sound.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: [(&str, Vec<u8>); 9] = [
        ("no JSON", b"{".to_vec()),
        ("empty", Vec::new()),
        ("batch", format!("[{sound}]").into()),
        ("two objects", format!("{sound}{sound}").into()),
        ("byte order mark", format!("\u{feff}{sound}").into()),
        ("UTF-16", utf16),
        ("a name twice", sound.replace("\"name\":", "\"name\":\"crm_delete\",\"name\":").into()),
        ("a name in another case", sound.replace("\"name\":", "\"Name\":\"crm_delete\",\"name\":").into()),
        ("no id", sound.replace("\"id\":\"c-1\",", "").into()),
    ];
    for (what, body) in bodies {
        let reply = scene.send(&[scene.post(&token, PERMITTED).body(&body)]).await;
        assert_eq!(denial(&reply), (400, "request_malformed".into()), "{what}");
    }
    let packed = scene.post(&token, PERMITTED).header("content-encoding", "gzip").body(sound.as_bytes());
    assert_eq!(denial(&scene.send(&[packed]).await).0, 400);
    assert!(scene.received().is_empty());
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_on_both_versions() {
    let Some(scene) = Scene::open("limit").await else { return };
    let token = scene.own("crm:read").await;
    let padded = |size: usize| {
        let body = call(PERMITTED);
        format!("{body}{}", " ".repeat(size - body.len())).into_bytes()
    };
    let (fits, large) = (padded(1_048_576), padded(1_048_577));
    assert_eq!(scene.send(&[scene.post(&token, PERMITTED).body(&fits)]).await.status, 200);
    assert_eq!(denial(&scene.send(&[scene.post(&token, PERMITTED).body(&large)]).await).0, 413);
    let frames: Vec<_> = large.chunks(16_000).collect();
    assert_eq!(denial(&scene.call_two(&token, PERMITTED, &frames, End::Stream).await.unwrap()).0, 413);
    assert_eq!(scene.ran(), ["crm_lookup"]);
}
