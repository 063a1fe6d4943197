//! The way to a place outside. What was signed here is carried there from memory: whoever can write the table could say of it
//! that it has been brought.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{self, Notify};

use super::sign::Outside;

/// How many notes wait in memory; older ones have the table alone.
const MOST: usize = 1024;

/// How many are brought at once.
pub const BATCH: usize = 64;

/// A place outside.
#[derive(Debug)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A URL.
    Url(String),
}

/// A signed note, and where it lies in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its chain.
    pub chain: String,
    /// The position it speaks of.
    pub position: i64,
    /// Itself.
    pub text: String,
}

/// What goes to one place.
pub struct Route {
    /// Where to.
    pub place: Place,
    fresh: Mutex<VecDeque<Note>>,
    /// Tells who carries.
    pub news: Notify,
    /// Whose turn it is to carry.
    pub turn: sync::Mutex<()>,
}

impl Route {
    /// The ways to all places there are.
    pub fn to(outside: &Outside) -> Vec<Arc<Self>> {
        let file = outside.file.clone().map(Place::File);
        let url = outside.url.clone().map(Place::Url);
        file.into_iter().chain(url).map(|place| Arc::new(Self::new(place))).collect()
    }

    fn new(place: Place) -> Self {
        Self { place, fresh: Mutex::default(), news: Notify::new(), turn: sync::Mutex::default() }
    }

    /// Takes what was signed now.
    pub fn take(&self, note: Note) {
        let mut fresh = self.lock();
        fresh.push_back(note);
        let surplus = fresh.len().saturating_sub(MOST);
        fresh.drain(..surplus);
        self.news.notify_one();
    }

    /// What was signed here and is not there yet, the oldest first.
    pub fn fresh(&self) -> Vec<Note> {
        self.lock().iter().take(BATCH).cloned().collect()
    }

    /// It is there.
    pub fn brought(&self, note: &Note) {
        self.lock().retain(|fresh| fresh != note);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Note>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_has_a_bound_and_the_newest_is_kept() {
        let route = Route::new(Place::Url(String::new()));
        let note = |position| Note { chain: "c".into(), position, text: String::new() };
        (0..2000).for_each(|position| route.take(note(position)));
        assert_eq!(route.fresh().first(), Some(&note(976)));
        (0..1999).for_each(|position| route.brought(&note(position)));
        assert_eq!(route.fresh(), [note(1999)]);
    }
}
