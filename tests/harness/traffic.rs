//! What hostcalls may see and do of a stream: header maps, bodies, replies, resumption, callouts and properties.
//!
//! Every function takes the VM and the context the guest speaks for, as Envoy resolves it: the one set last with
//! `proxy_set_effective_context`, else the one the callback was made on.

use crate::abi::{Answer, Buffer, Map, Status};
use crate::cluster::{Call, Made};
use crate::headers::Headers;
use crate::host::{Action, Host, Local, Way};
use std::time::Duration;

impl Host {
    /// The map for reading. After the stream's end all that was seen stays readable for the log.
    pub(crate) fn map(&mut self, vm: usize, context: u32, map: Map) -> Answer<&Headers> {
        if self.stream(vm, context).is_some_and(|(_, state)| state.closing) {
            return self.logged(vm, context, map);
        }
        self.reach(vm, context, map).map(|headers| &*headers)
    }

    /// The map for writing.
    pub(crate) fn change(&mut self, vm: usize, context: u32, map: Map) -> Answer<&mut Headers> {
        if let Some((id, state)) = self.stream(vm, context) {
            if state.closing {
                return Err(Status::BadArgument);
            }
            // Envoy accepts this write and nobody sees it: the classic way to forward without the credential.
            if map == Map::RequestHeaders && state.request.shown && state.request.left() {
                self.faults.push(format!("stream {id}: request headers were changed after they had gone upstream"));
            }
        }
        self.reach(vm, context, map)
    }

    /// The bytes of a buffer, `NotFound` where there is none in this phase.
    pub(crate) fn buffer(&mut self, vm: usize, context: u32, buffer: Buffer) -> Answer<Vec<u8>> {
        match buffer {
            Buffer::RequestBody => self.body(vm, context, Way::Request).cloned(),
            Buffer::ResponseBody => self.body(vm, context, Way::Response).cloned(),
            Buffer::CallBody => self
                .delivery
                .as_ref()
                .filter(|delivery| delivery.vm == vm)
                .map(|delivery| delivery.body.clone())
                .ok_or(Status::NotFound),
            Buffer::VmConfiguration => Ok(Vec::new()),
            Buffer::PluginConfiguration => Ok(self.settings.configuration.clone()),
        }
    }

    /// Replaces the first `length` bytes of a body, or appends when `start` is its end; nothing in between.
    pub(crate) fn splice(
        &mut self,
        vm: usize,
        context: u32,
        buffer: Buffer,
        start: usize,
        length: usize,
        new: &[u8],
    ) -> Answer {
        let body = match buffer {
            Buffer::RequestBody => self.body(vm, context, Way::Request)?,
            Buffer::ResponseBody => self.body(vm, context, Way::Response)?,
            _ => return Err(Status::BadArgument),
        };
        if start == 0 {
            body.splice(..length.min(body.len()), new.iter().copied());
        } else if start >= body.len() {
            body.extend(new);
        } else {
            return Err(Status::BadArgument);
        }
        Ok(())
    }

    /// Asks to go on in one direction. On a root there is no stream to go on with; Envoy says nothing, the test does.
    pub(crate) fn resume(&mut self, vm: usize, context: u32, kind: i32) -> Answer {
        let way = way(kind)?;
        let Some((id, state)) = self.stream(vm, context) else {
            self.faults.push(format!("late forwarding: context {context} of worker {vm} resumed without a stream"));
            return Ok(());
        };
        if state.closing {
            self.faults.push(format!("late forwarding: stream {id} was resumed after its end"));
            return Ok(());
        }
        // Envoy would continue first and stop afterwards: the stream hangs.
        if state.running == Some(way) {
            self.faults.push(format!("stream {id} was resumed from its own callback instead of continuing"));
            return Ok(());
        }
        state.request.hide();
        self.actions.push(Action::Resume(id, way));
        Ok(())
    }

    /// Asks for the stream to be reset.
    pub(crate) fn close(&mut self, vm: usize, context: u32, kind: i32) -> Answer {
        way(kind)?;
        if let Some((id, _)) = self.stream(vm, context) {
            self.actions.push(Action::Close(id));
        }
        Ok(())
    }

    /// Asks for a local reply; without a stream nothing happens.
    pub(crate) fn reply(&mut self, vm: usize, context: u32, local: Local) -> Answer {
        if let Some((id, state)) = self.stream(vm, context)
            && !state.closing
        {
            self.actions.push(Action::Reply(id, local));
        }
        Ok(())
    }

    /// Sends a callout. It belongs to the VM's root, so it outlives the stream it was made for.
    pub(crate) fn dispatch(&mut self, vm: usize, context: u32, mut call: Call) -> Answer<u32> {
        let complete = [":method", ":path", ":authority"].iter().all(|name| call.headers.has(name));
        if !self.clusters.contains_key(&call.cluster) || !complete {
            return Err(Status::BadArgument);
        }
        if let Some(token) = self.feed.ask(vm, &call, self.now) {
            return Ok(token);
        }
        if !call.body.is_empty() {
            let length = call.body.len().to_string();
            call.headers.set("content-length", length);
        }
        call.id = self.calls.last_key_value().map_or(0, |(last, _)| last + 1);
        call.worker = vm;
        call.stream = self.stream(vm, context).map(|(id, _)| id);
        let (id, token) = (call.id, call.id as u32 + 1);
        let deadline = (!call.timeout.is_zero()).then(|| self.now + call.timeout.as_nanos() as u64);
        self.calls.insert(id, Made { call, token, deadline, asked: None, status: None });
        self.waiting.push(id);
        Ok(token)
    }

