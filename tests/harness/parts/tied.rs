//! Children that end when this process does, however it ends: what a static holds is never dropped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, mpsc};
use std::{io, mem, thread};

use rustix::process::Signal;

use crate::stack::Process;

/// An account of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// A command that the kernel sends `signal` when this process ends, run as `account` where one is given.
pub(super) fn command(program: &Path, signal: &str, account: Option<Account>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if let Some(Account { user, group }) = account {
        command.args(["--clear-groups", &format!("--reuid={user}"), &format!("--regid={group}")]);
    }
    command.arg(program);
    command
}

/// Starts such a command; both its outputs are appended to `dir/<name>.log`.
pub(super) fn spawn(name: &'static str, mut command: Command, dir: &Path, end: Signal) -> Process {
    Process::spawn_by(name, &mut command, dir, end, |command| fork(mem::replace(command, Command::new("true"))))
}

/// The kernel takes the end of the thread that forked for the end of the parent, and a test's thread ends with the
/// test: one thread forks for all and never ends.
fn fork(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || taken.iter().for_each(|(mut command, reply)| drop(reply.send(command.spawn()))));
        Mutex::new(orders)
    });
    let (reply, child) = mpsc::channel();
    let ordered = ORDERS.lock().expect("nobody panics while holding it").send((command, reply));
    ordered.expect("the thread never ends");
    child.recv().expect("every order is answered")
}

/// The account of that name.
pub(super) fn account(name: &str) -> Option<Account> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let of = |line: &str| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        let mut number = |skipped| fields.nth(skipped).and_then(|text| text.parse().ok());
        found.then(|| Some(Account { user: number(1)?, group: number(0)? }))?
    };
    accounts.lines().find_map(of)
}
