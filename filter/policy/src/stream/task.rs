//! Tasks: who started one is remembered when the answer tells of it, and asked when somebody wants it.

use super::{Effect, Gate, Held, State, Step, Stream, denied, flawed};
use crate::call::Call;
use crate::denial::{Denial, Reason};
use crate::sender::Bound;
use crate::tasks::{Key, Owner, Task, find};
use crate::time::Time;

/// Who is to own the tasks that an answer tells of.
#[derive(Debug)]
pub(super) struct Starter {
    server: String,
    owner: Owner,
    tool: String,
}

impl Starter {
    /// Whoever calls `tool` as `bound`.
    pub(super) fn new(server: &str, bound: &Bound, tool: &str) -> Self {
        Self { server: server.to_owned(), owner: Owner::of(bound), tool: tool.to_owned() }
    }

    /// The task of this identifier, which is theirs.
    pub(super) fn task(&self, id: &str) -> Task {
        Task::new(Key::new(&self.server, id), self.owner.clone(), &self.tool)
    }
}

/// A call about tasks, while it is asked who started them.
#[derive(Debug)]
pub(super) struct Recall {
    held: Held,
    bound: Bound,
    /// The body; none where the headers decide.
    body: Option<Vec<u8>>,
}

impl Stream {
    /// Asks who started the tasks that `call` is about.
    pub(super) fn recall(held: Held, bound: &Bound, call: &Call<'_>, body: Option<&[u8]>) -> Step {
        let keys = call.target.tasks().iter().map(|id| Key::new(&held.server, id).bucket()).collect();
        let recall = Recall { held, bound: bound.clone(), body: body.map(<[u8]>::to_vec) };
        Ok((State::Recalling(Box::new(recall)), vec![Effect::Recall(keys)]))
    }

    /// Goes on with what is remembered of the tasks.
    pub(super) fn recalled(&mut self, recall: Recall, buckets: &[Option<Vec<u8>>], gate: &mut Gate, now: Time) -> Step {
        let Recall { mut held, bound, body } = recall;
        let headers = held.request.headers.clone();
        let call = match &body {
            Some(body) => Call::read(&headers, body),
            None => Call::early(&headers),
        };
        let call = call.map_err(|flaw| flawed(flaw, &held.server))?;
        let owner = Owner::of(&bound);
        let started =
            call.target.tasks().iter().zip(buckets).map(|(id, bucket)| {
                find(bucket.as_deref().unwrap_or_default(), &Key::new(&held.server, id), &owner, now)
            });
        match started.collect::<Option<Vec<_>>>() {
            Some(tools) => {
                held.tasks = tools;
                self.decided(held, &bound, &call, gate)
            }
            None => {
                let note = "nobody is known to have started the task, or another has";
                Err(denied(Denial::new(Reason::TaskUnknown, note), &held.server, &call))
            }
        }
    }
}
