//! Envoy's part of the play: callbacks in their order, and what the filter asked for once each has returned.

use crate::cluster::{Answer, Delivery};
use crate::flow::{Again, Flow, Released};
use crate::headers::Headers;
use crate::host::{Action, Local, Shared, State, Way};
use crate::request::Response;
use crate::stream::Upstream;
use crate::vm::Vm;
use std::cell::RefCell;
use std::collections::BTreeMap;
use wasmtime::Module;

/// The proxy without its handles.
pub(crate) struct Core {
    pub(crate) host: Shared,
    pub(crate) vms: Vec<RefCell<Vm>>,
    pub(crate) module: Module,
}

const PAUSE: u32 = 1;

impl Core {
    /// A stream whose headers have not come yet. The guest hears of it with the headers.
    pub(crate) fn open(&self, vm: usize) -> u64 {
        let mut host = self.host.borrow_mut();
        let id = host.streams.last_key_value().map_or(1, |(last, _)| last + 1);
        let state = State {
            vm,
            context: 0,
            request: Flow::new(host.settings.buffer_limit),
            response: Flow::new(host.settings.buffer_limit),
            running: None,
            opened: host.now,
            tokens: Vec::new(),
            properties: BTreeMap::new(),
            state: BTreeMap::new(),
            local: false,
            details: String::new(),
            closing: false,
            done: false,
            trapped: false,
            reset: false,
            aborted: false,
        };
        host.streams.insert(id, state);
        id
    }

    /// A stream that ends before its headers have come, and leaves no trace.
    pub(crate) fn visit(&self, vm: usize) {
        let id = self.open(vm);
        if self.create(id) {
            self.finish(id);
        }
        self.host.borrow_mut().streams.remove(&id);
    }

    /// Headers in either direction.
    pub(crate) fn headers(&self, id: u64, way: Way, headers: Headers, end: bool) {
        if way == Way::Request && !self.create(id) {
            return;
        }
        let count = headers.len() as u32;
        self.state(id, |state| state.flow(way).begin(headers, end));
        let name = ["proxy_on_request_headers", "proxy_on_response_headers"][way as usize];
        let Some(pause) = self.callback(id, way, name, &[count, end.into()]) else { return };
        let body_may_follow = self.host.borrow().settings.headers_stop;
        self.state(id, |state| state.flow(way).began(pause, body_may_follow));
        self.progress(id);
    }

    /// A piece of a body in either direction.
    pub(crate) fn body(&self, id: u64, way: Way, chunk: Vec<u8>, end: bool) {
        if !self.state(id, |state| state.live() && !state.flow(way).dead) {
            return;
        }
        let size = match self.state(id, |state| state.flow(way).offer(chunk, end)) {
            Ok(Some(size)) => size as u32,
            Ok(None) => return,
            Err(_) => return self.overflow(id, way),
        };
        let name = ["proxy_on_request_body", "proxy_on_response_body"][way as usize];
        let Some(pause) = self.callback(id, way, name, &[size, end.into()]) else { return };
        match self.state(id, |state| state.flow(way).offered(pause)) {
            Ok(()) => self.progress(id),
            Err(_) => self.overflow(id, way),
        }
    }

    /// Trailers in either direction; they end the body.
    pub(crate) fn trailers(&self, id: u64, way: Way, trailers: Headers) {
        if !self.state(id, |state| state.live() && !state.flow(way).dead) {
            return;
        }
        let count = trailers.len() as u32;
        if !self.state(id, |state| state.flow(way).close(trailers)) {
            return;
        }
        let name = ["proxy_on_request_trailers", "proxy_on_response_trailers"][way as usize];
        let Some(pause) = self.callback(id, way, name, &[count]) else { return };
        self.state(id, |state| state.flow(way).closed(pause));
        self.progress(id);
    }

    /// A whole upstream response.
    pub(crate) fn respond(&self, id: u64, response: &Response) {
        let last = response.chunks.len();
        let body_ends = response.trailers.is_none();
        self.headers(id, Way::Response, response.head(), last == 0 && body_ends);
        for (place, chunk) in response.chunks.iter().enumerate() {
            self.body(id, Way::Response, chunk.clone(), place + 1 == last && body_ends);
        }
        if let Some(trailers) = &response.trailers {
            self.trailers(id, Way::Response, trailers.clone());
        }
    }

