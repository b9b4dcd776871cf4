//! Device memory for tests: one arena, whose device addresses are its host addresses.

use aquifer_ptx::{Access, Fault, Launch, Memory, Module, Stats, launch};
use std::sync::atomic::AtomicBool;

/// Memory that kernels may touch, and nothing else.
pub struct Arena {
    cells: Vec<u64>,
    used: u64,
}

// SAFETY: kernels reach the cells only through the addresses that `translate` and `window` give out.
unsafe impl Sync for Arena {}

#[allow(dead_code)]
impl Arena {
    pub fn new(bytes: usize) -> Arena {
        Arena {
            cells: vec![0; bytes.div_ceil(8)],
            used: 0,
        }
    }

    fn start(&self) -> u64 {
        self.cells.as_ptr() as u64
    }

    fn end(&self) -> u64 {
        self.start() + self.cells.len() as u64 * 8
    }

    /// Room for a copy of `data`, aligned to 256 bytes.
    pub fn put<T: Copy>(&mut self, data: &[T]) -> u64 {
        let bytes = std::mem::size_of_val(data);
        let address = (self.start() + self.used).next_multiple_of(256);
        assert!(
            address + bytes as u64 <= self.end(),
            "the test's arena is too small"
        );
        // SAFETY: in bounds as asserted, and nothing runs.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr().cast::<u8>(), address as *mut u8, bytes)
        };
        self.used = address + bytes as u64 - self.start();
        address
    }

    /// What is there now.
    pub fn get<T: Copy>(&self, address: u64, count: usize) -> Vec<T> {
        let bytes = (count * std::mem::size_of::<T>()) as u64;
        assert!(address >= self.start() && address + bytes <= self.end());
        // SAFETY: in bounds as asserted; every bit pattern is a number.
        (0..count)
            .map(|i| unsafe { (address as *const T).add(i).read_unaligned() })
            .collect()
    }
}

impl Memory for Arena {
    fn translate(&self, address: u64, bytes: u32, _: Access) -> Option<*mut u8> {
        let inside =
            address >= self.start() && address.checked_add(u64::from(bytes))? <= self.end();
        inside.then_some(address as *mut u8)
    }

    fn window(&self, address: u64) -> Option<(u64, u64, *mut u8)> {
        let inside = address >= self.start() && address < self.end();
        inside.then_some((self.start(), self.end(), self.start() as *mut u8))
    }
}

/// Parameters, laid out as C does.
#[derive(Default)]
pub struct Params(pub Vec<u8>);

#[allow(dead_code)]
impl Params {
    pub fn add(mut self, bytes: &[u8]) -> Params {
        self.0.resize(self.0.len().next_multiple_of(bytes.len()), 0);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u64(self, value: u64) -> Params {
        self.add(&value.to_le_bytes())
    }

    pub fn u32(self, value: u32) -> Params {
        self.add(&value.to_le_bytes())
    }
}

/// Parses, giving every variable a place in the arena.
#[allow(dead_code)]
pub fn load(source: &str, arena: &mut Arena) -> Module {
    load_with(Module::parse(source.as_bytes(), 90), source, arena)
}

/// As `load`, of a module that is parsed already.
pub fn load_with(
    parsed: Result<Module, aquifer_ptx::LoadError>,
    source: &str,
    arena: &mut Arena,
) -> Module {
    let mut module = match parsed {
        Ok(module) => module,
        Err(error) => panic!(
            "{error}\n{}",
            source.lines().nth(error.line as usize - 1).unwrap_or("")
        ),
    };
    let mut places = std::collections::HashMap::new();
    for global in module.globals() {
        let mut bytes = global.init.clone();
        bytes.resize(global.size as usize, 0);
        places.insert(global.name.clone(), arena.put(&bytes));
    }
    for global in module.globals() {
        for (offset, symbol) in &global.relocations {
            let at = (places[&global.name] + offset) as *mut u64;
            // SAFETY: the parser keeps relocations within the variable.
            unsafe { at.write_unaligned(at.read_unaligned().wrapping_add(places[symbol])) };
        }
    }
    module
        .bind(|name| places.get(name).copied())
        .unwrap_or_else(|name| panic!("{name} has no address"));
    module
}

/// Runs the module's first kernel.
#[allow(dead_code)]
pub fn run(
    module: &Module,
    arena: &Arena,
    grid: u32,
    block: u32,
    params: &Params,
) -> Result<Stats, Fault> {
    let sizes = Launch {
        grid: [grid, 1, 1],
        block: [block, 1, 1],
        dynamic_shared_bytes: 0,
        params: &params.0,
        deadline: None,
    };
    launch(module, 0, &sizes, arena, &AtomicBool::new(false), 1)
}

/// A generator of test data (splitmix64): the same seed gives the same data.
pub struct Random(pub u64);

#[allow(dead_code)]
impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
