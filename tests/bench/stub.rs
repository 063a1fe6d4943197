//! The tool server: one answer to every kind of request.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::Failure;
use crate::wire::{Peer, body};

/// The `id` that asks for events.
pub const EVENTS: &str = "events";

const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":"c-1","result":{"content":[{"type":"text","text":"ok"}],"isError":false}}"#;

/// How long the second event is in coming.
const PAUSE: Duration = Duration::from_millis(1);

static CALLED: LazyLock<Vec<u8>> = LazyLock::new(|| answer(RESULT));
static LISTED: LazyLock<Vec<u8>> = LazyLock::new(|| answer(&list()));

/// Starts it in this process. Out: its port.
pub async fn start() -> Result<u16, Failure> {
    let failed = |error| format!("the stub of the tool server cannot listen: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { serve(Peer::new(stream)?).await });
        }
    });
    Ok(port)
}

/// Until Envoy closes the connection.
async fn serve(mut peer: Peer) -> std::io::Result<()> {
    loop {
        let message = body(peer.message().await?);
        // Only what is small is looked into.
        let holds =
            |mark: &str| message.len() < 1024 && message.windows(mark.len()).any(|part| part == mark.as_bytes());
        if holds("\"tools/list\"") {
            peer.send(&LISTED).await?;
        } else if holds("\"events\"") {
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            peer.send(&chunk("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n")).await?;
            sleep(PAUSE).await;
            peer.send(&[chunk(&format!("data: {RESULT}\n\n")), b"0\r\n\r\n".to_vec()].concat()).await?;
        } else {
            peer.send(&CALLED).await?;
        }
    }
}

fn answer(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    (head + body).into_bytes()
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// A list of 1000 tools, each with a description and a schema as tools have them.
fn list() -> String {
    let tool = |number: usize| {
        let name = match number {
            0 => "crm_lookup".to_owned(),
            number => format!("other_tool_{number}"),
        };
        let property = |text: &str| json!({ "type": "string", "description": text });
        let properties = json!({ "id": property("the customer's number"), "reason": property("why it is asked for") });
        let schema = json!({ "type": "object", "properties": properties, "required": ["id"] });
        json!({ "name": name, "description": "does one of the many things a server can do for a customer", "inputSchema": schema })
    };
    let tools: Vec<_> = (0..1000).map(tool).collect();
    json!({ "jsonrpc": "2.0", "id": "c-1", "result": { "resultType": "complete", "tools": tools } }).to_string()
}
