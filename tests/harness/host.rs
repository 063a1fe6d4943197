//! What the guests of one proxy share: clock, streams, clusters, shared data, queues, metrics and the captured log.

use crate::abi::{Answer, Status};
use crate::cluster::{Delivery, Made, Scripted};
use crate::feed;
use crate::flow::Flow;
use crate::headers::Headers;
use crate::request::Response;
use crate::stream::Upstream;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// When every virtual clock starts: 2027-01-15T08:00:00Z, in Unix seconds.
pub const START: u64 = 1_800_000_000;

pub(crate) type Shared = Rc<RefCell<Host>>;
pub(crate) type Foreign = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, i32>>;
/// What another worker writes first.
pub(crate) type Meddle = Box<dyn FnMut(&str, &[u8]) -> Option<Vec<u8>>>;
/// What the upstream answers a request.
pub(crate) type Origin = Box<dyn FnMut(&Upstream) -> Response>;
pub(crate) type Properties = BTreeMap<Vec<String>, Vec<u8>>;

/// What does not change after the start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) configuration: Vec<u8>,
    pub(crate) vm_id: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) headers_stop: bool,
    pub(crate) buffer_limit: usize,
    pub(crate) log_level: u32,
}

/// One line a guest logged, or wrote to standard output or standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which VM wrote it; the main-thread VM comes after the workers.
    pub worker: usize,
    /// `trace` 0 … `critical` 5.
    pub level: u32,
    /// The text as logged.
    pub text: String,
}

/// The two directions of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Response,
}

/// What a hostcall asked for and Envoy does once the guest has returned.
pub(crate) enum Action {
    Close(u64),
    Reply(u64, Local),
    Resume(u64, Way),
}

/// A reply that does not come from upstream.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) details: String,
}

/// One stream as the connection manager sees it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) vm: usize,
    /// 0 until the guest knows the stream.
    pub(crate) context: u32,
    pub(crate) request: Flow,
    pub(crate) response: Flow,
    /// The direction whose callback runs now.
    pub(crate) running: Option<Way>,
    pub(crate) opened: u64,
    /// What the client authenticated with; the check looks for it everywhere.
    pub(crate) tokens: Vec<String>,
    pub(crate) properties: Properties,
    pub(crate) state: BTreeMap<String, Vec<u8>>,
    /// The response was made by the filter or by Envoy.
    pub(crate) local: bool,
    pub(crate) details: String,
    pub(crate) closing: bool,
    pub(crate) done: bool,
    pub(crate) trapped: bool,
    pub(crate) reset: bool,
    pub(crate) aborted: bool,
}

impl State {
    pub(crate) fn flow(&mut self, way: Way) -> &mut Flow {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }

    /// Whether anything can still happen on it.
    pub(crate) fn live(&self) -> bool {
        !self.closing && !self.done
    }
}

pub(crate) struct Queue {
    pub(crate) vm_id: String,
    pub(crate) name: String,
    pub(crate) owner: usize,
    pub(crate) items: VecDeque<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) value: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) period: u64,
    pub(crate) due: u64,
}

/// Everything the guests share.
pub(crate) struct Host {
    pub(crate) settings: Settings,
    /// Nanoseconds since the Unix epoch.
    pub(crate) now: u64,
    pub(crate) streams: BTreeMap<u64, State>,
    pub(crate) contexts: HashMap<(usize, u32), u64>,
    pub(crate) clusters: BTreeMap<String, Scripted>,
    pub(crate) calls: BTreeMap<u64, Made>,
    /// The calls without an answer yet, oldest first.
    pub(crate) waiting: Vec<u64>,
    pub(crate) feed: feed::State,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) upstream: Option<Origin>,
    pub(crate) data: BTreeMap<String, (Vec<u8>, u32)>,
    pub(crate) queues: Vec<Queue>,
    /// Queue callbacks that are due: VM and queue.
    pub(crate) ready: VecDeque<(usize, u32)>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) log: Vec<Line>,
    pub(crate) properties: Properties,
    pub(crate) foreign: BTreeMap<String, Foreign>,
    /// How often each of them was called.
    pub(crate) called: BTreeMap<String, usize>,
    pub(crate) meddle: Option<Meddle>,
    pub(crate) ticks: BTreeMap<usize, Tick>,
    pub(crate) actions: Vec<Action>,
    /// Things a filter must never do; every one of them fails the test.
    pub(crate) faults: Vec<String>,
    pub(crate) traps: Vec<String>,
}

