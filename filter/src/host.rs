//! The only file that calls the host.
//!
//! The SDK's own wrappers panic on a status they do not expect and on header bytes that are no UTF-8; either would
//! let a peer or a host take the VM down. These do not: every status that is not `Ok` becomes [`HostError`].
//! Callouts go through the SDK all the same, since it keeps the table of who waits for which answer.

#![expect(unsafe_code, reason = "the host's functions take pointers")]

mod kind;

use std::ptr::{null, null_mut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accredit_policy::fetch::Fetch;
use accredit_policy::headers::Headers;
use accredit_policy::reply::Reply;
use accredit_policy::stream::Post;
use accredit_policy::token::native::{self, Question, Verdict};
use accredit_policy::{Secret, Time};
use log::LevelFilter;
use proxy_wasm::hostcalls;

use crate::pairs;
pub(crate) use kind::{Buffer, HostError, Map, Metric};

type Host<T> = Result<T, HostError>;

mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
        pub(super) fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            most: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_buffer_bytes(
            buffer: u32,
            start: usize,
            most: usize,
            data: *const u8,
            size: usize,
        ) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize)
        -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc: i32,
        ) -> u32;
        pub(super) fn proxy_get_log_level(level: *mut u32) -> u32;
        pub(super) fn proxy_continue_stream(stream: u32) -> u32;
        pub(super) fn proxy_close_stream(stream: u32) -> u32;
        pub(super) fn proxy_done() -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
        pub(super) fn proxy_register_shared_queue(name: *const u8, name_size: usize, queue: *mut u32) -> u32;
        pub(super) fn proxy_enqueue_shared_queue(queue: u32, data: *const u8, size: usize) -> u32;
        pub(super) fn proxy_dequeue_shared_queue(queue: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, metric: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(metric: u32, offset: i64) -> u32;
        pub(super) fn proxy_record_metric(metric: u32, value: u64) -> u32;
        pub(super) fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            argument: *const u8,
            argument_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            version: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            version: u32,
        ) -> u32;
    }
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn random_get(data: *mut u8, size: usize) -> u16;
    }
}

