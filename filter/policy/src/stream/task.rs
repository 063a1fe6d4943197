//! Tasks: who started one is remembered when the answer tells of it, and asked when somebody wants it.

use super::{Effect, Gate, Held, Input, State, Step, Stream, denied, flawed};
use crate::call::{Call, Target};
use crate::denial::{Denial, Reason};
use crate::sender::Bound;
use crate::tasks::{Key, Owner, Task, Watch, find};
use crate::time::Time;

/// Who is to own the tasks that an answer tells of.
#[derive(Debug)]
pub(super) struct Starter {
    watch: Watch,
    server: String,
    owner: Owner,
    tool: String,
}

impl Starter {
    /// The starter of the tasks `call` may leave running.
    pub(super) fn of(call: &Call<'_>, server: &str, bound: &Bound) -> Option<Box<Self>> {
        let Target::Tool(tool) = &call.target else { return None };
        let (server, tool) = (server.to_owned(), tool.clone().into_owned());
        call.tasks.then(|| Box::new(Self { watch: Watch::default(), server, owner: Owner::of(bound), tool }))
    }

    /// Looks into a part of the answer, which goes on at once.
    fn look(&mut self, bytes: &[u8]) -> Vec<Effect> {
        let told = self.watch.push(bytes).into_iter();
        told.map(|id| {
            let key = Key::new(&self.server, &id);
            Effect::Remember(Task::new(key, self.owner.clone(), &self.tool))
        })
        .collect()
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

    /// Looks into an answer that may tell of a task.
    pub(super) fn watched(mut starter: Box<Starter>, input: &Input<'_>) -> (State, Vec<Effect>) {
        let effects = match input {
            Input::AnswerGrown { size, .. } => vec![Effect::ReadAnswer(*size)],
            Input::Answer(Some(bytes)) => starter.look(bytes),
            _ => Vec::new(),
        };
        (State::Watching(starter), effects)
    }
}
