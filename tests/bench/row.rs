//! The requests: what is asked of every variant, and what the filter may cost then.

use harness::Alg;

use crate::variant::{ACCREDIT, BARE};

/// One kind of request.
pub struct Row {
    pub name: &'static str,
    pub tokens: Tokens,
    pub asks: Asks,
    /// The variants measured beside `bare` and `accredit`. What the first of them adds is the measure of ours.
    pub beside: &'static [&'static str],
    /// What the filter may add to the CPU time of `bare`.
    pub budget: Budget,
    /// Of how many requests of a usual row this one has one: large ones take longer.
    pub share: usize,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A call with so many bytes of text in its arguments.
    Call(usize),
    /// A list of 1000 tools, of which the caller may use two.
    List,
    /// A call that is answered by events. What counts as its latency is the time to the first.
    Events,
}

/// How much is too much.
#[derive(Clone, Copy, PartialEq)]
pub enum Budget {
    /// A share of what the first of `beside` adds.
    Share(f64),
    /// So many microseconds of CPU time.
    Time(f64),
    /// Whatever it is.
    None,
}

/// Which token a request carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// The same sound one, always.
    Seen(Alg),
    /// A sound one that was never sent before.
    Unseen(Alg),
    /// One that was never sent before, its signature broken.
    Forged(Alg),
}

const CACHED: &[&str] = &["native", "native_uncached"];
const UNCACHED: &[&str] = &["native_uncached", "native"];

const SEEN: Tokens = Tokens::Seen(Alg::Rs256);

pub static ROWS: [Row; 10] = [
    call("token seen before, RS256", SEEN, CACHED, Budget::Share(0.75)),
    call("token never seen, RS256", Tokens::Unseen(Alg::Rs256), UNCACHED, Budget::Share(0.75)),
    call("token never seen, ES256", Tokens::Unseen(Alg::Es256), UNCACHED, Budget::Share(0.75)),
    call("token never seen, EdDSA", Tokens::Unseen(Alg::EdDsa), UNCACHED, Budget::None),
    call("signature broken, RS256", Tokens::Forged(Alg::Rs256), UNCACHED, Budget::None),
    sized("arguments of 1 KiB", Asks::Call(1024), CACHED, 1),
    sized("arguments of 64 KiB", Asks::Call(64 * 1024), CACHED, 10),
    sized("arguments of 1 MiB", Asks::Call(1023 * 1024), &[], 40),
    Row { budget: Budget::Time(2000.0), ..sized("list of 1000 tools", Asks::List, &[], 10) },
    sized("events, time to the first", Asks::Events, &[], 4),
];

const fn call(name: &'static str, tokens: Tokens, beside: &'static [&'static str], budget: Budget) -> Row {
    Row { name, tokens, asks: Asks::Call(0), beside, budget, share: 1 }
}

const fn sized(name: &'static str, asks: Asks, beside: &'static [&'static str], share: usize) -> Row {
    Row { name, tokens: SEEN, asks, beside, budget: Budget::None, share }
}

impl Row {
    /// Whether `variant` takes part. Envoy alone refuses nothing, so there is nothing to compare a refusal with.
    pub fn measures(&self, variant: &str) -> bool {
        (variant == BARE && self.permitted()) || variant == ACCREDIT || self.beside.contains(&variant)
    }

    /// Whether the requests have to reach the tool server.
    pub fn permitted(&self) -> bool {
        !matches!(self.tokens, Tokens::Forged(_))
    }

    /// What every variant has to answer.
    pub fn status(&self) -> u16 {
        if self.permitted() { 200 } else { 401 }
    }
}
