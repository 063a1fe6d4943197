//! The end of the process: told once, seen everywhere.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Whether the process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It finishes what it has begun, and begins nothing.
    Stopping,
}

/// The phase, shared.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<Phase>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Stop {
    /// Now it stops.
    pub fn begin(&self) {
        self.0.send_replace(Phase::Stopping);
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until it stops.
    pub async fn begun(&self) {
        // The sender is held here, so the wait ends with the phase and not before.
        self.0.subscribe().wait_for(|phase| *phase == Phase::Stopping).await.ok();
    }
}

/// What tells the process to stop: `SIGTERM` and `SIGINT`.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both signals over from the system, which would end the process at once.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
