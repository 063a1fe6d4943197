//! One guest: its instance, its call entry points and how it starts.

use crate::host::Shared;
use crate::hostcalls;
use crate::wasi;
use wasmtime::{Engine, Instance, Linker, Module, Store, Val};

/// What a hostcall knows about the guest that makes it.
pub(crate) struct Guest {
    pub(crate) host: Shared,
    pub(crate) vm: usize,
    /// The context the running callback was made on.
    pub(crate) current: u32,
    /// The context the guest chose instead, 0 for none.
    pub(crate) effective: u32,
    pub(crate) root: u32,
    /// Most hostcalls are refused while constructors run.
    pub(crate) starting: bool,
    pub(crate) random: u64,
}

impl Guest {
    /// The context hostcalls act on.
    pub(crate) fn context(&self) -> u32 {
        if self.effective == 0 { self.current } else { self.effective }
    }
}

/// A guest with its state. A trap ends it for good.
pub(crate) struct Vm {
    store: Store<Guest>,
    instance: Instance,
    contexts: u32,
    pub(crate) poisoned: bool,
}

impl Vm {
    /// Instantiates the module and runs its constructors. A hostcall the harness does not know fails here, by name. The
    /// seed is where the guest's randomness starts.
    pub(crate) fn start(engine: &Engine, module: &Module, host: Shared, vm: usize, seed: u64) -> Result<Self, String> {
        let mut linker = Linker::new(engine);
        hostcalls::link(&mut linker);
        wasi::link(&mut linker, module);
        let guest = Guest { host, vm, current: 0, effective: 0, root: 1, starting: true, random: seed };
        let mut store = Store::new(engine, guest);
        let instance = linker.instantiate(&mut store, module).map_err(|error| format!("{error:#}"))?;
        let mut vm = Self { store, instance, contexts: 1, poisoned: false };
        vm.construct()?;
        vm.store.data_mut().starting = false;
        Ok(vm)
    }

    /// Makes one callback on `context`. A callback the module does not export answers `missing`; a trap is told as text
    /// and poisons the VM.
    pub(crate) fn call(&mut self, context: u32, name: &str, arguments: &[u32], missing: u32) -> Result<u32, String> {
        let guest = self.store.data_mut();
        guest.current = context;
        guest.effective = 0;
        let Some(function) = self.instance.get_func(&mut self.store, name) else {
            return Ok(missing);
        };
        let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(*argument as i32)).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        let outcome = function.call(&mut self.store, &arguments, &mut results);
        let guest = self.store.data_mut();
        guest.current = 0;
        guest.effective = 0;
        if let Err(trap) = outcome {
            self.poisoned = true;
            return Err(format!("{name}: {trap:#}"));
        }
        Ok(results.first().map_or(0, |result| result.unwrap_i32() as u32))
    }

    /// The number of the next context.
    pub(crate) fn context(&mut self) -> u32 {
        self.contexts += 1;
        self.contexts
    }

    /// How many bytes of memory the guest has; this never shrinks.
    pub(crate) fn memory(&mut self) -> usize {
        self.instance.get_memory(&mut self.store, "memory").map_or(0, |memory| memory.data_size(&self.store))
    }

    pub(crate) fn root(&self) -> u32 {
        self.store.data().root
    }

    /// A reactor is initialised and may have a `main` as well; a command is started.
    fn construct(&mut self) -> Result<(), String> {
        if self.instance.get_func(&mut self.store, "_initialize").is_some() {
            self.call(0, "_initialize", &[], 0)?;
            self.call(0, "main", &[0, 0], 0)?;
        } else {
            self.call(0, "_start", &[], 0)?;
        }
        Ok(())
    }
}
