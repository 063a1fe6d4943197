//! One direction of one stream: what the filter holds, what it sees, and what has left it. No guest is called here.
//!
//! The rules are those of Envoy's filter manager: a headers pause either lets body callbacks through or stops
//! everything (the listener's `allow_on_headers_stop_iteration`); a paused body is buffered and shown whole; a body or
//! trailers callback that continues lets go of all that was held, headers included.

use crate::headers::Headers;

/// What left the filter in one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Released {
    pub(crate) headers: Option<Headers>,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Headers>,
    pub(crate) complete: bool,
}

/// How far the iteration is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Held {
    #[default]
    No,
    /// `StopIteration`: later callbacks still come.
    Single,
    /// `StopAllIterationAndWatermark`: no callback until resume.
    All,
}

/// A callback that has to be made after all, because everything had been stopped when its data came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Body(Vec<u8>, bool),
    Trailers(Headers),
}

/// More was held than the connection's buffer takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// The state of one direction.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) headers: Headers,
    pub(crate) trailers: Option<Headers>,
    /// Whether hostcalls reach the headers.
    pub(crate) shown: bool,
    /// Whether hostcalls reach the trailers.
    pub(crate) trailing: bool,
    pub(crate) held: Held,
    pub(crate) released: Released,
    /// A local reply or a gone client ended this direction: nothing may leave any more.
    pub(crate) dead: bool,
    pub(crate) started: bool,
    pub(crate) ended: bool,
    buffer: Vec<u8>,
    chunk: Option<Vec<u8>>,
    buffering: bool,
    limit: usize,
}

impl Flow {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Headers came; the headers callback is due.
    pub(crate) fn begin(&mut self, headers: Headers, end: bool) {
        self.headers = headers;
        self.shown = true;
        self.started = true;
        self.ended = end;
    }

    /// The headers callback returned.
    pub(crate) fn began(&mut self, pause: bool, body_may_follow: bool) {
        if pause {
            self.held = if body_may_follow { Held::Single } else { Held::All };
        } else {
            self.shown = false;
            self.release();
        }
    }

    /// A chunk came. `Ok(Some(size))` asks for the body callback with that size.
    pub(crate) fn offer(&mut self, chunk: Vec<u8>, end: bool) -> Result<Option<usize>, Overflow> {
        self.ended |= end;
        if self.held == Held::All {
            // Above the watermark the connection just stops reading; nothing overflows.
            self.buffer.extend(chunk);
            return Ok(None);
        }
        if self.buffering {
            self.buffer.extend(chunk);
            self.fits()?;
        } else {
            self.chunk = Some(chunk);
        }
        Ok(self.visible().map(|body| body.len()))
    }

    /// The body callback returned.
    pub(crate) fn offered(&mut self, pause: bool) -> Result<(), Overflow> {
        self.buffer.extend(self.chunk.take().unwrap_or_default());
        self.buffering = pause;
        if pause {
            self.held = Held::Single;
            return self.fits();
        }
        // The headers stay reachable after this, too late to have an effect.
        self.release();
        Ok(())
    }

    /// Trailers came and end the body. `true` asks for the trailers callback.
    pub(crate) fn close(&mut self, trailers: Headers) -> bool {
        self.trailers = Some(trailers);
        self.ended = true;
        self.trailing = self.held != Held::All;
        self.trailing
    }

    /// The trailers callback returned.
    pub(crate) fn closed(&mut self, pause: bool) {
        if pause {
            self.held = Held::Single;
        } else {
            self.trailing = false;
            self.release();
        }
    }

    /// The filter resumed this direction. What comes back are callbacks that were withheld until now.
    pub(crate) fn resume(&mut self) -> Vec<Again> {
        self.chunk = None;
        match self.held {
            Held::No => Vec::new(),
            Held::Single => {
                self.release();
                Vec::new()
            }
            Held::All => self.restart(),
        }
    }

    /// The body hostcalls reach: the whole buffer while it is held, else the current chunk.
    pub(crate) fn visible(&mut self) -> Option<&mut Vec<u8>> {
        if self.buffering { Some(&mut self.buffer) } else { self.chunk.as_mut() }
    }

    /// Whether the headers were let go.
    pub(crate) fn left(&self) -> bool {
        self.released.headers.is_some()
    }

    /// Hides the maps from request hostcalls, as a resume of either direction does.
    pub(crate) fn hide(&mut self) {
        self.shown = false;
        self.trailing = false;
    }

    fn fits(&self) -> Result<(), Overflow> {
        if self.buffer.len() > self.limit { Err(Overflow) } else { Ok(()) }
    }

    fn restart(&mut self) -> Vec<Again> {
        self.held = Held::No;
        let body = std::mem::take(&mut self.buffer);
        let trailers = self.trailers.take();
        let ended = std::mem::take(&mut self.ended);
        self.release();
        let mut again = Vec::new();
        if !body.is_empty() {
            again.push(Again::Body(body, ended && trailers.is_none()));
        } else if ended && trailers.is_none() {
            self.ended = true;
            self.release();
        }
        again.extend(trailers.map(Again::Trailers));
        again
    }

    fn release(&mut self) {
        self.held = Held::No;
        self.buffering = false;
        if self.dead {
            return;
        }
        if self.released.headers.is_none() {
            self.released.headers = Some(self.headers.clone());
        }
        let body = std::mem::take(&mut self.buffer);
        if !body.is_empty() {
            self.released.chunks.push(body);
        }
        if let Some(trailers) = self.trailers.clone() {
            self.released.trailers = Some(trailers);
        }
        self.released.complete = self.ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(stop_all: bool) -> Flow {
        let mut flow = Flow::new(8);
        flow.begin(Headers::of([("a", "1")]), false);
        flow.began(true, !stop_all);
        flow
    }

    #[test]
    fn a_continued_body_callback_lets_go_of_the_held_headers() {
        let mut flow = held(false);
        assert_eq!(flow.offer(b"ab".to_vec(), false), Ok(Some(2)));
        flow.offered(false).unwrap();
        assert!(flow.left() && flow.shown);
        assert_eq!(flow.released.chunks, [b"ab"]);
        assert!(!flow.released.complete);
    }

    #[test]
    fn a_paused_body_is_shown_whole_and_an_unpaused_one_by_chunk() {
        let mut flow = held(false);
        flow.offer(b"ab".to_vec(), false).unwrap();
        flow.offered(true).unwrap();
        assert_eq!(flow.offer(b"cd".to_vec(), false), Ok(Some(4)));
        flow.offered(false).unwrap();
        assert_eq!(flow.offer(b"e".to_vec(), true), Ok(Some(1)));
    }

    #[test]
    fn a_full_stop_withholds_body_callbacks_until_resume() {
        let mut flow = held(true);
        assert_eq!(flow.offer(b"ab".to_vec(), false), Ok(None));
        assert!(!flow.close(Headers::of([("t", "1")])));
        let again = flow.resume();
        assert_eq!(again, [Again::Body(b"ab".to_vec(), false), Again::Trailers(Headers::of([("t", "1")]))]);
        assert!(flow.left() && flow.released.chunks.is_empty());
    }

    #[test]
    fn holding_more_than_the_buffer_takes_overflows() {
        let mut flow = held(false);
        flow.offer(b"12345678".to_vec(), false).unwrap();
        assert_eq!(flow.offered(true), Ok(()));
        assert_eq!(flow.offer(b"9".to_vec(), false), Err(Overflow));
    }
}