    /// A property by path; roots only see those of the process.
    pub(crate) fn property(&mut self, vm: usize, context: u32, path: &[String]) -> Answer<Vec<u8>> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let process = matches!(parts[..], ["plugin_name" | "plugin_root_id" | "plugin_vm_id"] | ["xds", "node", ..]);
        let common = self.properties.get(path).cloned();
        let Some((_, state)) = self.stream(vm, context) else {
            return common.filter(|_| process).ok_or(Status::NotFound);
        };
        if let Some(value) = state.properties.get(path) {
            return Ok(value.clone());
        }
        let headers = &state.request.headers;
        let header = |name: &str| headers.bytes(name).map(<[u8]>::to_vec);
        let number = |number: u64| Some(number.to_le_bytes().to_vec());
        let known = match parts[..] {
            ["request", "path"] => header(":path"),
            ["request", "url_path"] => {
                header(":path").map(|path| path.split(|byte| *byte == b'?').next().unwrap().to_vec())
            }
            ["request", "host"] => header(":authority"),
            ["request", "scheme"] => header(":scheme"),
            ["request", "method"] => header(":method"),
            ["request", "id"] => header("x-request-id"),
            ["request", "time"] => number(state.opened),
            ["request", "size"] => number(state.request.released.chunks.iter().map(|chunk| chunk.len() as u64).sum()),
            // Unlike the hostcall for one value, the property joins all of them.
            ["request", "headers", name] => {
                headers.has(name).then(|| headers.all(name).collect::<Vec<_>>().join(&b","[..]))
            }
            ["response", "code"] => {
                state.response.released.headers.as_ref().and_then(|headers| number(headers.status().into()))
            }
            ["response", "code_details"] => {
                Some(state.details.clone().into_bytes()).filter(|details| !details.is_empty())
            }
            [name] => state.state.get(name).cloned(),
            _ => None,
        };
        common.or(known).ok_or(Status::NotFound)
    }

    /// Stores filter state; only streams have any. Paths of several elements are stored but cannot be read back.
    pub(crate) fn remember(&mut self, vm: usize, context: u32, path: &[String], value: Vec<u8>) -> Answer {
        let (_, state) = self.stream(vm, context).ok_or(Status::NotFound)?;
        state.state.insert(path.join("\0"), value);
        Ok(())
    }

    fn reach(&mut self, vm: usize, context: u32, map: Map) -> Answer<&mut Headers> {
        if matches!(map, Map::CallHeaders | Map::CallTrailers) {
            let delivery = self.delivery.as_mut().filter(|delivery| delivery.vm == vm).ok_or(Status::BadArgument)?;
            return Ok(if map == Map::CallHeaders { &mut delivery.headers } else { &mut delivery.trailers });
        }
        let (_, state) = self.stream(vm, context).ok_or(Status::BadArgument)?;
        let flow = match map {
            Map::RequestHeaders | Map::RequestTrailers => &mut state.request,
            _ => &mut state.response,
        };
        // Once a callback continued, or the stream was resumed, Envoy takes the map away from the filter.
        let reached = match map {
            Map::RequestHeaders | Map::ResponseHeaders => flow.shown.then_some(&mut flow.headers),
            _ => flow.trailers.as_mut().filter(|_| flow.trailing),
        };
        reached.ok_or(Status::BadArgument)
    }

    fn logged(&mut self, vm: usize, context: u32, map: Map) -> Answer<&Headers> {
        let (_, state) = self.stream(vm, context).ok_or(Status::BadArgument)?;
        match map {
            Map::RequestHeaders if state.request.started => Ok(&state.request.headers),
            Map::ResponseHeaders => state.response.released.headers.as_ref().ok_or(Status::NotFound),
            Map::ResponseTrailers => state.response.released.trailers.as_ref().ok_or(Status::NotFound),
            _ => Err(Status::NotFound),
        }
    }

    fn body(&mut self, vm: usize, context: u32, way: Way) -> Answer<&mut Vec<u8>> {
        let (_, state) = self.stream(vm, context).ok_or(Status::NotFound)?;
        if state.closing {
            return Err(Status::NotFound);
        }
        state.flow(way).visible().ok_or(Status::NotFound)
    }
}

impl Call {
    /// What a guest asks for; the host fills in the rest.
    pub(crate) fn new(cluster: String, headers: Headers, body: Vec<u8>, timeout: Duration) -> Self {
        Self { id: 0, worker: 0, stream: None, cluster, headers, body, timeout }
    }
}

fn way(kind: i32) -> Answer<Way> {
    match kind {
        0 => Ok(Way::Request),
        1 => Ok(Way::Response),
        _ => Err(Status::BadArgument),
    }
}
