//! The hostcalls of the ABI: arguments out of guest memory, one call into [`Host`], results back, a status code.
//!
//! A module that imports anything else does not instantiate, and the error names the import.

mod process;
mod stream;

use crate::abi::{Answer, Status, Window};
use crate::host::Host;
use crate::vm::Guest;
use std::cell::RefMut;
use wasmtime::{Caller, Linker, Result};

type Env<'a> = Caller<'a, Guest>;

const ENV: &str = "env";

/// Defines every hostcall.
pub(crate) fn link(linker: &mut Linker<Guest>) {
    process::link(linker).unwrap();
    stream::link(linker).unwrap();
    absent(linker).unwrap();
}

/// gRPC, which the filter does not use: the calls link and fail.
fn absent(linker: &mut Linker<Guest>) -> Result<()> {
    let failure = Status::InternalFailure as i32;
    linker.func_wrap(
        ENV,
        "proxy_grpc_call",
        move |_: Env<'_>,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32,
              _: i32| failure,
    )?;
    linker.func_wrap(
        ENV,
        "proxy_grpc_stream",
        move |_: Env<'_>, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32| failure,
    )?;
    linker.func_wrap(ENV, "proxy_grpc_send", move |_: Env<'_>, _: i32, _: i32, _: i32, _: i32| failure)?;
    linker.func_wrap(ENV, "proxy_grpc_cancel", move |_: Env<'_>, _: i32| failure)?;
    linker.func_wrap(ENV, "proxy_grpc_close", move |_: Env<'_>, _: i32| failure)?;
    Ok(())
}

/// One hostcall in progress.
struct Scope<'a, 'b> {
    window: Window<'a, 'b>,
    vm: usize,
    context: u32,
}

impl Scope<'_, '_> {
    fn host(&mut self) -> RefMut<'_, Host> {
        self.window.caller.data().host.borrow_mut()
    }
}

fn run(env: &mut Env<'_>, body: impl FnOnce(Scope<'_, '_>) -> Answer) -> Result<i32> {
    // Envoy restricts constructors to logging and WASI.
    if env.data().starting {
        return Err(wasmtime::format_err!("a hostcall was made before the VM had started"));
    }
    let (vm, context) = (env.data().vm, env.data().context());
    Ok(code(Window::open(env).and_then(|window| body(Scope { window, vm, context }))))
}

fn code(outcome: Answer) -> i32 {
    outcome.err().unwrap_or(Status::Ok) as i32
}