/// The time of day.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Random bytes of the host, fit for names; see [`secret`] for what has to be unknown to others.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: the host writes `size` bytes at most, and the array has that many.
    unsafe { raw::random_get(bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

/// Random bytes that nobody else knows; an error when the host has none.
pub(crate) fn secret<const N: usize>() -> Host<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the host writes `size` bytes at most, and the array has that many.
    done(u32::from(unsafe { raw::random_get(bytes.as_mut_ptr(), bytes.len()) }))?;
    Ok(bytes)
}

/// The level from which on the host writes lines: from `trace`, 0, to `critical`, 5.
pub(crate) fn log_level() -> LevelFilter {
    let mut level = 0;
    // SAFETY: the pointer is to a local.
    match done(unsafe { raw::proxy_get_log_level(&raw mut level) }).map(|()| level) {
        Ok(2) => LevelFilter::Info,
        Ok(3) => LevelFilter::Warn,
        Ok(4..) => LevelFilter::Error,
        Ok(_) | Err(_) => LevelFilter::Debug,
    }
}

/// The environment variable that the operator lets through to the VM.
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All headers of a map.
pub(crate) fn headers(map: Map) -> Host<Headers> {
    // SAFETY: both pointers are to locals of the right type.
    let bytes = take(|data, size| unsafe { raw::proxy_get_header_map_pairs(map as u32, data, size) })?;
    pairs::read(&bytes).ok_or(HostError(u32::MAX))
}

/// The first value of one header; `None` when there is none or it is no text.
pub(crate) fn header(map: Map, name: &str) -> Option<String> {
    let (text, length) = (name.as_ptr(), name.len());
    // SAFETY: the name outlives the call, the other pointers are to locals.
    let bytes = take(|data, size| unsafe { raw::proxy_get_header_map_value(map as u32, text, length, data, size) });
    String::from_utf8(bytes.ok()?).ok().filter(|value| !value.is_empty())
}

/// Removes all lines of one header.
pub(crate) fn remove(map: Map, name: &str) -> Host<()> {
    // SAFETY: the name outlives the call.
    done(unsafe { raw::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// Adds one line. The caller has removed those there were.
pub(crate) fn add(map: Map, name: &str, value: &Secret) -> Host<()> {
    let value = value.reveal();
    let (name, name_size) = (name.as_ptr(), name.len());
    // SAFETY: name and value outlive the call.
    done(unsafe { raw::proxy_add_header_map_value(map as u32, name, name_size, value.as_ptr(), value.len()) })
}

/// The first `most` bytes of a buffer.
pub(crate) fn buffer(buffer: Buffer, most: usize) -> Host<Vec<u8>> {
    // SAFETY: both pointers are to locals of the right type.
    take(|data, size| unsafe { raw::proxy_get_buffer_bytes(buffer as u32, 0, most, data, size) })
}

/// Puts `bytes` in the place of all there are in a buffer.
pub(crate) fn replace(buffer: Buffer, bytes: &[u8]) -> Host<()> {
    let all = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
    // SAFETY: the bytes outlive the call.
    done(unsafe { raw::proxy_set_buffer_bytes(buffer as u32, 0, all, bytes.as_ptr(), bytes.len()) })
}

/// A property by its path; its bytes mean what the host's documentation says.
pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    // SAFETY: the path outlives the call, the other pointers are to locals.
    take(|data, size| unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// Sets the filter state `wasm.NAME` of the effective stream.
pub(crate) fn note(name: &str, value: &str) {
    let (path, path_size) = (name.as_ptr(), name.len());
    // SAFETY: name and value outlive the call.
    let status = unsafe { raw::proxy_set_property(path, path_size, value.as_ptr(), value.len()) };
    if let Err(error) = done(status) {
        log::debug!("`{name}` was not shown to the access log: {error}");
    }
}

/// Has Envoy check a signature; `None` when this host does not know how.
pub(crate) fn verify(question: &Question<'_>) -> Option<Verdict> {
    let (name, argument) = (native::FUNCTION, native::argument(question));
    let (name, name_size, given, given_size) = (name.as_ptr(), name.len(), argument.as_ptr(), argument.len());
    // SAFETY: name and argument outlive the call, the other pointers are to locals.
    let result =
        take(|data, size| unsafe { raw::proxy_call_foreign_function(name, name_size, given, given_size, data, size) });
    native::result(&result.ok()?)
}

/// What all workers of the process share under `key`, and its version.
pub(crate) fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let mut version = 0;
    let (name, length) = (key.as_ptr(), key.len());
    // SAFETY: the key outlives the call, the other pointers are to locals.
    let value = take(|data, size| unsafe { raw::proxy_get_shared_data(name, length, data, size, &raw mut version) });
    Some((value.ok()?, version))
}

/// Shares `value` under `key`, unless someone has changed it since `version`; version 0 asks for no check.
pub(crate) fn share(key: &str, value: &[u8], version: u32) -> Host<()> {
    let (key, key_size) = (key.as_ptr(), key.len());
    // SAFETY: key and value outlive the call.
    done(unsafe { raw::proxy_set_shared_data(key, key_size, value.as_ptr(), value.len(), version) })
}

/// Answers the client in place of the upstream.
pub(crate) fn reply(reply: &Reply) -> Host<()> {
    let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let headers = pairs::write(&headers);
    let (body, body_size) = (reply.body.as_ptr(), reply.body.len());
    let status = u32::from(reply.status);
    // SAFETY: body and headers outlive the call; there are no details, and -1 says that there is no gRPC status.
    done(unsafe {
        raw::proxy_send_local_response(status, null(), 0, body, body_size, headers.as_ptr(), headers.len(), -1)
    })
}

/// Lets the held request go upstream.
pub(crate) fn resume() -> Host<()> {
    // SAFETY: no pointers; 0 is the request of the effective context.
    done(unsafe { raw::proxy_continue_stream(0) })
}

/// Breaks the effective stream off, request and answer.
pub(crate) fn reset() -> Host<()> {
    // SAFETY: no pointers; 0 is the request of the effective context.
    done(unsafe { raw::proxy_close_stream(0) })
}

/// Lets the host forget the root context, which had asked it to wait.
pub(crate) fn done_with() {
    // SAFETY: no pointers.
    if let Err(error) = done(unsafe { raw::proxy_done() }) {
        log::debug!("the host does not wait for the plugin: {error}");
    }
}

/// Makes the following calls be about the stream `context`; fails when it is gone.
pub(crate) fn enter(context: u32) -> Host<()> {
    // SAFETY: no pointers.
    done(unsafe { raw::proxy_set_effective_context(context) })
}

/// Posts to a cluster; the answer comes to the context that calls.
pub(crate) fn post(post: &Post) -> Host<u32> {
    let headers = post.headers.iter().map(|(name, value)| (*name, value.reveal())).collect();
    let body = Some(post.body.reveal().as_bytes());
    hostcalls::dispatch_http_call(&post.cluster, headers, body, Vec::new(), post.timeout)
        .map_err(|status| HostError(status as u32))
}

/// Gets a document from a cluster; the answer comes to the context that calls.
pub(crate) fn fetch(fetch: &Fetch) -> Host<u32> {
    let mut headers = vec![
        (":method", "GET"),
        (":path", fetch.path.as_str()),
        (":authority", fetch.authority.as_str()),
        ("accept", fetch.accept),
    ];
    headers.extend(fetch.authorization.as_ref().map(|value| ("authorization", value.reveal())));
    hostcalls::dispatch_http_call(&fetch.cluster, headers, None, Vec::new(), fetch.patience)
        .map_err(|status| HostError(status as u32))
}

/// Opens a queue whose arrivals come to the root context of this VM.
pub(crate) fn open_queue(name: &str) -> Host<u32> {
    let mut queue = 0;
    // SAFETY: the name outlives the call, the other pointer is to a local.
    done(unsafe { raw::proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut queue) })?;
    Ok(queue)
}

/// Calls the root context: its `on_queue_ready` runs next on this thread.
pub(crate) fn ring(queue: u32) -> Host<()> {
    let bell = [1_u8];
    // SAFETY: the byte outlives the call.
    done(unsafe { raw::proxy_enqueue_shared_queue(queue, bell.as_ptr(), bell.len()) })
}

/// Takes all rings out of the queue.
pub(crate) fn silence(queue: u32) {
    // SAFETY: both pointers are to locals of the right type.
    while take(|data, size| unsafe { raw::proxy_dequeue_shared_queue(queue, data, size) }).is_ok() {}
}

/// How often `on_tick` runs.
pub(crate) fn tick_every(period: Duration) -> Host<()> {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointers.
    done(unsafe { raw::proxy_set_tick_period_milliseconds(millis) })
}

/// The metric of that name, shared with all VMs of the process.
pub(crate) fn metric(kind: Metric, name: &str) -> Host<u32> {
    let mut metric = 0;
    // SAFETY: the name outlives the call, the other pointer is to a local.
    done(unsafe { raw::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut metric) })?;
    Ok(metric)
}

/// Adds to a counter, or moves a gauge up or down.
pub(crate) fn count(metric: u32, by: i64) -> Host<()> {
    // SAFETY: no pointers.
    done(unsafe { raw::proxy_increment_metric(metric, by) })
}

/// Sets a gauge.
pub(crate) fn record(metric: u32, value: u64) -> Host<()> {
    // SAFETY: no pointers.
    done(unsafe { raw::proxy_record_metric(metric, value) })
}

fn done(status: u32) -> Host<()> {
    if status == 0 { Ok(()) } else { Err(HostError(status)) }
}

/// Takes over bytes the host has put into our memory.
fn take(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Host<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    done(call(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host got the memory from the SDK's `proxy_on_memory_allocate`, a boxed slice of `size` bytes, and
    // gives it away.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}
