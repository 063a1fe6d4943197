//! The requests: what is asked of every variant, and what the filter may cost then.

use harness::Alg;

use crate::variant::{ACCREDIT, BARE};

/// One kind of request.
pub struct Row {
    pub name: &'static str,
    pub tokens: Tokens,
    /// The variants measured beside `bare` and `accredit`. What the first of them adds is the measure of ours.
    pub beside: &'static [&'static str],
    /// What the filter may add to the CPU time of `bare`, as a share of what the first of `beside` adds.
    pub budget: Option<f64>,
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

pub static ROWS: [Row; 5] = [
    Row { name: "token seen before, RS256", tokens: Tokens::Seen(Alg::Rs256), beside: CACHED, budget: Some(0.75) },
    Row { name: "token never seen, RS256", tokens: Tokens::Unseen(Alg::Rs256), beside: UNCACHED, budget: Some(0.75) },
    Row { name: "token never seen, ES256", tokens: Tokens::Unseen(Alg::Es256), beside: UNCACHED, budget: Some(0.75) },
    Row { name: "token never seen, EdDSA", tokens: Tokens::Unseen(Alg::EdDsa), beside: UNCACHED, budget: None },
    Row { name: "signature broken, RS256", tokens: Tokens::Forged(Alg::Rs256), beside: UNCACHED, budget: None },
];

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
