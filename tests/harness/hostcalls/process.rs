//! Hostcalls about the process: log, time, timers, metrics, properties, foreign functions, shared data, queues.

use super::{ENV, Env, code, run};
use crate::abi::{self, Status, Window};
use crate::vm::Guest;
use std::time::Duration;
use wasmtime::{Linker, Result};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    own(linker)?;
    sharing(linker)
}

/// Log, time, timers, metrics, properties, foreign functions.
fn own(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(ENV, "proxy_log", |mut env: Env<'_>, level: i32, at: i32, len: i32| {
        // The one hostcall that works from constructors too.
        let text = Window::open(&mut env).and_then(|window| window.read(at, len));
        code(text.map(|text| {
            let vm = env.data().vm;
            env.data().host.borrow_mut().print(vm, level as u32, String::from_utf8_lossy(&text).into_owned());
        }))
    })?;
    linker.func_wrap(ENV, "proxy_get_log_level", |mut env: Env<'_>, out: i32| {
        run(&mut env, |mut call| {
            let level = call.host().settings.log_level;
            call.window.number(out, level)
        })
    })?;
    linker.func_wrap(ENV, "proxy_get_current_time_nanoseconds", |mut env: Env<'_>, out: i32| {
        run(&mut env, |mut call| {
            let now = call.host().now;
            call.window.write(out, &now.to_le_bytes())
        })
    })?;
    linker.func_wrap(ENV, "proxy_set_tick_period_milliseconds", |mut env: Env<'_>, period: i32| {
        run(&mut env, |mut call| {
            let vm = call.vm;
            call.host().tick(vm, Duration::from_millis(u64::from(period as u32)));
            Ok(())
        })
    })?;
    linker.func_wrap(ENV, "proxy_define_metric", |mut env: Env<'_>, kind: i32, name: i32, len: i32, out: i32| {
        run(&mut env, |mut call| {
            let name = call.window.text(name, len)?;
            let metric = call.host().define(kind, name)?;
            call.window.number(out, metric)
        })
    })?;
    linker.func_wrap(ENV, "proxy_increment_metric", |mut env: Env<'_>, metric: i32, by: i64| {
        run(&mut env, |mut call| call.host().increment(metric as u32, by))
    })?;
    linker.func_wrap(ENV, "proxy_record_metric", |mut env: Env<'_>, metric: i32, value: i64| {
        run(&mut env, |mut call| call.host().record(metric as u32, value as u64))
    })?;
    linker.func_wrap(ENV, "proxy_get_metric", |mut env: Env<'_>, metric: i32, out: i32| {
        run(&mut env, |mut call| {
            let value = call.host().metric(metric as u32)?.value;
            call.window.write(out, &value.to_le_bytes())
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_property",
        |mut env: Env<'_>, path: i32, len: i32, address: i32, length: i32| {
            run(&mut env, |mut call| {
                let (path, vm, context) = (abi::path(&call.window.read(path, len)?), call.vm, call.context);
                let value = call.host().property(vm, context, &path)?;
                call.window.give(&value, address, length)
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_set_property", |mut env: Env<'_>, path: i32, len: i32, value: i32, size: i32| {
        run(&mut env, |mut call| {
            let path = abi::path(&call.window.read(path, len)?);
            let (value, vm, context) = (call.window.read(value, size)?, call.vm, call.context);
            call.host().remember(vm, context, &path, value)
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_call_foreign_function",
        |mut env: Env<'_>, name: i32, len: i32, argument: i32, size: i32, address: i32, length: i32| {
            let mut refusal = None;
            let status = run(&mut env, |mut call| {
                let (name, argument) = (call.window.text(name, len)?, call.window.read(argument, size)?);
                *call.host().called.entry(name.clone()).or_default() += 1;
                let outcome = call.host().foreign.get_mut(&name).ok_or(Status::NotFound)?(&argument);
                match outcome {
                    Ok(result) => call.window.give(&result, address, length),
                    Err(status) => {
                        refusal = Some(status);
                        Ok(())
                    }
                }
            })?;
            Ok(refusal.unwrap_or(status))
        },
    )?;
    Ok(())
}

/// Shared data and queues.
fn sharing(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_shared_data",
        |mut env: Env<'_>, key: i32, len: i32, address: i32, length: i32, cas: i32| {
            run(&mut env, |mut call| {
                let key = call.window.text(key, len)?;
                let (value, version) = call.host().datum(&key)?;
                call.window.give(&value, address, length)?;
                call.window.number(cas, version)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_shared_data",
        |mut env: Env<'_>, key: i32, len: i32, value: i32, size: i32, cas: i32| {
            run(&mut env, |mut call| {
                let (key, value) = (call.window.text(key, len)?, call.window.read(value, size)?);
                call.host().store(key, value, cas as u32)
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_register_shared_queue", |mut env: Env<'_>, name: i32, len: i32, out: i32| {
        run(&mut env, |mut call| {
            let (name, vm) = (call.window.text(name, len)?, call.vm);
            let queue = call.host().register(vm, name);
            call.window.number(out, queue)
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_resolve_shared_queue",
        |mut env: Env<'_>, vm_id: i32, size: i32, name: i32, len: i32, out: i32| {
            run(&mut env, |mut call| {
                let (vm_id, name) = (call.window.text(vm_id, size)?, call.window.text(name, len)?);
                let queue = call.host().resolve(&vm_id, &name)?;
                call.window.number(out, queue)
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_enqueue_shared_queue", |mut env: Env<'_>, queue: i32, value: i32, size: i32| {
        run(&mut env, |mut call| {
            let value = call.window.read(value, size)?;
            call.host().enqueue(queue as u32, value)
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_dequeue_shared_queue",
        |mut env: Env<'_>, queue: i32, address: i32, length: i32| {
            run(&mut env, |mut call| {
                let value = call.host().dequeue(queue as u32)?;
                call.window.give(&value, address, length)
            })
        },
    )?;
    Ok(())
}
