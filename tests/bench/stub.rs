//! The tool server: one answer to everything.

use tokio::net::TcpListener;

use crate::Failure;
use crate::wire::Peer;

const BODY: &str = r#"{"jsonrpc":"2.0","id":"c-1","result":{"content":[{"type":"text","text":"ok"}],"isError":false}}"#;

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
    let length = BODY.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    let answer = head + BODY;
    loop {
        peer.message().await?;
        peer.send(answer.as_bytes()).await?;
    }
}
