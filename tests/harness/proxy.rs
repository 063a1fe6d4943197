//! The proxy a test talks to.

use crate::builder::Builder;
use crate::check;
use crate::cluster::{Answer, Call, Cluster};
use crate::feed::Feed;
use crate::host::{Line, Tick};
use crate::machine::Core;
use crate::request::{Request, Response};
use crate::stream::{Stream, Upstream};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// A stateful fake Envoy with the filter in it: one VM per worker, and the main thread's if asked for.
///
/// When it is dropped, everything it saw is checked (see [`check`](crate::check)).
pub struct Proxy {
    pub(crate) core: Rc<Core>,
    pub(crate) workers: usize,
    pub(crate) allowed: RefCell<BTreeSet<Exception>>,
}

/// A rule a test breaks on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exception {
    /// The guest misused a stream, for instance by resuming one that is gone.
    Fault,
    /// The client's own token goes upstream.
    TokenUpstream,
    /// A VM traps.
    Trap,
}

/// Why a proxy did not start: Envoy would refuse the configuration.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What the guest logged until then.
    pub log: Vec<String>,
}

impl Proxy {
    /// One worker with this policy; a refused policy fails the test.
    #[track_caller]
    pub fn start(policy: impl AsRef<[u8]>) -> Self {
        Self::builder().policy(policy).start()
    }

    /// The same for policies that may be refused.
    pub fn try_start(policy: impl AsRef<[u8]>) -> Result<Self, Refused> {
        Self::builder().policy(policy).try_start()
    }

    /// The same with several workers.
    #[track_caller]
    pub fn workers(count: usize, policy: impl AsRef<[u8]>) -> Self {
        Self::builder().workers(count).policy(policy).start()
    }

    /// Everything else that can be chosen before the start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A cluster by name. Naming it makes it known to Envoy.
    pub fn cluster(&self, name: &str) -> Cluster {
        self.core.host.borrow_mut().clusters.entry(name.to_owned()).or_default();
        Cluster { core: Rc::clone(&self.core), name: name.to_owned() }
    }

    /// A client that connects and leaves, with which a worker begins to follow revocations.
    pub(crate) fn warm(&self, worker: usize) {
        self.core.visit(worker);
        self.settle();
    }

    /// The broker's feed of revocations.
    pub fn feed(&self) -> Feed {
        Feed { core: Rc::clone(&self.core) }
    }

    /// Lets `script` answer every request that is completely forwarded. Without it the test responds by hand.
    pub fn upstream(&self, script: impl FnMut(&Upstream) -> Response + 'static) {
        self.core.host.borrow_mut().upstream = Some(Box::new(script));
    }

    /// A new stream on the first worker.
    pub fn open(&self) -> Stream {
        self.open_on(0)
    }

    /// A new stream on a given worker.
    pub fn open_on(&self, worker: usize) -> Stream {
        assert!(worker < self.workers, "streams run on workers, and there are {}", self.workers);
        Stream { core: Rc::clone(&self.core), id: self.core.open(worker) }
    }

    /// Sends a whole request on the first worker and delivers nothing else yet.
    pub fn send(&self, request: Request) -> Stream {
        self.send_on(0, request)
    }

    /// The same on a given worker.
    pub fn send_on(&self, worker: usize, request: Request) -> Stream {
        let mut stream = self.open_on(worker);
        stream.send(&request);
        stream
    }

    /// Sends a whole request and settles.
    pub fn run(&self, request: Request) -> Stream {
        let stream = self.send(request);
        self.settle();
        stream
    }

    /// Delivers queue callbacks and every callout that has an answer, in order, until nothing is left to do.
    pub fn settle(&self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the filter is never quiet: it answers each answer with a new call");
    }

    /// Delivers the answer to the `place`th waiting callout, counted from 0, before those ahead of it.
    pub fn deliver(&self, place: usize) {
        let call = *self.core.host.borrow().waiting.get(place).expect("there is no such waiting call");
        let answer = self.answer_to(call, true).expect("the call is held: answer it by its id");
        self.core.deliver(call, &answer);
    }

    /// Delivers this answer to a waiting callout.
    pub fn answer(&self, call: u64, answer: impl Into<Answer>) {
        self.core.deliver(call, &answer.into());
    }

    /// The callouts without an answer, oldest first.
    pub fn waiting(&self) -> Vec<Call> {
        let host = self.core.host.borrow();
        host.waiting.iter().map(|id| host.calls[id].call.clone()).collect()
    }

    /// Has the host lose every callout that waits: neither an answer nor a timeout comes.
    pub fn lose(&self) {
        self.core.host.borrow_mut().waiting.clear();
    }

    /// Lets time pass: ticks and timeouts come when they are due, and each is settled before the next.
    pub fn advance(&self, time: Duration) {
        let until = self.core.host.borrow().now + time.as_nanos() as u64;
        while let Some((due, event)) = self.next(until) {
            self.core.host.borrow_mut().now = due;
            match event {
                Event::Tick(vm) => {
                    let root = self.core.vms[vm].borrow().root();
                    self.core.call(vm, root, "proxy_on_tick", &[root], 0);
                    // Armed again after it ran, with whatever period it left behind.
                    if let Some(tick) = self.core.host.borrow_mut().ticks.get_mut(&vm) {
                        *tick = Tick { due: due + tick.period, ..*tick };
                    }
                }
                Event::Timeout(call) => self.core.deliver(call, &Answer::Timeout),
                // What is ready now is delivered below.
                Event::Told => {}
            }
            self.settle();
        }
        self.core.host.borrow_mut().now = until;
    }

    /// The virtual time in Unix seconds.
    pub fn now(&self) -> u64 {
        self.core.host.borrow().now / 1_000_000_000
    }