impl Host {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: START * 1_000_000_000,
            streams: BTreeMap::new(),
            contexts: HashMap::new(),
            clusters: BTreeMap::new(),
            calls: BTreeMap::new(),
            waiting: Vec::new(),
            feed: feed::State::default(),
            delivery: None,
            upstream: None,
            data: BTreeMap::new(),
            queues: Vec::new(),
            ready: VecDeque::new(),
            metrics: Vec::new(),
            log: Vec::new(),
            properties: Properties::new(),
            foreign: BTreeMap::new(),
            called: BTreeMap::new(),
            meddle: None,
            ticks: BTreeMap::new(),
            actions: Vec::new(),
            faults: Vec::new(),
            traps: Vec::new(),
        }
    }

    /// The stream a guest means by `context`, `None` for its root.
    pub(crate) fn stream(&mut self, vm: usize, context: u32) -> Option<(u64, &mut State)> {
        let id = *self.contexts.get(&(vm, context))?;
        self.streams.get_mut(&id).map(|state| (id, state))
    }

    pub(crate) fn print(&mut self, vm: usize, level: u32, text: String) {
        self.log.push(Line { worker: vm, level, text });
    }

    pub(crate) fn tick(&mut self, vm: usize, period: Duration) {
        let period = period.as_nanos() as u64;
        if period == 0 {
            self.ticks.remove(&vm);
        } else {
            self.ticks.insert(vm, Tick { period, due: self.now + period });
        }
    }

    // Shared data: one process-wide map; a compare-and-swap value of 0 writes in any case.

    pub(crate) fn datum(&self, key: &str) -> Answer<(Vec<u8>, u32)> {
        self.data.get(key).cloned().ok_or(Status::NotFound)
    }

    pub(crate) fn store(&mut self, key: String, value: Vec<u8>, cas: u32) -> Answer {
        let mut known = self.data.get(&key).map_or(0, |(_, cas)| *cas);
        if cas != 0
            && let Some((held, version)) = self.data.get_mut(&key)
            && let Some(first) = self.meddle.as_mut().and_then(|meddle| meddle(&key, held))
        {
            known += 1;
            (*held, *version) = (first, known);
        }
        if cas != 0 && cas != known {
            return Err(Status::CasMismatch);
        }
        self.data.insert(key, (value, known + 1));
        Ok(())
    }

    // Shared queues: the last VM that registers a name owns it and gets the callback.

    pub(crate) fn register(&mut self, vm: usize, name: String) -> u32 {
        let vm_id = self.settings.vm_id.clone();
        if let Some(place) = self.queues.iter().position(|queue| queue.vm_id == vm_id && queue.name == name) {
            self.queues[place].owner = vm;
            return place as u32 + 1;
        }
        self.queues.push(Queue { vm_id, name, owner: vm, items: VecDeque::new() });
        self.queues.len() as u32
    }

    pub(crate) fn resolve(&self, vm_id: &str, name: &str) -> Answer<u32> {
        self.queues
            .iter()
            .position(|queue| queue.vm_id == vm_id && queue.name == name)
            .map(|place| place as u32 + 1)
            .ok_or(Status::NotFound)
    }

    pub(crate) fn enqueue(&mut self, queue: u32, item: Vec<u8>) -> Answer {
        let known = self.queue(queue)?;
        known.items.push_back(item);
        let owner = known.owner;
        self.ready.push_back((owner, queue));
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, queue: u32) -> Answer<Vec<u8>> {
        self.queue(queue)?.items.pop_front().ok_or(Status::Empty)
    }

    fn queue(&mut self, queue: u32) -> Answer<&mut Queue> {
        (queue as usize).checked_sub(1).and_then(|place| self.queues.get_mut(place)).ok_or(Status::NotFound)
    }

    // Metrics: one stat per name and process, whichever VM defined it.

    pub(crate) fn define(&mut self, kind: i32, name: String) -> Answer<u32> {
        if !(0..=2).contains(&kind) {
            return Err(Status::BadArgument);
        }
        if let Some(place) = self.metrics.iter().position(|metric| metric.name == name && metric.kind == kind) {
            return Ok(place as u32);
        }
        self.metrics.push(Metric { name, kind, value: 0 });
        Ok(self.metrics.len() as u32 - 1)
    }

    pub(crate) fn increment(&mut self, metric: u32, by: i64) -> Answer {
        let metric = self.metric(metric)?;
        match metric.kind {
            0 if by < 0 => return Err(Status::BadArgument),
            0 | 1 => metric.value = metric.value.saturating_add_signed(by),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }

    pub(crate) fn record(&mut self, metric: u32, value: u64) -> Answer {
        let metric = self.metric(metric)?;
        match metric.kind {
            0 => metric.value += value,
            _ => metric.value = value,
        }
        Ok(())
    }

    pub(crate) fn metric(&mut self, metric: u32) -> Answer<&mut Metric> {
        self.metrics.get_mut(metric as usize).ok_or(Status::NotFound)
    }
}
