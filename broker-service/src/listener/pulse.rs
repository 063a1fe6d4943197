//! How a connection spends its time: what has begun may take its time limit, what waits may wait while there is room.
//!
//! ```text
//!            head complete          answered
//! Head(since) ──────────▶ Busy(n) ──────────▶ Idle(since)
//!      ▲                                          │
//!      └──────── first byte (HTTP/1.1) ───────────┘
//! ```
//!
//! The timer of hyper knows no difference between a head that does not end and a connection that is kept for the next
//! request. Proxies keep theirs for long, and a request sent while it is closed is lost.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The state of one connection, shared by its stream, its requests and its clock.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: Phase,
    version: Version,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A head is awaited or incomplete.
    Head(Instant),
    /// So many requests are being answered, at least one.
    Busy(usize),
    /// Nothing is under way.
    Idle(Instant),
}

/// Whether there are slots for more connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There are.
    Free,
    /// Somebody may be waiting.
    Full,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Lives,
    /// Its head takes too long.
    Slow,
    /// It is idle, and its slot is wanted.
    Spare,
}

impl Pulse {
    /// A connection that has just been made: its first head is due.
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State { phase: Phase::Head(now), version: Version::HTTP_11 })))
    }

    /// A request has arrived; it is under way until the [`Turn`] is dropped.
    pub fn request(&self, version: Version) -> Turn {
        let mut state = self.state();
        state.version = version;
        let before = if let Phase::Busy(count) = state.phase { count } else { 0 };
        state.phase = Phase::Busy(before.saturating_add(1));
        drop(state);
        Turn(self.clone())
    }

    /// The verdict on it, when heads may take `patience` and idle connections are safe for as long.
    pub fn judge(&self, now: Instant, patience: Duration, room: Room) -> Verdict {
        let phase = self.state().phase;
        let late = |since| now.saturating_duration_since(since) >= patience;
        match phase {
            Phase::Head(since) if late(since) => Verdict::Slow,
            Phase::Idle(since) if late(since) && room == Room::Full => Verdict::Spare,
            Phase::Head(_) | Phase::Idle(_) | Phase::Busy(_) => Verdict::Lives,
        }
    }

    fn fed(&self, now: Instant) {
        let mut state = self.state();
        // Over HTTP/2, frames that are no request come at any time.
        if matches!(state.phase, Phase::Idle(_)) && state.version < Version::HTTP_2 {
            state.phase = Phase::Head(now);
        }
    }

    fn answered(&self, now: Instant) {
        let mut state = self.state();
        state.phase = match state.phase {
            Phase::Busy(count @ 2..) => Phase::Busy(count.saturating_sub(1)),
            Phase::Busy(_) | Phase::Head(_) | Phase::Idle(_) => Phase::Idle(now),
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Turn(Pulse);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.answered(Instant::now());
    }
}

/// A stream that tells its [`Pulse`] when bytes arrive.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    pulse: Pulse,
}

impl<S> Watched<S> {
    /// Watches `stream`.
    pub fn new(stream: S, pulse: Pulse) -> Self {
        Self { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pulse.fed(Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn verdicts(pulse: &Pulse, now: Instant) -> [Verdict; 2] {
        [Room::Free, Room::Full].map(|room| pulse.judge(now, PATIENCE, room))
    }

    #[test]
    fn a_head_has_its_time_and_no_more() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        // Bytes do not buy time.
        pulse.fed(start + PATIENCE / 2);
        assert_eq!(verdicts(&pulse, start + PATIENCE * 9 / 10), [Verdict::Lives; 2]);
        assert_eq!(verdicts(&pulse, start + PATIENCE), [Verdict::Slow; 2]);
    }

    #[test]
    fn a_request_under_way_is_not_cut() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let (one, two) = (pulse.request(Version::HTTP_2), pulse.request(Version::HTTP_2));
        drop(one);
        assert_eq!(verdicts(&pulse, start + PATIENCE * 100), [Verdict::Lives; 2]);
        drop(two);
        assert_eq!(verdicts(&pulse, start + PATIENCE * 100), [Verdict::Lives, Verdict::Spare]);
    }

    #[test]
    fn an_idle_connection_stays_while_there_is_room() {
        let pulse = Pulse::new(Instant::now());
        drop(pulse.request(Version::HTTP_11));
        let idle = Instant::now();
        assert_eq!(verdicts(&pulse, idle), [Verdict::Lives; 2]);
        assert_eq!(verdicts(&pulse, idle + PATIENCE * 100), [Verdict::Lives, Verdict::Spare]);
        pulse.fed(idle + PATIENCE * 100);
        assert_eq!(verdicts(&pulse, idle + PATIENCE * 100), [Verdict::Lives; 2]);
        assert_eq!(verdicts(&pulse, idle + PATIENCE * 101), [Verdict::Slow; 2]);
    }

    #[test]
    fn frames_of_http_2_are_no_head() {
        let pulse = Pulse::new(Instant::now());
        drop(pulse.request(Version::HTTP_2));
        let idle = Instant::now();
        pulse.fed(idle);
        assert_eq!(verdicts(&pulse, idle + PATIENCE), [Verdict::Lives, Verdict::Spare]);
    }
}
