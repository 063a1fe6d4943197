//! How VMs come to life: instance, constructors, root context, configuration.

use crate::machine::Core;
use crate::module;
use crate::vm::Vm;
use std::cell::RefCell;
use std::rc::Rc;

impl Core {
    /// Starts and configures the next VM. The error says which step failed.
    pub(crate) fn boot(&mut self, vm: usize) -> Result<(), String> {
        self.vms.push(RefCell::new(self.instance(vm, vm as u64 + 1)?));
        self.configure(vm)
    }

    /// A fresh VM where another trapped. What was shared between VMs survives, what was in it does not.
    pub(crate) fn reboot(&self, vm: usize) -> Result<(), String> {
        let seed = {
            let mut host = self.host.borrow_mut();
            let lost: Vec<u64> = host.waiting.iter().copied().filter(|id| host.calls[id].call.worker == vm).collect();
            host.waiting.retain(|id| !lost.contains(id));
            (host.traps.len() as u64) << 16 | vm as u64
        };
        self.vms[vm].replace(self.instance(vm, seed)?);
        self.configure(vm)
    }

    fn instance(&self, vm: usize, seed: u64) -> Result<Vm, String> {
        Vm::start(module::engine(), &self.module, Rc::clone(&self.host), vm, seed)
    }

    fn configure(&self, vm: usize) -> Result<(), String> {
        let root = self.vms[vm].borrow().root();
        let size = self.host.borrow().settings.configuration.len() as u32;
        // A root is made without a result; the other two refuse with 0.
        self.call(vm, root, "proxy_on_context_create", &[root, 0], 0).ok_or_else(|| self.last())?;
        for (name, size) in [("proxy_on_vm_start", 0), ("proxy_on_configure", size)] {
            match self.call(vm, root, name, &[root, size], 1) {
                None => return Err(self.last()),
                Some(0) => return Err(format!("{name} answered false")),
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn last(&self) -> String {
        self.host.borrow().traps.last().cloned().unwrap_or_default()
    }
}
