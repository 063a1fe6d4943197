//! Every request through the core alone.

use super::case::{Case, Verdict, cases};
use super::{SESSION_KEY, policy, token};
use accredit_policy::feed::Feed;
use accredit_policy::headers::Headers;
use accredit_policy::nonce::Nonce;
use accredit_policy::session::Sessions;
use accredit_policy::stream::{Effect, Gate, Input, Stream};
use accredit_policy::token::Prover;
use accredit_policy::wire::audit::Proxy;
use accredit_policy::{Policy, Secret, Time, config};
use harness::START;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long one request may keep a worker, in its own time and without optimisation.
const BOUND: Duration = Duration::from_secs(2);

#[test]
fn every_request_is_judged_as_expected_and_in_time() {
    let policy = config::read(policy()).unwrap();
    let token = token();
    let mut wrong = Vec::new();
    for case in cases() {
        let Some(expected) = &case.verdict else { continue };
        let before = worked();
        let got = judge(&case, &policy, &token);
        let took = worked().saturating_sub(before);
        if got != *expected || took > BOUND {
            wrong.push(format!("{}: {}: {got:?} in {took:?}, expected {expected:?}", case.topic, case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(case: &Case, policy: &Policy, token: &str) -> Verdict {
    let means = (Nonce::new([5; 32]), Sessions::written(&Secret::new(SESSION_KEY)).unwrap(), Feed::offline());
    let proxy = Proxy { node: "test".into(), worker: None };
    let mut gate = Gate::new(policy.clone(), Prover::default(), means, Secret::default(), proxy);
    let mut stream = Stream::default();
    let now = Time::from_seconds(START);
    let (pieces, trailing) = (case.pieces(), !case.trailers.is_empty());
    let headers =
        Input::Headers { headers: headers(case, token), last: pieces.is_empty() && !trailing, random: [7; 16] };
    let mut effects = stream.handle(headers, &mut gate, now);
    let mut body = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        body.extend_from_slice(piece);
        let last = !trailing && place + 1 == pieces.len();
        effects.extend(stream.handle(Input::Grown { size: body.len(), last }, &mut gate, now));
    }
    if trailing {
        effects.extend(stream.handle(Input::Trailers, &mut gate, now));
    }
    if effects.iter().any(|effect| matches!(effect, Effect::ReadBody(_))) {
        effects.extend(stream.handle(Input::Body(Some(&body)), &mut gate, now));
    }
    if let Some(Effect::Recall(buckets)) = effects.last() {
        // Nobody has started a task.
        let buckets = vec![None; buckets.len()];
        effects.extend(stream.handle(Input::Recalled(buckets), &mut gate, now));
    }
    let edits = effects.iter().find_map(|effect| if let Effect::Forward(edits) = effect { Some(edits) } else { None });
    assert_eq!(edits.is_some(), !stream.holds());
    if let Some(edits) = edits {
        let lines = case.lines(token).into_iter().map(|(name, _)| name.to_ascii_lowercase());
        let kept: Vec<_> = lines.filter(|name| !edits.remove.contains(name)).collect();
        assert!(!case.leaks(kept.iter().map(String::as_str)), "{}: goes upstream with {kept:?}", case.name);
    }
    let reply = effects.iter().find_map(|effect| if let Effect::Reply(reply) = effect { Some(reply) } else { None });
    match (edits, reply) {
        (Some(_), None) => {
            let record = stream.record();
            Verdict::Permit(record.method.clone().expect("what is permitted has a method"), record.tool.clone())
        }
        (None, Some(reply)) => Verdict::of(reply.status, reply.body.as_bytes()),
        _ => panic!("{}: neither one nor the other: {effects:?}", case.name),
    }
}

fn headers(case: &Case, token: &str) -> Headers {
    let pseudo = [(":method", case.method.clone()), (":authority", case.host.clone()), (":path", case.path(token))];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.into_bytes()));
    let lines = case.lines(token).into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    Headers::new(pseudo.into_iter().chain(lines))
}

fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