    /// The end of a stream: log, done, delete, in this order and once.
    pub(crate) fn finish(&self, id: u64) {
        let (vm, context) = {
            let mut host = self.host.borrow_mut();
            let state = host.streams.get_mut(&id).unwrap();
            if !state.live() {
                return;
            }
            state.closing = true;
            (state.request.dead, state.response.dead) = (true, true);
            (state.vm, state.context)
        };
        if context != 0 {
            for name in ["proxy_on_log", "proxy_on_done", "proxy_on_delete"] {
                self.call(vm, context, name, &[context], 1);
            }
        }
        let mut host = self.host.borrow_mut();
        host.contexts.remove(&(vm, context));
        host.streams.get_mut(&id).unwrap().done = true;
    }

    /// Hands the answer to one callout to the VM that made it. The host knows the root only: whether the stream behind it
    /// still lives is for the guest to find out.
    pub(crate) fn deliver(&self, call: u64, answer: &Answer) {
        let (vm, token, delivery) = {
            let mut host = self.host.borrow_mut();
            host.waiting.retain(|waiting| *waiting != call);
            let made = host.calls.get_mut(&call).unwrap();
            let delivery = Delivery::of(made.call.worker, answer).expect("a held call has no answer to deliver");
            made.status = Some(delivery.headers.status());
            (made.call.worker, made.token, delivery)
        };
        self.bring(vm, token, delivery);
    }

    /// Tells a VM's root what came to the callout of that token.
    pub(crate) fn bring(&self, vm: usize, token: u32, delivery: Delivery) {
        let root = self.vms[vm].borrow().root();
        let counts = [delivery.headers.len(), delivery.body.len(), delivery.trailers.len()].map(|count| count as u32);
        self.host.borrow_mut().delivery = Some(delivery);
        self.call(vm, root, "proxy_on_http_call_response", &[root, token, counts[0], counts[1], counts[2]], 0);
        self.host.borrow_mut().delivery = None;
    }

    /// One callback, then everything the guest asked for while it ran. `None` from a VM that is dead, or dies of it.
    pub(crate) fn call(&self, vm: usize, context: u32, name: &str, arguments: &[u32], missing: u32) -> Option<u32> {
        if self.vms[vm].borrow().poisoned {
            return None;
        }
        let outcome = self.vms[vm].borrow_mut().call(context, name, arguments, missing);
        let actions = std::mem::take(&mut self.host.borrow_mut().actions);
        match outcome {
            Ok(result) => {
                actions.into_iter().for_each(|action| self.perform(action));
                Some(result)
            }
            Err(trap) => {
                self.poison(vm, trap);
                None
            }
        }
    }

    pub(crate) fn state<T>(&self, id: u64, with: impl FnOnce(&mut State) -> T) -> T {
        with(self.host.borrow_mut().streams.get_mut(&id).unwrap())
    }

    /// Tells the guest about a stream. `false` when its VM is dead: the stream has failed then.
    fn create(&self, id: u64) -> bool {
        let vm = self.state(id, |state| state.vm);
        let (context, root) = {
            let mut vm = self.vms[vm].borrow_mut();
            if vm.poisoned {
                drop(vm);
                self.fail(id);
                return false;
            }
            (vm.context(), vm.root())
        };
        {
            let mut host = self.host.borrow_mut();
            host.contexts.insert((vm, context), id);
            host.streams.get_mut(&id).unwrap().context = context;
        }
        self.call(vm, context, "proxy_on_context_create", &[context, root], 0).is_some()
    }

    /// A stream callback; answers whether it paused.
    fn callback(&self, id: u64, way: Way, name: &str, arguments: &[u32]) -> Option<bool> {
        let (vm, context) = self.state(id, |state| {
            state.running = Some(way);
            (state.vm, state.context)
        });
        let arguments: Vec<u32> = std::iter::once(context).chain(arguments.iter().copied()).collect();
        let result = self.call(vm, context, name, &arguments, 0);
        self.state(id, |state| state.running = None);
        result.map(|action| action == PAUSE)
    }

