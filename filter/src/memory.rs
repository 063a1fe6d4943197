//! What all workers of the process share: the proofs that were seen, who started which task, and the key of the nonces.
//!
//! The host sets a key that is not there without asking, so two workers could both be first. All keys are therefore made
//! by the first VM that is configured, Envoy's trial run on the main thread, before any worker takes requests.

use accredit_policy::nonce::Nonce;
use accredit_policy::replay::{self, Claim, Fresh};
use accredit_policy::tasks::{self, Task};

use crate::host::{self, HostError};

/// How often a bucket is tried that other workers keep changing.
const ATTEMPTS: u32 = 64;

/// Where workers share the key of their nonces.
const NONCE: &str = "accredit.nonce";

/// Makes the buckets that are not there yet.
pub(crate) fn prepare() -> Result<(), HostError> {
    let absent = |bucket: &String| host::shared(bucket).is_none();
    let buckets = replay::buckets().chain(tasks::buckets());
    buckets.filter(absent).try_for_each(|bucket| host::share(&bucket, &[], 0))
}

/// Enters a proof into its bucket.
pub(crate) fn claim(fresh: &Fresh) -> Claim {
    let key = fresh.bucket();
    for _ in 0..ATTEMPTS {
        let Some((bucket, version)) = host::shared(&key) else {
            return Claim::Unknown;
        };
        let entered = match fresh.enter(&bucket, host::now()) {
            Ok(entered) => entered,
            Err(claim) => return claim,
        };
        if host::share(&key, &entered, version).is_ok() {
            return Claim::First;
        }
    }
    Claim::Unknown
}

/// What a bucket holds.
pub(crate) fn bucket(name: &str) -> Option<Vec<u8>> {
    host::shared(name).map(|(bucket, _)| bucket)
}

/// Enters a task into its bucket, where that is possible.
pub(crate) fn remember(task: &Task) {
    let key = task.key().bucket();
    for _ in 0..ATTEMPTS {
        let Some((bucket, version)) = host::shared(&key) else { return };
        let Some(entered) = task.enter(&bucket, host::now()) else { return };
        if host::share(&key, &entered, version).is_ok() {
            return;
        }
    }
}

/// The nonces of the process: of the key all workers share, or of a new one for all of them.
pub(crate) fn nonce() -> Result<Nonce, HostError> {
    let shared = host::shared(NONCE).and_then(|(key, _)| key.try_into().ok());
    let key = match shared {
        Some(key) => key,
        None => {
            let key = host::secret()?;
            host::share(NONCE, &key, 0)?;
            key
        }
    };
    Ok(Nonce::new(key))
}
