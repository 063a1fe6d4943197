//! The part of WASI preview 1 that Envoy offers: output becomes log lines, time is the virtual clock, randomness is
//! seeded per VM, and there are no files.

use crate::vm::Guest;
use wasmtime::{Caller, Extern, ExternType, Linker, Memory, Module, Result, Val, ValType, bail, format_err};

const MODULE: &str = "wasi_snapshot_preview1";
const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const INVALID: i32 = 28;
const UNSUPPORTED: i32 = 58;

/// Defines the WASI imports of `module`: the ones with a meaning, and stubs for the file and socket calls Envoy stubs too.
pub(crate) fn link(linker: &mut Linker<Guest>, module: &Module) {
    define(linker).unwrap();
    for import in module.imports().filter(|import| import.module() == MODULE) {
        let Some(code) = stub(import.name()) else { continue };
        let ExternType::Func(signature) = import.ty() else { continue };
        let results: Vec<ValType> = signature.results().collect();
        linker
            .func_new(MODULE, import.name(), signature, move |_, _, out| {
                out.iter_mut().zip(&results).for_each(|(slot, _)| *slot = Val::I32(code));
                Ok(())
            })
            .unwrap();
    }
}

/// What the calls without a meaning answer; `None` for a name this is not one of.
fn stub(name: &str) -> Option<i32> {
    match name {
        "poll_oneoff" | "sched_yield" => Some(SUCCESS),
        "fd_close"
        | "fd_fdstat_get"
        | "fd_filestat_get"
        | "fd_prestat_get"
        | "fd_prestat_dir_name"
        | "fd_read"
        | "fd_seek" => Some(BAD_DESCRIPTOR),
        name if name.starts_with("path_") || name.starts_with("sock_") || name.starts_with("fd_fd") => {
            Some(UNSUPPORTED)
        }
        "fd_readdir" | "fd_sync" | "fd_tell" | "fd_advise" | "fd_allocate" | "fd_pread" | "fd_pwrite"
        | "fd_renumber" => Some(UNSUPPORTED),
        _ => None,
    }
}

fn define(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, Guest>, fd: i32, list: i32, count: i32, out: i32| {
            let memory = memory(&mut caller)?;
            let mut text = Vec::new();
            for place in 0..count {
                let at = number(&memory, &caller, list + place * 8)?;
                let len = number(&memory, &caller, list + place * 8 + 4)?;
                text.extend(slice(&memory, &caller, at, len)?);
            }
            put(&memory, &mut caller, out, &(text.len() as u32).to_le_bytes())?;
            let level = match fd {
                1 => 2,
                2 => 4,
                _ => return Ok(BAD_DESCRIPTOR),
            };
            let guest = caller.data();
            guest.host.borrow_mut().print(guest.vm, level, String::from_utf8_lossy(&text).into_owned());
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(MODULE, "clock_time_get", |mut caller: Caller<'_, Guest>, clock: i32, _: i64, out: i32| {
        let now = caller.data().host.borrow().now;
        let time = match clock {
            0 => now,
            1 => now - crate::host::START * 1_000_000_000 + 1_000_000_000,
            _ => return Ok(UNSUPPORTED),
        };
        let memory = memory(&mut caller)?;
        put(&memory, &mut caller, out, &time.to_le_bytes())
    })?;
    linker.func_wrap(MODULE, "clock_res_get", |mut caller: Caller<'_, Guest>, _: i32, out: i32| {
        let memory = memory(&mut caller)?;
        put(&memory, &mut caller, out, &1_u64.to_le_bytes())
    })?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, Guest>, at: i32, len: i32| {
        // Envoy's cap on one call.
        if len as u32 > 64 * 1024 {
            return Ok(INVALID);
        }
        let bytes: Vec<u8> = (0..len).map(|_| next(&mut caller.data_mut().random)).collect();
        let memory = memory(&mut caller)?;
        put(&memory, &mut caller, at, &bytes)
    })?;
    linker.func_wrap(MODULE, "environ_sizes_get", |mut caller: Caller<'_, Guest>, count: i32, size: i32| {
        let list = environment(&caller);
        let memory = memory(&mut caller)?;
        put(&memory, &mut caller, count, &(list.len() as u32).to_le_bytes())?;
        let total: usize = list.iter().map(Vec::len).sum();
        put(&memory, &mut caller, size, &(total as u32).to_le_bytes())
    })?;
    linker.func_wrap(MODULE, "environ_get", |mut caller: Caller<'_, Guest>, pointers: i32, mut at: i32| {
        let list = environment(&caller);
        let memory = memory(&mut caller)?;
        for (place, pair) in list.iter().enumerate() {
            put(&memory, &mut caller, pointers + place as i32 * 4, &at.to_le_bytes())?;
            put(&memory, &mut caller, at, pair)?;
            at += pair.len() as i32;
        }
        Ok(SUCCESS)
    })?;
    linker.func_wrap(MODULE, "args_sizes_get", |mut caller: Caller<'_, Guest>, count: i32, size: i32| {
        let memory = memory(&mut caller)?;
        put(&memory, &mut caller, count, &[0; 4])?;
        put(&memory, &mut caller, size, &[0; 4])
    })?;
    linker.func_wrap(MODULE, "args_get", |_: Caller<'_, Guest>, _: i32, _: i32| SUCCESS)?;
    linker.func_wrap(MODULE, "proc_exit", |_: Caller<'_, Guest>, code: i32| -> Result<()> {
        bail!("the guest exited with {code}")
    })?;
    Ok(())
}

fn environment(caller: &Caller<'_, Guest>) -> Vec<Vec<u8>> {
    let host = caller.data().host.borrow();
    host.settings.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

/// SplitMix64, one byte at a time: repeatable, and different in every VM.
fn next(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 56) as u8
}

fn memory(caller: &mut Caller<'_, Guest>) -> Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(format_err!("the guest exports no memory")),
    }
}

fn slice<'a>(memory: &Memory, caller: &'a Caller<'_, Guest>, at: u32, len: u32) -> Result<&'a [u8]> {
    let range = at as usize..at as usize + len as usize;
    memory.data(caller).get(range).ok_or_else(|| format_err!("a pointer is outside the guest's memory"))
}

fn number(memory: &Memory, caller: &Caller<'_, Guest>, at: i32) -> Result<u32> {
    Ok(u32::from_le_bytes(slice(memory, caller, at as u32, 4)?.try_into().unwrap()))
}

fn put(memory: &Memory, caller: &mut Caller<'_, Guest>, at: i32, bytes: &[u8]) -> Result<i32> {
    memory.write(caller, at as u32 as usize, bytes)?;
    Ok(SUCCESS)
}