    fn perform(&self, action: Action) {
        match action {
            Action::Close(id) => {
                self.state(id, |state| state.reset |= state.live());
                self.finish(id);
            }
            Action::Reply(id, local) => self.reply(id, local),
            Action::Resume(id, way) => {
                let again = self.state(id, |state| if state.live() { state.flow(way).resume() } else { Vec::new() });
                for event in again {
                    match event {
                        Again::Body(chunk, end) => self.body(id, way, chunk, end),
                        Again::Trailers(trailers) => self.trailers(id, way, trailers),
                    }
                }
                self.progress(id);
            }
        }
    }

    /// A local reply. It passes the filter's response callbacks, unless it replaces a response that already did.
    fn reply(&self, id: u64, local: Local) {
        let (started, left) = self.state(id, |state| (state.response.started, state.response.left()));
        if !self.state(id, |state| state.live() && !state.local) {
            return;
        }
        let mut head = Headers::of([(":status", local.status.to_string())]);
        for (name, value) in local.headers.iter() {
            head.add(name, value);
        }
        if !local.body.is_empty() {
            head.set("content-length", local.body.len().to_string());
            if !head.has("content-type") {
                head.set("content-type", "text/plain");
            }
        }
        self.state(id, |state| {
            state.request.dead = true;
            state.details.clone_from(&local.details);
            // Too late for a reply when the client already has a status line: it sees a cut body.
            state.local = !left;
            state.reset = left;
        });
        if left {
            self.finish(id);
        } else if started {
            self.replace(id, head, local.body);
            self.finish(id);
        } else {
            self.headers(id, Way::Response, head, local.body.is_empty());
            if !local.body.is_empty() {
                self.body(id, Way::Response, local.body, true);
            }
        }
    }

    /// Sends a response past the filter.
    fn replace(&self, id: u64, head: Headers, body: Vec<u8>) {
        let chunks = if body.is_empty() { Vec::new() } else { vec![body] };
        self.state(id, |state| {
            state.response.dead = true;
            state.response.started = true;
            state.response.released = Released { headers: Some(head), chunks, trailers: None, complete: true };
        });
    }

    /// The filter held more than the connection's buffer takes.
    fn overflow(&self, id: u64, way: Way) {
        let (status, details, body) = match way {
            Way::Request => (413, "request_payload_too_large", "Payload Too Large"),
            Way::Response => (500, "response_payload_too_large", "Internal Server Error"),
        };
        let local = Local { status, headers: Headers::default(), body: body.into(), details: details.into() };
        self.reply(id, local);
    }

    /// What follows from the last step: an upstream that answers, a response that is through.
    fn progress(&self, id: u64) {
        if self.state(id, |state| state.live() && state.response.released.complete) {
            return self.finish(id);
        }
        let due = self.state(id, |state| state.live() && state.request.released.complete && !state.response.started);
        let script = if due { self.host.borrow_mut().upstream.take() } else { None };
        if let Some(mut script) = script {
            let seen = self.state(id, |state| Upstream::of(&state.request.released));
            let response = script(&seen.unwrap());
            self.host.borrow_mut().upstream.get_or_insert(script);
            self.respond(id, &response);
        }
    }

    /// A trap ends the VM, and with it every stream on it.
    fn poison(&self, vm: usize, trap: String) {
        let live: Vec<u64> = {
            let mut host = self.host.borrow_mut();
            host.traps.push(trap);
            host.ticks.remove(&vm);
            let streams = host.streams.iter();
            streams
                .filter(|(_, state)| state.vm == vm && state.context != 0 && state.live())
                .map(|(id, _)| *id)
                .collect()
        };
        live.into_iter().for_each(|id| self.fail(id));
    }

    /// Fails one stream closed. A dead guest hears nothing of it, not even for the log.
    fn fail(&self, id: u64) {
        if !self.state(id, |state| state.response.left()) {
            self.replace(id, Headers::of([(":status", "503")]), Vec::new());
        } else {
            self.state(id, |state| state.reset = true);
        }
        let mut host = self.host.borrow_mut();
        let state = host.streams.get_mut(&id).unwrap();
        (state.request.dead, state.response.dead) = (true, true);
        (state.trapped, state.local, state.done) = (true, true, true);
        state.details = "wasm_fail_stream".into();
        let place = (state.vm, state.context);
        host.contexts.remove(&place);
    }
}