    /// Sets a property of the proxy and all of its streams.
    pub fn property(&self, path: &[&str], value: impl AsRef<[u8]>) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.core.host.borrow_mut().properties.insert(path, value.as_ref().to_vec());
    }

    /// Answers a foreign function; without this only `verify_signature` is known, and does what Envoy's does. An error is
    /// the status code the guest gets.
    pub fn foreign(&self, name: &str, function: impl FnMut(&[u8]) -> Result<Vec<u8>, i32> + 'static) {
        self.core.host.borrow_mut().foreign.insert(name.to_owned(), Box::new(function));
    }

    /// Makes all foreign functions unknown.
    pub fn without_foreign(&self) {
        self.core.host.borrow_mut().foreign.clear();
    }

    /// How often the guests called a foreign function of that name.
    pub fn called(&self, name: &str) -> usize {
        self.core.host.borrow().called.get(name).copied().unwrap_or(0)
    }

    /// Every log line so far.
    pub fn log(&self) -> Vec<Line> {
        self.core.host.borrow().log.clone()
    }

    /// The value of a metric; one nobody defined is 0.
    pub fn metric(&self, name: &str) -> u64 {
        self.metrics().get(name).copied().unwrap_or(0)
    }

    /// All metrics by name.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        let host = self.core.host.borrow();
        host.metrics.iter().map(|metric| (metric.name.clone(), metric.value)).collect()
    }

    /// What is in the shared data, by key.
    pub fn shared(&self) -> BTreeMap<String, Vec<u8>> {
        let host = self.core.host.borrow();
        host.data.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// Puts a value into the shared data, or takes it out, as another plugin of the same `vm_id` could.
    pub fn share(&self, key: &str, value: Option<&[u8]>) {
        let data = &mut self.core.host.borrow_mut().data;
        let version = data.remove(key).map_or(0, |(_, version)| version);
        data.extend(value.map(|value| (key.to_owned(), (value.to_vec(), version + 1))));
    }

    /// Lets another worker come between a guest's reading of shared data and its compare-and-swap: what `meddle` answers
    /// for the key and the value there is written first.
    pub fn contend(&self, meddle: impl FnMut(&str, &[u8]) -> Option<Vec<u8>> + 'static) {
        self.core.host.borrow_mut().meddle = Some(Box::new(meddle));
    }

    /// How much memory a VM has taken, in bytes.
    pub fn memory(&self, worker: usize) -> usize {
        self.core.vms[worker].borrow_mut().memory()
    }

    /// Gives a worker whose VM trapped a fresh one, as `FAIL_RELOAD` does with the next request.
    pub fn reload(&self, worker: usize) {
        assert!(self.core.vms[worker].borrow().poisoned, "only a VM that trapped is reloaded");
        self.core.reboot(worker).unwrap();
        self.warm(worker);
    }

    /// What the guest did that Envoy lets pass in silence but no filter must do.
    pub fn faults(&self) -> Vec<String> {
        self.core.host.borrow().faults.clone()
    }

    /// The traps so far.
    pub fn traps(&self) -> Vec<String> {
        self.core.host.borrow().traps.clone()
    }

    /// Breaks a rule on purpose: the final check lets it pass.
    pub fn allow(&self, exception: Exception) -> &Self {
        self.allowed.borrow_mut().insert(exception);
        self
    }

    /// Checks everything seen so far and forgets the finished streams, for tests that send very many.
    #[track_caller]
    pub fn forget(&self) {
        check::all(self);
        let mut host = self.core.host.borrow_mut();
        host.streams.retain(|_, state| !state.done);
        let waiting = host.waiting.clone();
        host.calls.retain(|id, _| waiting.contains(id));
        host.log.clear();
    }

    fn step(&self) -> bool {
        let ready = self.core.host.borrow_mut().ready.pop_front();
        if let Some((vm, queue)) = ready {
            let root = self.core.vms[vm].borrow().root();
            self.core.call(vm, root, "proxy_on_queue_ready", &[root, queue], 0);
            return true;
        }
        let told = {
            let host = &mut *self.core.host.borrow_mut();
            host.feed.ready(host.now)
        };
        if let Some((vm, token, delivery)) = told {
            self.core.bring(vm, token, delivery);
            return true;
        }
        let waiting = self.core.host.borrow().waiting.clone();
        for call in waiting {
            if let Some(answer) = self.answer_to(call, false) {
                self.core.deliver(call, &answer);
                return true;
            }
        }
        false
    }

    /// What the cluster's script says to a call, `None` if it holds it. A script is asked once about each call, unless it
    /// is replaced.
    fn answer_to(&self, call: u64, again: bool) -> Option<Answer> {
        let mut host = self.core.host.borrow_mut();
        let host = &mut *host;
        let made = host.calls.get_mut(&call)?;
        let scripted = host.clusters.get_mut(&made.call.cluster)?;
        if made.asked == Some(scripted.version) && !again {
            return None;
        }
        made.asked = Some(scripted.version);
        let answer = scripted.script.as_mut()?(&made.call);
        (!matches!(answer, Answer::Hold)).then_some(answer)
    }

    fn next(&self, until: u64) -> Option<(u64, Event)> {
        let host = self.core.host.borrow();
        let ticks = host.ticks.iter().map(|(vm, tick)| (tick.due, Event::Tick(*vm)));
        let timeouts = host.waiting.iter().filter_map(|id| Some((host.calls[id].deadline?, Event::Timeout(*id))));
        let told = host.feed.due().map(|due| (due.max(host.now), Event::Told));
        ticks.chain(timeouts).chain(told).filter(|(due, _)| *due <= until).min_by_key(|(due, _)| *due)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            check::all(self);
        }
    }
}

enum Event {
    Tick(usize),
    Told,
    Timeout(u64),
}
