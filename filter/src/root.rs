//! The plugin as a whole: its configuration, its clock, and the fetches that outlive a stream.

mod delivery;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use accredit_policy::feed::Feed;
use accredit_policy::fetch::{Answer, Document, Fetch};
use accredit_policy::keys::Health;
use accredit_policy::policy::Policy;
use accredit_policy::session::Sessions;
use accredit_policy::stream::{Gate, News};
use accredit_policy::token::{Prover, hex};
use accredit_policy::wire::audit::Proxy;
use accredit_policy::{Secret, config};
use proxy_wasm::traits::{Context as SdkContext, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host::{self, Buffer, HostError, Map, Metric};
use crate::memory;
use crate::stream::Context;
use delivery::Leaving;

/// The root context; empty until a configuration was accepted.
#[derive(Default)]
pub(crate) struct Root {
    shared: Option<Rc<Shared>>,
    calls: RefCell<BTreeMap<u32, Purpose>>,
    /// Whether the host waits for the last records.
    leaving: Cell<Leaving>,
}

/// What an answer is for.
enum Purpose {
    /// A document of an issuer's.
    Document(Document),
    /// The records of the batch of this number.
    Records(u64),
}

/// What the root context and all streams of this configuration share.
pub(crate) struct Shared {
    /// The policy and its state.
    pub(crate) gate: RefCell<Gate>,
    waiting: RefCell<Vec<Context>>,
    answers: RefCell<BTreeMap<u32, Context>>,
    /// The streams that were let through and are not over.
    through: RefCell<BTreeMap<u32, Context>>,
    queue: Cell<u32>,
    /// Random bytes that were asked for and not used yet.
    random: RefCell<Vec<[u8; 16]>>,
    metrics: RefCell<BTreeMap<String, u32>>,
}

impl Shared {
    /// Lets a stream wait for keys, and rings for the root context if some have to be fetched.
    ///
    /// The fetch is the root's: one that a stream makes is lost with the stream, and others may wait for it.
    pub(crate) fn wait(&self, stream: Context) -> Result<(), HostError> {
        if self.gate.borrow().wants() {
            host::ring(self.queue.get())?;
        }
        self.waiting.borrow_mut().push(stream);
        Ok(())
    }

    /// Follows revocations from the first stream on: the main thread's VM has none and needs no news.
    pub(crate) fn follow(&self) {
        let mut gate = self.gate.borrow_mut();
        if !gate.feed.follows() {
            gate.feed.follow(host::now());
            if let Err(error) = host::ring(self.queue.get()) {
                log::debug!("revocations are asked for with the next tick: {error}");
            }
        }
    }

    /// Keeps a stream that was let through, for as long as it lives: it can be revoked.
    pub(crate) fn pass(&self, id: u32, stream: Context) {
        self.through.borrow_mut().insert(id, stream);
    }

    /// 16 random bytes, which name a record. The host is asked for many at once.
    pub(crate) fn random(&self) -> [u8; 16] {
        let mut random = self.random.borrow_mut();
        if random.is_empty() {
            *random = host::random::<1024>().as_chunks().0.to_vec();
        }
        random.pop().unwrap_or_default()
    }

    /// Rings for the root context if too many records wait; their batch outlives the stream that wrote the last one.
    pub(crate) fn relieve(&self) {
        let presses = self.gate.borrow().outbox.presses();
        if presses && let Err(error) = host::ring(self.queue.get()) {
            log::debug!("records wait for the next tick: {error}");
        }
    }

    /// Notes that the answer to `token` is for a stream although it comes to the root.
    pub(crate) fn claim(&self, token: u32, stream: Context) {
        self.answers.borrow_mut().insert(token, stream);
    }

    /// Drops what is kept for a stream that is over.
    pub(crate) fn forget(&self, id: u32, stream: &Context) {
        self.through.borrow_mut().remove(&id);
        self.answers.borrow_mut().retain(|_, other| !other.is(stream));
        self.waiting.borrow_mut().retain(|other| !other.is(stream));
    }

    /// Counts one decision.
    pub(crate) fn count(&self, server: &str, reason: &str) {
        self.measure(Metric::Counter, &format!("accredit.decisions.{server}.{reason}"), 1);
    }

    /// Adds to a counter, or sets a gauge.
    fn measure(&self, kind: Metric, name: &str, value: u64) {
        self.meter(kind, name, |metric| match kind {
            Metric::Counter => host::count(metric, i64::try_from(value).unwrap_or(i64::MAX)),
            Metric::Gauge => host::record(metric, value),
        });
    }

    fn meter(&self, kind: Metric, name: &str, measure: impl FnOnce(u32) -> Result<(), HostError>) {
        let mut metrics = self.metrics.borrow_mut();
        let metric = match metrics.get(name) {
            Some(metric) => Ok(*metric),
            None => host::metric(kind, name).inspect(|metric| {
                metrics.insert(name.to_owned(), *metric);
            }),
        };
        if let Err(error) = metric.and_then(measure) {
            log::debug!("`{name}` was not measured: {error}");
        }
    }

    /// Tells how the keys and the revocations are, how often a token was known, and what became of records.
    fn report(&self) {
        let (health, tally, records, feed) = {
            let gate = &mut *self.gate.borrow_mut();
            let feed = gate.feed.follows().then(|| gate.feed.health(host::now()));
            (gate.prover.health(host::now()), gate.prover.tally(), gate.outbox.tally(), feed)
        };
        if let Some(feed) = feed {
            self.measure(Metric::Gauge, "accredit.revocation.targets", u64::try_from(feed.targets).unwrap_or(u64::MAX));
            if let Some(age) = feed.age {
                self.measure(Metric::Gauge, "accredit.revocation.age_seconds", age.as_secs());
            }
        }
        for (name, value) in [
            ("token_cache.hits", tally.hits),
            ("token_cache.misses", tally.misses),
            ("audit.made", records.made),
            ("audit.sent", records.sent),
            ("audit.lost", records.lost),
        ] {
            if value > 0 {
                self.measure(Metric::Counter, &format!("accredit.{name}"), value);
            }
        }
        if records.queued() != 0 {
            // All workers move the one gauge. It stays up for what a worker took with it that was torn down by a trap.
            self.meter(Metric::Gauge, "accredit.audit.queued", |metric| host::count(metric, records.queued()));
        }
        for Health { issuer, age, failures } in health {
            if let Some(age) = age {
                self.measure(Metric::Gauge, &format!("accredit.keys.{issuer}.age_seconds"), age.as_secs());
            }
            if failures > 0 {
                self.measure(Metric::Counter, &format!("accredit.keys.{issuer}.fetch_failures"), failures);
            }
        }
    }

    fn wake(&self) {
        // Those that go on waiting put themselves into the new list.
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.iter().for_each(Context::keys_settled);
    }

    /// Breaks off streams of what was revoked since they were let through.
    fn review(&self) {
        // A stream that ends meanwhile takes itself out of the map.
        let through: Vec<_> = self.through.borrow().values().cloned().collect();
        through.iter().for_each(Context::revoked);
    }
}

impl Root {
    fn configure(&self) -> Result<Shared, Vec<String>> {
        let one = |line: String| vec![line];
        let bytes = host::buffer(Buffer::Configuration, usize::MAX).unwrap_or_default();
        let lines = |errors: config::ConfigErrors| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let policy = config::parse(&bytes).map_err(lines)?;
        let secret = secret(&policy).map_err(one)?;
        let sessions = sessions(&policy).map_err(one)?;
        let worker = hex(&host::random::<8>());
        let queue = host::open_queue(&format!("accredit.{worker}"));
        let queue = queue.map_err(|error| one(format!("no queue could be opened: {error}")))?;
        let period = policy.audit.flush.min(Duration::from_secs(1));
        host::tick_every(period).map_err(|error| one(format!("no timer could be set: {error}")))?;
        let node = host::property(&["xds", "node", "id"]).and_then(|node| String::from_utf8(node).ok());
        let node = node.filter(|node| !node.is_empty()).unwrap_or_else(|| "envoy".into());
        let prover = Prover::new(host::verify, u64::from_le_bytes(host::random()));
        let shared = memory::prepare().and_then(|()| memory::nonce());
        let nonce = shared.map_err(|error| one(format!("nothing can be shared between workers: {error}")))?;
        let feed = Feed::new(policy.revocation.max_age, u64::from_le_bytes(host::random()));
        let gate = Gate::new(policy, prover, (nonce, sessions, feed), secret, Proxy { node, worker: Some(worker) });
        Ok(Shared {
            gate: RefCell::new(gate),
            waiting: RefCell::default(),
            answers: RefCell::default(),
            through: RefCell::default(),
            queue: Cell::new(queue),
            random: RefCell::default(),
            metrics: RefCell::default(),
        })
    }

    /// Fetches all documents that are wanted.
    fn fetch(&self, shared: &Shared) {
        let wanted = shared.gate.borrow_mut().wanted();
        let mut lost = Vec::new();
        for fetch in wanted {
            match host::fetch(&fetch) {
                Ok(token) => drop(self.calls.borrow_mut().insert(token, Purpose::Document(fetch.document))),
                Err(_) => {
                    let Fetch { document, cluster, .. } = fetch;
                    log::error!(
                        "{document} cannot be fetched: the cluster `{cluster}` is not known (hint: check {})",
                        key(&document)
                    );
                    lost.push(document);
                }
            }
        }
        // Not before all are under way: whoever is told of it makes calls of its own, and the next would be taken for its.
        lost.iter().for_each(|document| self.arrived(shared, document, &Answer::default()));
    }

    fn arrived(&self, shared: &Shared, document: &Document, answer: &Answer<'_>) {
        let arrived = shared.gate.borrow_mut().arrived(document, answer, host::now());
        let feed = matches!(document, Document::Revocations(_));
        if feed && arrived.is_ok() {
            // The next question follows at once, while the host still takes it for the root's.
            self.fetch(shared);
        }
        match arrived {
            Ok(News::Renewed) => {}
            Ok(News::Revoked) => shared.review(),
            Err(why) => {
                if feed {
                    shared.measure(Metric::Counter, "accredit.revocation.failures", 1);
                }
                log::warn!("{document} were not renewed: the document {why}");
            }
        }
        shared.wake();
    }
}

impl SdkContext for Root {
    /// The configuration is replaced, or its listener gone: what is queued is sent before the host forgets the plugin. A
    /// process that ends does not wait for it.
    fn on_done(&mut self) -> bool {
        let Some(shared) = self.shared.clone() else {
            return true;
        };
        self.farewell(&shared)
    }

    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        let Some(shared) = self.shared.clone() else {
            return;
        };
        let stream = shared.answers.borrow_mut().remove(&token);
        if let Some(stream) = stream {
            return stream.answered(headers, size);
        }
        let Some(purpose) = self.calls.borrow_mut().remove(&token) else {
            return;
        };
        let status = (headers > 0).then(|| host::header(Map::Callout, ":status")).flatten();
        match purpose {
            Purpose::Document(document) => {
                let sound = status.as_deref() == Some("200") && size <= document.limit();
                if !sound {
                    let status = status.as_deref().unwrap_or("no status");
                    log::warn!("{document}: answered {status} with {size} bytes");
                }
                let body = if sound { host::buffer(Buffer::Callout, size).ok() } else { None };
                let cache_control = if sound { host::header(Map::Callout, "cache-control") } else { None };
                let answer = Answer { body: body.as_deref(), cache_control: cache_control.as_deref() };
                self.arrived(&shared, &document, &answer);
            }
            Purpose::Records(number) => self.settle(&shared, number, status.as_deref()),
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        log::set_max_level(host::log_level());
        match self.configure() {
            Ok(shared) => {
                log::info!("policy {}", shared.gate.borrow().policy.digest());
                self.shared = Some(Rc::new(shared));
                true
            }
            Err(lines) => {
                lines.iter().for_each(|line| log::error!("policy refused: {line}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        // A line the host would drop need not be written; the operator can change the level at any time.
        log::set_max_level(host::log_level());
        let Some(shared) = self.shared.clone() else {
            return;
        };
        shared.gate.borrow_mut().tick(host::now());
        shared.report();
        self.fetch(&shared);
        self.flush(&shared);
        // A fetch the host forgot must not hold a request for ever.
        shared.wake();
    }

    fn on_queue_ready(&mut self, queue: u32) {
        host::silence(queue);
        if let Some(shared) = self.shared.clone() {
            self.fetch(&shared);
            self.relieve(&shared);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let shared = self.shared.clone()?;
        shared.follow();
        Some(Box::new(Context::new(id, shared)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The proxy's secret at the broker, where the policy says that it has one.
fn secret(policy: &Policy) -> Result<Secret, String> {
    let Some(client) = &policy.broker.client else {
        return Ok(Secret::default());
    };
    let name = &client.secret_env;
    let secret = host::env(name).map(|text| Secret::new(text.trim())).filter(|secret| !secret.is_empty());
    secret.ok_or_else(|| {
        format!(
            "`broker.client.secret_env`: found no environment variable `{name}`, accepted is one that holds the \
             proxy's secret (hint: set it for Envoy and name it in `vm_config.environment_variables.host_env_keys`)"
        )
    })
}

/// The keys of sessions, where the policy says that they are the operator's own.
fn sessions(policy: &Policy) -> Result<Sessions, String> {
    let Some(name) = &policy.session_key else {
        return Ok(Sessions::fetched(u64::from_le_bytes(host::random())));
    };
    let sessions = host::env(name).and_then(|text| Sessions::written(&Secret::new(text)));
    sessions.ok_or_else(|| {
        format!(
            "`session_key.env`: found no environment variable `{name}` with keys, accepted is one that holds a key of at \
             least 32 characters, and earlier ones after white space (hint: make one with `openssl rand -hex 32`, set it \
             for Envoy and name it in `vm_config.environment_variables.host_env_keys`)"
        )
    })
}

/// The key of the policy that names a document's cluster.
fn key(document: &Document) -> &'static str {
    match document {
        Document::Keys(_) => "`jwks.cluster`",
        Document::Statuses(..) => "`status.cluster`",
        Document::Revocations(_) | Document::Sessions => "`broker.cluster`",
    }
}
