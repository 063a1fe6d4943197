//! A list that breaks off: what cannot be narrowed never reaches the client, whatever of the answer is under way.

use harness::wire::{End, Two};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::scene::{Scene, Setup};

const SOUND: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
const FLAWED: &str =
    "data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"hidden_one\"}],\"Tools\":[{\"name\":\"hidden_two\"}]}}\n\n";
const LATER: &str = "data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"hidden_three\"}]}}\n\n";

/// A server that answers every request with these events, some time apart. Out: its port.
async fn upstream(events: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 8192];
                // All of it fits; what it says is of no matter.
                let _ = peer.read(&mut request).await?;
                peer.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                )
                .await?;
                for event in events {
                    peer.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                peer.write_all(b"0\r\n\r\n").await
            });
        }
    });
    port
}

async fn open(name: &str, port: u16) -> Option<Scene> {
    let setup = Setup::new(name).envoy(move |config| {
        let clusters = config["static_resources"]["clusters"].as_array_mut().unwrap();
        let crm = clusters.iter_mut().find(|cluster| cluster["name"] == "crm").unwrap();
        let address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
        *crm.pointer_mut(address).unwrap() = json!(port);
    });
    setup.open().await
}

/// What a client gets that lists tools: all of it, or what it had when the stream broke.
async fn list(scene: &Scene) -> String {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/list",
        "params": { "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } },
    });
    let request = http::Request::post(scene.stack.mcp())
        .header("authorization", format!("Bearer {}", scene.token().sign()))
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list");
    let two = Two::connect(&scene.address()).await.unwrap();
    match two.send(request.body(()).unwrap(), &[body.to_string().as_bytes()], End::Stream).await {
        Ok(reply) => reply.text(),
        Err(closed) => format!("{closed:?}"),
    }
}

#[tokio::test]
async fn nothing_follows_an_event_that_cannot_be_narrowed() {
    let port = upstream(&[SOUND, FLAWED, LATER]).await;
    let Some(scene) = open("flawed-list", port).await else { return };
    let got = list(&scene).await;
    assert!(!got.contains("hidden"), "{got}");
    let records = scene.records(|records| records.iter().any(|record| record["reason"] == "upstream_malformed")).await;
    assert!(records.iter().all(|record| record["decision"] != "permit" || record["method"] != "tools/list"));
}

#[tokio::test]
async fn events_that_list_nothing_hidden_pass() {
    let port = upstream(&[SOUND, "data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"crm_lookup\"}]}}\n\n"]).await;
    let Some(scene) = open("sound-list", port).await else { return };
    let got = list(&scene).await;
    assert!(got.starts_with(SOUND) && got.contains("crm_lookup"), "{got}");
}
