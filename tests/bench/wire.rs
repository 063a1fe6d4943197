//! HTTP/1.1 messages of known length over one connection, with as little work as possible.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The length of the message at the start of the buffer that was handed out.
    taken: usize,
}

impl Peer {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8192), taken: 0 })
    }

    pub async fn connect(address: &str) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?)
    }

    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message).await
    }

    /// Waits until the next message holds `mark` so far.
    pub async fn holds(&mut self, mark: &[u8]) -> io::Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        while find(&self.buffer, mark).is_none() {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The next message, head and body.
    pub async fn message(&mut self) -> io::Result<&[u8]> {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        loop {
            if let Some(length) = length(&self.buffer)?.filter(|length| *length <= self.buffer.len()) {
                self.taken = length;
                return Ok(&self.buffer[..length]);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The status of a response.
pub fn status(message: &[u8]) -> Option<u16> {
    std::str::from_utf8(message.get(9..12)?).ok()?.parse().ok()
}

/// Whether the sender closes the connection: Envoy does after an answer it gave before it had the whole request.
pub fn last(message: &[u8]) -> bool {
    let head = &message[..end(message).unwrap_or(message.len())];
    find(head, b"\r\nconnection: close\r\n").is_some()
}

/// What follows the head.
pub fn body(message: &[u8]) -> &[u8] {
    &message[end(message).unwrap_or(message.len())..]
}

/// The length of the message that `buffer` starts with, once its head is there, and where it comes in chunks the last of
/// them.
fn length(buffer: &[u8]) -> io::Result<Option<usize>> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let Some(end) = end(buffer) else { return Ok(None) };
    let head = buffer[..end].to_ascii_lowercase();
    if find(&head, b"\r\ntransfer-encoding: chunked\r\n").is_some() {
        return chunks(buffer, end);
    }
    let after = find(&head, NAME).map(|at| &head[at + NAME.len()..]);
    let digits = after.map(|rest| &rest[..find(rest, b"\r\n").unwrap_or(0)]);
    let length = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let missing = || io::Error::other(format!("no content-length: {}", buffer[..end].escape_ascii()));
    Ok(Some(end + length.ok_or_else(missing)?))
}

/// Where the chunks that begin at `at` end.
fn chunks(buffer: &[u8], mut at: usize) -> io::Result<Option<usize>> {
    loop {
        let rest = buffer.get(at..).unwrap_or_default();
        let Some(line) = find(&rest[..rest.len().min(32)], b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&rest[..line]).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or_else(|| io::Error::other("a chunk without its size"))?;
        at += line + 2 + size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

fn end(message: &[u8]) -> Option<usize> {
    find(message, b"\r\n\r\n").map(|at| at + 4)
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}
