//! HTTP/2 by prior knowledge, frame by frame.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use super::{Closed, Reply, bounded};

/// What follows the last DATA frame.
#[derive(Clone, Debug)]
pub enum End {
    /// END_STREAM on the last DATA frame, or on HEADERS when there is none.
    Stream,
    /// A trailing HEADERS frame: `end_of_stream` is never set on a body callback in Envoy.
    Trailers(HeaderMap),
    /// RST_STREAM(CANCEL): the client goes away half-way.
    Reset,
}

/// One connection; streams on it run side by side.
#[derive(Clone)]
pub struct Two(SendRequest<Bytes>);

impl Two {
    /// Dials `address` (`127.0.0.1:10000`).
    ///
    /// # Errors
    /// When there is no connection or no HTTP/2 on it.
    pub async fn connect(address: &str) -> Result<Self, Closed> {
        bounded(async {
            let stream = TcpStream::connect(address).await.map_err(Closed::by)?;
            stream.set_nodelay(true).map_err(Closed::by)?;
            let (send, connection) = client::handshake(stream).await.map_err(Closed::by)?;
            // Ends with the last handle; its error is seen on the streams.
            tokio::spawn(async move { connection.await.ok() });
            Ok(Self(send))
        })
        .await
    }

    /// Sends `request`, one DATA frame per piece (more when the window forces it), then `end`.
    ///
    /// # Errors
    /// When the stream or the connection ends without a complete answer.
    pub async fn send(&self, request: Request<()>, frames: &[&[u8]], end: End) -> Result<Reply, Closed> {
        self.send_late(request, Duration::ZERO, frames, end).await
    }

    /// The same with a pause between the headers and the first frame.
    ///
    /// # Errors
    /// When the stream or the connection ends without a complete answer.
    pub async fn send_late(
        &self,
        request: Request<()>,
        pause: Duration,
        frames: &[&[u8]],
        end: End,
    ) -> Result<Reply, Closed> {
        bounded(async {
            let mut send = self.0.clone().ready().await.map_err(Closed::by)?;
            let bare = frames.is_empty() && matches!(end, End::Stream);
            let (answer, body) = send.send_request(request, bare).map_err(Closed::by)?;
            let upload = async {
                // An answer may come in spite of a failed upload; wait for it.
                if !bare {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    upload(body, frames, end).await.ok();
                }
                std::future::pending().await
            };
            let answer = tokio::select! {
                biased;
                answer = answer => answer.map_err(Closed::by)?,
                () = upload => unreachable!("it ends in `pending`"),
            };
            let (head, body) = answer.into_parts();
            let headers = head.headers.iter();
            Ok(Reply {
                status: head.status.as_u16(),
                headers: headers.map(|(k, v)| (k.to_string(), v.as_bytes().to_vec())).collect(),
                body: download(body).await?,
            })
        })
        .await
    }
}

async fn upload(mut stream: SendStream<Bytes>, frames: &[&[u8]], end: End) -> Result<(), h2::Error> {
    let ends = matches!(end, End::Stream);
    for (n, frame) in frames.iter().enumerate() {
        let mut rest = Bytes::copy_from_slice(frame);
        loop {
            let room = room(&mut stream, rest.len()).await?;
            let piece = rest.split_to(room.min(rest.len()));
            let last = rest.is_empty();
            stream.send_data(piece, ends && last && n + 1 == frames.len())?;
            if last {
                break;
            }
        }
        // Lets the connection write the frame before the next one joins it.
        tokio::task::yield_now().await;
    }
    match end {
        End::Stream => Ok(()),
        End::Trailers(trailers) => stream.send_trailers(trailers),
        End::Reset => {
            stream.send_reset(Reason::CANCEL);
            Ok(())
        }
    }
}

/// Waits for window for up to `wanted` bytes. An empty frame needs none.
async fn room(stream: &mut SendStream<Bytes>, wanted: usize) -> Result<usize, h2::Error> {
    stream.reserve_capacity(wanted);
    while wanted > 0 && stream.capacity() == 0 {
        match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
            Some(more) => more?,
            None => return Err(Reason::STREAM_CLOSED.into()),
        };
    }
    Ok(stream.capacity().min(wanted))
}

async fn download(mut stream: RecvStream) -> Result<Vec<u8>, Closed> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(Closed::by)?;
        stream.flow_control().release_capacity(piece.len()).map_err(Closed::by)?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
