//! The broker's feed of revocations. Every proxy has one; it knows of nothing until the test says so, and its calls are not
//! among those a test sees of the broker's cluster.

use crate::cluster::{Call, Delivery};
use crate::machine::Core;
use crate::request::Response;
use serde_json::{Value, json};
use std::rc::Rc;

/// Tokens of its calls, beyond those of all others.
const TOKENS: u32 = 1 << 30;

/// What the feed knows, and who waits for more.
pub(crate) struct State {
    changes: Vec<Value>,
    history: u32,
    asked: u32,
    answer: Mood,
    polls: Vec<Poll>,
    questions: Vec<String>,
}

/// How it answers.
#[derive(Clone, Debug)]
enum Mood {
    Told,
    Refused,
    Silent,
    Body(String),
}

struct Poll {
    vm: usize,
    token: u32,
    after: usize,
    mark: String,
    /// When it has been held for long enough, and when the filter has waited for long enough.
    due: u64,
    deadline: u64,
}

/// The feed in the hands of a test.
pub struct Feed {
    pub(crate) core: Rc<Core>,
}

impl Feed {
    /// Revokes a target, such as `{"kind":"agent", …}`.
    pub fn revoke(&self, target: Value) {
        self.change(json!({ "target": target }));
    }

    /// Revokes the tokens of a target that were issued before then.
    pub fn revoke_before(&self, target: Value, before: u64) {
        self.change(json!({ "target": target, "before": before }));
    }

    /// Lifts it.
    pub fn lift(&self, target: Value) {
        self.change(json!({ "target": target, "lifts": true }));
    }

    /// Puts another history in the place of the one there is, as a restored backup does.
    pub fn restore(&self, targets: &[Value]) {
        self.with(|state| {
            state.history += 1;
            state.changes.clear();
        });
        targets.iter().for_each(|target| self.revoke(target.clone()));
    }

    /// Refuses every question from now on, also those that wait.
    pub fn refuse(&self) {
        self.with(|state| state.answer = Mood::Refused);
    }

    /// Answers no question from now on.
    pub fn hush(&self) {
        self.with(|state| state.answer = Mood::Silent);
    }

    /// Answers every question with this body.
    pub fn say(&self, body: &str) {
        self.with(|state| state.answer = Mood::Body(body.to_owned()));
    }

    /// Answers as it should again.
    pub fn recover(&self) {
        self.with(|state| state.answer = Mood::Told);
    }

    /// Every question so far, as its `:path`.
    pub fn questions(&self) -> Vec<String> {
        self.with(|state| state.questions.clone())
    }

    fn change(&self, mut change: Value) {
        self.with(|state| {
            change["seq"] = json!(state.changes.len() + 1);
            state.changes.push(change);
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.core.host.borrow_mut().feed)
    }
}

impl Default for State {
    fn default() -> Self {
        let (changes, polls, questions) = (Vec::new(), Vec::new(), Vec::new());
        Self { changes, history: 1, asked: 0, answer: Mood::Told, polls, questions }
    }
}

impl State {
    /// Takes a question, if it is one.
    pub(crate) fn ask(&mut self, vm: usize, call: &Call, now: u64) -> Option<u32> {
        let (_, query) = call.path().split_once("/v1/revocations?")?;
        let part = |name: &str| {
            let parts = query.split('&').filter_map(|part| part.split_once('='));
            parts.filter(|(other, _)| *other == name).map(|(_, value)| value.to_owned()).next()
        };
        let wait: u64 = part("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()).expect("a time to wait");
        let after = part("after").and_then(|after| after.parse().ok()).expect("a number to go on after");
        self.asked += 1;
        let token = TOKENS + self.asked;
        let (due, deadline) = (now + wait * 1_000_000, now + call.timeout.as_nanos() as u64);
        self.polls.push(Poll { vm, token, after, mark: part("mark").unwrap_or_default(), due, deadline });
        self.questions.push(call.path().to_owned());
        Some(token)
    }

    /// The next answer that is ready at `now`, whom it is for, and under which token.
    pub(crate) fn ready(&mut self, now: u64) -> Option<(usize, u32, Delivery)> {
        let place = self.polls.iter().position(|poll| self.when(poll) <= now)?;
        let poll = self.polls.remove(place);
        let response = match &self.answer {
            _ if poll.deadline <= now && poll.deadline <= poll.due => Response::new(504),
            Mood::Silent => Response::new(504),
            Mood::Refused => Response::new(503),
            Mood::Body(body) => Response::new(200).header("content-type", "application/json").body(body),
            Mood::Told => Response::json(200, &self.page(&poll)),
        };
        let delivery = Delivery::of(poll.vm, &response.into()).expect("a response is an answer");
        Some((poll.vm, poll.token, delivery))
    }

    /// When the next answer is due.
    pub(crate) fn due(&self) -> Option<u64> {
        self.polls.iter().map(|poll| self.when(poll)).min()
    }

    fn when(&self, poll: &Poll) -> u64 {
        match self.answer {
            Mood::Silent => poll.deadline,
            Mood::Refused | Mood::Body(_) => 0,
            Mood::Told if self.follows(poll) && poll.after == self.changes.len() => poll.due,
            Mood::Told => 0,
        }
    }

    fn follows(&self, poll: &Poll) -> bool {
        poll.after <= self.changes.len() && poll.mark == self.mark(poll.after)
    }

    fn page(&self, poll: &Poll) -> Value {
        let follows = self.follows(poll);
        let from = if follows { poll.after } else { 0 };
        json!({
            "after": from, "seq": self.changes.len(), "mark": self.mark(self.changes.len()),
            "reset": !follows, "changes": &self.changes[from..],
        })
    }

    fn mark(&self, seq: usize) -> String {
        format!("{}-{seq}", self.history)
    }
}
