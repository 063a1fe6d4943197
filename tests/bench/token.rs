//! Tokens, minted outside of the time that is measured.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::UNIX_EPOCH;

use harness::issuer::corrupt;
use harness::{Alg, Issuer};
use serde_json::Value;

use crate::row::Tokens;

/// The issuer that `native.yaml` and `policy.yaml` trust.
const ISSUER: &str = "https://idp.example.test";

/// Makes the tokens of a run; none is made twice.
#[derive(Default)]
pub struct Mint {
    minted: AtomicUsize,
    seen: Mutex<BTreeMap<&'static str, String>>,
}

impl Mint {
    pub fn jwks(&self) -> Value {
        Issuer::new(ISSUER).jwks()
    }

    /// The tokens of `count` requests.
    pub fn tokens(&self, kind: Tokens, count: usize) -> Vec<String> {
        match kind {
            Tokens::Seen(alg) => vec![self.seen(alg); count],
            Tokens::Unseen(alg) => many(count, || self.fresh(alg)),
            Tokens::Forged(alg) => many(count, || corrupt(&self.fresh(alg))),
        }
    }

    /// A token of the agent of that name.
    pub fn agent(&self, id: &str) -> String {
        Issuer::new(ISSUER).at_now().token().alg(Alg::EdDsa).agent(id).sign()
    }

    /// The one token of this algorithm that is sent again and again.
    fn seen(&self, alg: Alg) -> String {
        let mut seen = self.seen.lock().expect("nobody panics while minting");
        seen.entry(alg.name()).or_insert_with(|| self.fresh(alg)).clone()
    }

    /// A sound token, good for longer than a run takes.
    fn fresh(&self, alg: Alg) -> String {
        let number = self.minted.fetch_add(1, Ordering::Relaxed);
        let now = UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
        let token = Issuer::new(ISSUER).at_now().token().alg(alg);
        token.claim("jti", format!("bench-{number}")).claim("exp", now + 3000).sign()
    }
}

/// Made on all cores.
fn many(count: usize, make: impl Fn() -> String + Sync) -> Vec<String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = |first| (first..count).step_by(threads).map(|_| make()).collect::<Vec<_>>();
    thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        shares.into_iter().flat_map(|share| share.join().expect("a token is minted")).collect()
    })
}
