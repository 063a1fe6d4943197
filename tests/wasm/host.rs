//! The fake Envoy itself, with guests written for the purpose: does it do what the real one was seen to do?

use harness::{Answer, End, Exception, Outcome, Proxy, Request, Response};
use std::time::Duration;

/// A guest from its callbacks. It has one page of memory, a bump allocator, and names at fixed places.
fn guest(callbacks: &str) -> Proxy {
    Proxy::builder().module(module(callbacks)).start()
}

fn module(callbacks: &str) -> String {
    format!(
        r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $resume (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $become (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 0) "x-mark" "broker" "yes" "no!")
  ;; A header map: 3 pairs, their lengths, then ":method" "POST" ":path" "/" ":authority" "b".
  (data (i32.const 64)
    "\03\00\00\00\07\00\00\00\04\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00"
    ":method\00POST\00:path\00/\00:authority\00b\00")
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (global.get $heap) (global.set $heap (i32.add (global.get $heap) (local.get 0))))
  ;; Logs one digit: the status of a hostcall, or a size below ten.
  (func $tell (param i32)
    (i32.store8 (i32.const 2048) (i32.add (i32.const 48) (local.get 0)))
    (drop (call $log (i32.const 2) (i32.const 2048) (i32.const 1))))
  ;; Sets x-mark to yes, and tells with which status.
  (func $mark (call $tell (call $set (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 12) (i32.const 3))))
  (func $ask (call $tell (call $call (i32.const 6) (i32.const 6) (i32.const 64) (i32.const 62)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 500) (i32.const 2052))))
  {callbacks})"#
    )
}

/// What `$tell` told, in order.
fn told(proxy: &Proxy) -> String {
    proxy.log().iter().map(|line| line.text.as_str()).collect()
}

/// Pauses the headers and calls the broker; the answer marks the request and resumes it.
const CREDENTIAL: &str = r#"
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $ask) (i32.const 1))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (call $tell (call $become (i32.const 2)))
    (call $mark)
    (call $tell (call $resume (i32.const 0)))
    (call $mark))"#;

const PAUSE_BODY: &str = r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))"#;

fn post() -> Request {
    Request::post("/").body("abcdef")
}

#[test]
fn request_headers_are_out_of_reach_after_resume() {
    let proxy = guest(&format!("{CREDENTIAL}{PAUSE_BODY}"));
    proxy.cluster("broker").always(Response::new(200));
    let exchange = proxy.run(post());
    assert_eq!(exchange.forwarded().headers.text("x-mark"), Some("yes"));
    assert_eq!(exchange.forwarded().body, b"abcdef");
    assert_eq!(told(&proxy), "00002", "the second mark comes after the resume");
}

#[test]
fn a_body_callback_that_continues_releases_the_held_request_without_its_credential() {
    let continues = r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let proxy = guest(&format!("{CREDENTIAL}{continues}"));
    proxy.allow(Exception::Fault);
    proxy.cluster("broker").always(Response::new(200));
    let exchange = proxy.run(post());
    assert!(!exchange.forwarded().headers.has("x-mark"));
    assert_eq!(told(&proxy), "00002", "the mark that came too late was accepted all the same");
    assert!(proxy.faults()[0].contains("after they had gone upstream"));
}

/// Pauses everything, and tells the size and the end of every body callback and a 9 for trailers.
const WATCH: &str = r#"
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
    (call $tell (local.get 1)) (call $tell (local.get 2)) (i32.const 1))
  (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $tell (i32.const 9)) (i32.const 1))"#;

#[test]
fn a_paused_body_grows_and_trailers_end_it() {
    let proxy = guest(WATCH);
    proxy.run(post().split_every(2).trailers());
    assert_eq!(told(&proxy), "2040609");
}

#[test]
fn the_end_of_an_http1_body_is_a_callback_of_its_own() {
    let proxy = guest(WATCH);
    proxy.run(post().http1());
    assert_eq!(told(&proxy), "6061");
}

#[test]
fn without_the_listener_flag_no_body_comes_before_resume() {
    let proxy = Proxy::builder().module(module(WATCH)).stop_all_on_headers().start();
    let exchange = proxy.run(post().trailers());
    assert_eq!(told(&proxy), "");
    assert!(matches!(exchange.outcome(), Outcome::Pending));
}

#[test]
fn a_body_beyond_the_buffer_is_answered_by_envoy() {
    let proxy = Proxy::builder().module(module(WATCH)).buffer_limit(4).start();
    let exchange = proxy.run(post().split_every(3));
    assert_eq!(exchange.replied().status, 413);
    assert_eq!(told(&proxy), "30", "the filter never sees the frame that was too much");
    assert!(exchange.upstream().is_none() && exchange.over());
}

