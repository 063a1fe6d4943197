//! HTTP/1.1 byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Closed, Reply, bounded};

/// Between two pieces, so that they arrive as two reads.
const GAP: Duration = Duration::from_millis(20);

/// One connection; requests on it follow each other.
pub struct One {
    stream: TcpStream,
    /// What arrived beyond the last reply.
    ahead: Vec<u8>,
}

impl One {
    /// Dials `address` (`127.0.0.1:10000`).
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(address: &str) -> Result<Self, Closed> {
        let stream = bounded(async { TcpStream::connect(address).await.map_err(Closed::by) }).await?;
        stream.set_nodelay(true).map_err(Closed::by)?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Sends the pieces with a gap between them and reads one reply.
    ///
    /// # Errors
    /// When the connection ends without a complete reply.
    pub async fn exchange(&mut self, pieces: &[impl AsRef<[u8]>]) -> Result<Reply, Closed> {
        self.write(pieces).await?;
        self.read().await
    }

    /// Sends the pieces with a gap between them. To go away half-way, write a part and drop the client.
    ///
    /// # Errors
    /// When nothing can be written at all: an early answer that closes the connection is no error,
    /// it is read next.
    pub async fn write(&mut self, pieces: &[impl AsRef<[u8]>]) -> Result<(), Closed> {
        for (n, piece) in pieces.iter().enumerate() {
            if n > 0 {
                tokio::time::sleep(GAP).await;
            }
            match self.stream.write_all(piece.as_ref()).await {
                Err(error) if n == 0 => return Err(Closed::by(error)),
                Err(_) => return Ok(()),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Ends the sending direction (FIN) and keeps reading.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn finish(&mut self) -> Result<(), Closed> {
        self.stream.shutdown().await.map_err(Closed::by)
    }

    /// Reads one reply; a 1xx before it is skipped.
    ///
    /// # Errors
    /// When the connection ends without a complete reply.
    pub async fn read(&mut self) -> Result<Reply, Closed> {
        self.read_for("POST").await
    }

    /// The same for a request of this method: an answer to `HEAD` has no body, whatever its headers say.
    ///
    /// # Errors
    /// When the connection ends without a complete reply.
    pub async fn read_for(&mut self, method: &str) -> Result<Reply, Closed> {
        bounded(async {
            loop {
                let reply = self.reply(method == "HEAD").await?;
                if reply.status >= 200 {
                    return Ok(reply);
                }
            }
        })
        .await
    }

    async fn reply(&mut self, bare: bool) -> Result<Reply, Closed> {
        let mut reply = head(&self.until(b"\r\n\r\n").await?)?;
        let chunked = reply.header("transfer-encoding").iter().any(|value| value == "chunked");
        let length = reply.header("content-length").first().and_then(|value| value.parse().ok());
        reply.body = match length {
            _ if bare || reply.status < 200 || matches!(reply.status, 204 | 304) => Vec::new(),
            _ if chunked => self.chunks().await?,
            Some(length) => self.take(length).await?,
            None => self.rest().await,
        };
        Ok(reply)
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Closed> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let line = String::from_utf8_lossy(&line);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(Closed::by)?;
            if size == 0 {
                break;
            }
            body.extend(self.take(size).await?);
            self.until(b"\r\n").await?;
        }
        // Trailers, if any, up to the empty line.
        while self.until(b"\r\n").await? != b"\r\n" {}
        Ok(body)
    }

    /// Everything up to and with `mark`.
    async fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Closed> {
        loop {
            let found = self.ahead.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return self.take(at + mark.len()).await;
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, Closed> {
        while self.ahead.len() < length {
            self.more().await?;
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.is_ok() {}
        std::mem::take(&mut self.ahead)
    }

    async fn more(&mut self) -> Result<(), Closed> {
        match self.stream.read_buf(&mut self.ahead).await {
            Ok(0) => Err(Closed::by("end of connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(Closed::by(error)),
        }
    }
}

fn head(bytes: &[u8]) -> Result<Reply, Closed> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let status = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let header = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        Some((name, value.get(1..)?.trim_ascii().to_vec()))
    };
    Ok(Reply {
        status: status.ok_or_else(|| Closed::by("no HTTP/1.1 status line"))?,
        headers: lines.filter_map(header).collect(),
        body: Vec::new(),
    })
}

/// A POST head, exactly as written: duplicate headers, odd cases and bytes >= 0x80 go out as they are.
pub struct Post(Vec<u8>);

impl Post {
    pub fn new(path: &str, host: &str) -> Self {
        Self(format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n").into_bytes())
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let parts = [name.as_bytes(), b": ", value.as_ref(), b"\r\n"];
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        self
    }

    /// The head alone; `content-length` or `transfer-encoding` is up to the caller.
    pub fn head(self) -> Vec<u8> {
        [self.0.as_slice(), b"\r\n"].concat()
    }

    /// Head and body in one piece, with the right `content-length`.
    pub fn body(self, body: &[u8]) -> Vec<u8> {
        let length = body.len().to_string();
        [self.header("content-length", length).head().as_slice(), body].concat()
    }
}

/// The chunks of a chunked body, each a piece, then the last chunk: send them after
/// `Post::header("transfer-encoding", "chunked").head()`.
pub fn chunked(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let chunk = |piece: &&[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    pieces.iter().map(chunk).chain([b"0\r\n\r\n".to_vec()]).collect()
}
