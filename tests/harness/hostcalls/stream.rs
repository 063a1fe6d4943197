//! Hostcalls about a stream: its maps and buffers, going on, stopping, replying, calling out.

use super::{ENV, Env, run};
use crate::abi::{self, Buffer, Map, Status};
use crate::cluster::Call;
use crate::headers::Headers;
use crate::host::Local;
use crate::vm::Guest;
use std::time::Duration;
use wasmtime::{Linker, Result};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    maps(linker)?;
    steps(linker)
}

/// Header maps and buffers.
fn maps(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(ENV, "proxy_get_header_map_pairs", |mut env: Env<'_>, map: i32, address: i32, length: i32| {
        run(&mut env, |mut call| {
            let (vm, context) = (call.vm, call.context);
            let pairs = abi::encode(call.host().map(vm, context, Map::of(map)?)?);
            call.window.give(&pairs, address, length)
        })
    })?;
    linker.func_wrap(ENV, "proxy_set_header_map_pairs", |mut env: Env<'_>, map: i32, at: i32, len: i32| {
        run(&mut env, |mut call| {
            let headers = abi::decode(&call.window.read(at, len)?).ok_or(Status::BadArgument)?;
            let (vm, context) = (call.vm, call.context);
            *call.host().change(vm, context, Map::of(map)?)? = headers;
            Ok(())
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_value",
        |mut env: Env<'_>, map: i32, name: i32, len: i32, address: i32, length: i32| {
            run(&mut env, |mut call| {
                let (name, vm, context) = (call.window.text(name, len)?, call.vm, call.context);
                // Only ever the first of several values.
                let value = call.host().map(vm, context, Map::of(map)?)?.bytes(&name).map(<[u8]>::to_vec);
                call.window.give(&value.ok_or(Status::NotFound)?, address, length)
            })
        },
    )?;
    for (import, edit) in [
        (
            "proxy_add_header_map_value",
            (|headers, name, value| headers.add(name, value)) as fn(&mut Headers, &str, Vec<u8>),
        ),
        ("proxy_replace_header_map_value", |headers, name, value| headers.set(name, value)),
    ] {
        linker.func_wrap(
            ENV,
            import,
            move |mut env: Env<'_>, map: i32, name: i32, len: i32, value: i32, size: i32| {
                run(&mut env, |mut call| {
                    let (name, value) = (call.window.text(name, len)?, call.window.read(value, size)?);
                    let (vm, context) = (call.vm, call.context);
                    edit(call.host().change(vm, context, Map::of(map)?)?, &name, value);
                    Ok(())
                })
            },
        )?;
    }
    linker.func_wrap(ENV, "proxy_remove_header_map_value", |mut env: Env<'_>, map: i32, name: i32, len: i32| {
        run(&mut env, |mut call| {
            let (name, vm, context) = (call.window.text(name, len)?, call.vm, call.context);
            call.host().change(vm, context, Map::of(map)?)?.remove(&name);
            Ok(())
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_buffer_bytes",
        |mut env: Env<'_>, buffer: i32, start: i32, max: i32, address: i32, length: i32| {
            run(&mut env, |mut call| {
                let (vm, context) = (call.vm, call.context);
                let bytes = call.host().buffer(vm, context, Buffer::of(buffer)?)?;
                let (start, max) = (start as u32, max as u32);
                start.checked_add(max).ok_or(Status::BadArgument)?;
                let start = (start as usize).min(bytes.len());
                let end = start.saturating_add(max as usize).min(bytes.len());
                call.window.give(&bytes[start..end], address, length)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_buffer_bytes",
        |mut env: Env<'_>, buffer: i32, start: i32, length: i32, at: i32, len: i32| {
            run(&mut env, |mut call| {
                let (new, vm, context) = (call.window.read(at, len)?, call.vm, call.context);
                let (start, length) = (start as u32 as usize, length as u32 as usize);
                call.host().splice(vm, context, Buffer::of(buffer)?, start, length, &new)
            })
        },
    )?;
    Ok(())
}

/// Going on, stopping, replying, calling out.
fn steps(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(ENV, "proxy_continue_stream", |mut env: Env<'_>, kind: i32| {
        run(&mut env, |mut call| {
            let (vm, context) = (call.vm, call.context);
            call.host().resume(vm, context, kind)
        })
    })?;
    linker.func_wrap(ENV, "proxy_close_stream", |mut env: Env<'_>, kind: i32| {
        run(&mut env, |mut call| {
            let (vm, context) = (call.vm, call.context);
            call.host().close(vm, context, kind)
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_send_local_response",
        |mut env: Env<'_>,
         status: i32,
         details: i32,
         size: i32,
         body: i32,
         len: i32,
         headers: i32,
         total: i32,
         _grpc: i32| {
            run(&mut env, |mut call| {
                let details = String::from_utf8_lossy(&call.window.read(details, size)?).into_owned();
                let headers = abi::decode(&call.window.read(headers, total)?).ok_or(Status::BadArgument)?;
                let local = Local { status: status as u16, headers, body: call.window.read(body, len)?, details };
                let (vm, context) = (call.vm, call.context);
                call.host().reply(vm, context, local)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_http_call",
        |mut env: Env<'_>,
         cluster: i32,
         size: i32,
         headers: i32,
         total: i32,
         body: i32,
         len: i32,
         _trailers: i32,
         _count: i32,
         timeout: i32,
         out: i32| {
            run(&mut env, |mut call| {
                let cluster = call.window.text(cluster, size)?;
                let headers = abi::decode(&call.window.read(headers, total)?).ok_or(Status::BadArgument)?;
                let timeout = u64::try_from(timeout).map_err(|_| Status::BadArgument)?;
                let made = Call::new(cluster, headers, call.window.read(body, len)?, Duration::from_millis(timeout));
                let (vm, context) = (call.vm, call.context);
                let token = call.host().dispatch(vm, context, made)?;
                call.window.number(out, token)
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_set_effective_context", |mut env: Env<'_>, context: i32| {
        run(&mut env, |mut call| {
            let (vm, context) = (call.vm, context as u32);
            let known = context == call.window.caller.data().root || call.host().contexts.contains_key(&(vm, context));
            if !known {
                return Err(Status::BadArgument);
            }
            call.window.caller.data_mut().effective = context;
            Ok(())
        })
    })?;
    linker.func_wrap(ENV, "proxy_get_status", |mut env: Env<'_>, out: i32, address: i32, length: i32| {
        run(&mut env, |mut call| {
            let broken = call.host().delivery.as_ref().is_some_and(|delivery| delivery.headers.is_empty());
            let (number, text) = if broken { (11, &b"reset"[..]) } else { (0, &b""[..]) };
            call.window.number(out, number)?;
            call.window.give(text, address, length)
        })
    })?;
    linker.func_wrap(ENV, "proxy_done", |mut env: Env<'_>| run(&mut env, |_| Ok(())))?;
    Ok(())
}