#[test]
fn the_answer_to_a_call_does_not_revive_a_stream_that_is_gone() {
    let proxy = guest(&format!("{CREDENTIAL}{PAUSE_BODY}"));
    proxy.allow(Exception::Fault);
    proxy.cluster("broker").always(Response::new(200));
    let mut exchange = proxy.send(post());
    exchange.abort();
    proxy.settle();
    assert!(matches!(exchange.outcome(), Outcome::Aborted));
    assert_eq!(told(&proxy), "02202", "no such context, no headers, a resume that does nothing, no headers");
    assert!(proxy.faults()[0].starts_with("late forwarding"));
}

#[test]
fn a_call_to_an_unknown_cluster_is_refused_at_once() {
    let proxy = guest(&format!("{CREDENTIAL}{PAUSE_BODY}"));
    proxy.run(post());
    assert_eq!(told(&proxy), "2");
}

#[test]
fn a_call_without_answer_times_out_on_the_virtual_clock() {
    let watch = r#"
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $ask) (i32.const 1))
      (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $tell (local.get 2)))"#;
    let proxy = guest(watch);
    proxy.cluster("broker").hold();
    proxy.run(Request::fetch("/"));
    proxy.advance(Duration::from_millis(499));
    assert_eq!(told(&proxy), "0");
    proxy.advance(Duration::from_millis(1));
    assert_eq!(told(&proxy), "03", "a timeout looks like a response of the peer");

    proxy.run(Request::fetch("/"));
    proxy.answer(proxy.waiting()[0].id, Answer::Reset);
    assert_eq!(told(&proxy), "0300", "a reset has no headers at all");
}

#[test]
fn a_local_reply_passes_the_response_callbacks_and_nothing_goes_upstream() {
    let replies = r#"
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 15) (i32.const 3)
          (i32.const 0) (i32.const 0) (i32.const -1)))
      (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $tell (i32.const 1)) (i32.const 0))
      (func (export "proxy_on_log") (param i32) (call $tell (i32.const 7)))
      (func (export "proxy_on_done") (param i32) (result i32) (call $tell (i32.const 8)) (i32.const 1))
      (func (export "proxy_on_delete") (param i32) (call $tell (i32.const 9)))"#;
    let proxy = guest(replies);
    let exchange = proxy.run(post());
    assert_eq!((exchange.replied().status, exchange.replied().text()), (403, "no!"));
    assert!(exchange.upstream().is_none());
    assert_eq!(told(&proxy), "1789");
}

#[test]
fn a_trap_fails_its_stream_and_the_worker_but_not_the_others() {
    let traps = r#"
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
      (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (unreachable))"#;
    let proxy = Proxy::builder().module(module(traps)).workers(2).start();
    proxy.allow(Exception::Trap);
    let first = proxy.send(post());
    assert!(matches!(first.outcome(), Outcome::Trapped));
    assert_eq!(first.reply().unwrap().status, 503);
    assert!(matches!(proxy.send(Request::fetch("/")).outcome(), Outcome::Trapped));
    proxy.send_on(1, Request::fetch("/")).forwarded();
    proxy.reload(0);
    proxy.send(Request::fetch("/")).forwarded();
}

#[test]
#[should_panic(expected = "the client's token went upstream")]
fn a_token_that_goes_upstream_fails_the_test() {
    guest("").run(Request::fetch("/").bearer("aaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbb.cccccccccccc"));
}

#[test]
fn a_response_streams_to_the_client_frame_by_frame() {
    let proxy = guest("");
    let mut stream = proxy.send(Request::fetch("/"));
    stream.respond_headers(&[(":status", "200")], End::No).respond_body("data: 1\n\n", End::No);
    assert_eq!(stream.reply().unwrap().chunks, [b"data: 1\n\n"]);
    assert!(!stream.over());
    stream.respond_body("", End::Yes);
    assert!(stream.over() && stream.reply().unwrap().complete);
}

#[test]
fn ticks_come_when_they_are_due_on_every_vm() {
    let ticks = r#"
      (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $tick (i32.const 1000))) (i32.const 1))
      (func (export "proxy_on_tick") (param i32) (call $tell (i32.const 1)))"#;
    let proxy = Proxy::builder().module(module(ticks)).main_thread().start();
    proxy.advance(Duration::from_millis(2500));
    assert_eq!(told(&proxy), "1111");
}

#[test]
fn a_configuration_the_guest_refuses_does_not_start() {
    let refuses =
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (call $tell (i32.const 5)) (i32.const 0))"#;
    let refused = Proxy::builder().module(module(refuses)).try_start().err().unwrap();
    assert_eq!(refused.log[0], "5");
}

#[test]
#[should_panic(expected = "unknown import: `env::proxy_of_the_future`")]
fn a_hostcall_nobody_knows_fails_by_its_name() {
    Proxy::builder().module(r#"(module (import "env" "proxy_of_the_future" (func)))"#).start();
}
