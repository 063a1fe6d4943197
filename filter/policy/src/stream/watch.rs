//! The answer to a call while it streams past: nothing of it is held for what is learned from it.

use super::answer::Onward;
use super::task::Starter;
use super::{Effect, Input, State, Stream};
use crate::call::{Call, Target};
use crate::headers::{Headers, Sole};
use crate::policy::{Protocol, Server};
use crate::sender::Bound;
use crate::watch::{Told, Watch};

/// Looks into the answer to one call of a tool.
#[derive(Debug)]
pub(super) struct Watcher {
    watch: Watch,
    starter: Option<Starter>,
}

impl Watcher {
    /// For the answer to `call`, if that is one of an MCP tool.
    pub(super) fn of(call: &Call<'_>, server: &Server, bound: &Bound) -> Option<Box<Self>> {
        let Target::Tool(tool) = &call.target else { return None };
        let starter = call.tasks.then(|| Starter::new(&server.name, bound, tool));
        matches!(server.protocol, Protocol::Mcp).then(|| Box::new(Self { watch: Watch::default(), starter }))
    }

    /// Whether it can read an answer with these headers.
    pub(super) fn reads(headers: &Headers) -> bool {
        let Sole::One(kind) = headers.sole("content-type") else { return false };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let known = ["application/json", "text/event-stream"].iter().any(|known| kind.eq_ignore_ascii_case(known));
        known && !headers.has("content-encoding")
    }
}

impl Stream {
    /// Looks into a part of the answer, which goes on at once.
    pub(super) fn watched(&mut self, mut watcher: Box<Watcher>, input: &Input<'_>) -> (State, Vec<Effect>) {
        let effects = match input {
            Input::AnswerGrown { size, .. } => vec![Effect::ReadAnswer(*size)],
            Input::Answer(Some(bytes)) => {
                let told = watcher.watch.push(bytes).into_iter();
                told.filter_map(|told| self.learn(told, watcher.starter.as_ref())).collect()
            }
            _ => Vec::new(),
        };
        // The rest costs nothing once it can tell nothing.
        let known = watcher.starter.is_none() && self.story.knows();
        match known || watcher.watch.over() {
            true => (State::Forwarded(Onward::default()), effects),
            false => (State::Watching(watcher), effects),
        }
    }

    fn learn(&mut self, told: Told, starter: Option<&Starter>) -> Option<Effect> {
        match told {
            Told::Done => self.story.ran(false),
            Told::Failed => self.story.ran(true),
            Told::Task(id) => return starter.map(|starter| Effect::Remember(starter.task(&id))),
        }
        None
    }
}
