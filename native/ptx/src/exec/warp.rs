//! The state of one warp.

use super::block::BlockState;
use super::buffer::Buffer;
use super::fragment::Fragment;
use super::launch::Context;
use super::op::{CONSTANT, Op};
use super::program::{Layout, Program};
use super::resolve::Window;
use crate::error::Fault;

/// Why a warp left its loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// All lanes have exited.
    Done,
    /// Every fragment waits at a barrier.
    Blocked,
    /// It has run for long enough; others are due.
    Turn,
    Fault(Fault),
}

pub(crate) struct Warp {
    /// The current frame's registers, and the program's constants.
    base: [*mut u8; 2],
    /// Lanes for which the next operation has effect.
    pub mask: u32,
    /// Lanes of the current fragment.
    pub active: u32,
    pub reconverge: u32,
    /// Instructions it may still run before others are due.
    pub fuel: i64,
    pub lane_instructions: u64,
    code: *const Op,
    program: *const Program,
    pub context: *const Context<'static>,
    pub block: *mut BlockState,
    /// The ranges of global memory that were used last.
    pub windows: [Window; 4],
    /// Host addresses of the lanes, where they are not one base apart.
    pub pointers: [*mut u8; 32],
    pub shared: *mut u8,
    pub shared_bytes: u64,
    /// Lane 0's local memory; the next lane's is `local_stride` bytes further.
    pub local: *mut u8,
    pub local_stride: u64,
    registers: Buffer,
    pub thread_ids: [[u32; 32]; 3],
    pub index: u32,
    pub event: Event,
    // Divergence; see `fragment`.
    pub fragments: Vec<Fragment>,
    pub free: Vec<u32>,
    pub ready: Vec<u32>,
    pub current: u32,
    pub alive: u32,
    pub exited: u32,
    /// Lanes that have exited since the block last looked.
    pub exits: u32,
    pub frame: u32,
    pub local_frame: u32,
    pub turn: u32,
    /// Atomic and volatile accesses of the current fragment.
    pub spin: u32,
    /// A warp-level instruction runs for several fragments at once.
    pub together: bool,
}

/// Register bytes beyond which a call is a stack overflow.
const MAX_REGISTER_BYTES: usize = 8 << 20;

impl Warp {
    pub fn new(program: &Program, context: *const Context<'static>) -> Warp {
        Warp {
            base: [std::ptr::null_mut(), program.constants.start()],
            mask: 0,
            active: 0,
            reconverge: super::fragment::NONE,
            fuel: 0,
            lane_instructions: 0,
            code: program.ops.as_ptr(),
            program,
            context,
            block: std::ptr::null_mut(),
            windows: [Window::EMPTY; 4],
            pointers: [std::ptr::null_mut(); 32],
            shared: std::ptr::null_mut(),
            shared_bytes: 0,
            local: std::ptr::null_mut(),
            local_stride: u64::from(program.local_bytes),
            registers: Buffer::new(program.layout.bytes() as usize),
            thread_ids: [[0; 32]; 3],
            index: 0,
            event: Event::Done,
            fragments: Vec::new(),
            free: Vec::new(),
            ready: Vec::new(),
            current: 0,
            alive: 0,
            exited: 0,
            exits: 0,
            frame: 0,
            local_frame: 0,
            turn: 0,
            spin: 0,
            together: false,
        }
    }

    /// Where an operand's cells are.
    ///
    /// # Safety
    /// The operand must come from an operation of this warp's program, and `T` fit what it was made for.
    #[inline(always)]
    pub unsafe fn at<T>(&self, operand: u32) -> *mut T {
        // SAFETY: `lower` keeps every offset within the frame or the constants.
        unsafe {
            self.base[(operand >> 31) as usize]
                .add((operand & !CONSTANT) as usize)
                .cast()
        }
    }

    /// The bits of a predicate.
    ///
    /// # Safety
    /// As for `at`.
    #[inline(always)]
    pub unsafe fn predicate(&self, operand: u32) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { *self.at::<u32>(operand) }
    }

    /// Sets a predicate in the lanes of `mask`.
    ///
    /// # Safety
    /// As for `at`.
    #[inline(always)]
    pub unsafe fn set_predicate(&mut self, operand: u32, bits: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            let slot = self.at::<u32>(operand);
            *slot = (*slot & !self.mask) | (bits & self.mask);
        }
    }

    pub fn program(&self) -> &Program {
        // SAFETY: a warp lives within the launch, and the launch borrows the program.
        unsafe { &*self.program }
    }

    pub fn context(&self) -> &Context<'static> {
        // SAFETY: a warp lives within the launch, which owns the context.
        unsafe { &*self.context }
    }

    #[inline(always)]
    pub fn op_at(&self, pc: u32) -> *const Op {
        // SAFETY: every pc comes from `lower` and is within the operations.
        unsafe { self.code.add(pc as usize) }
    }

    #[inline(always)]
    pub fn index_of(&self, op: *const Op) -> u32 {
        ((op as usize - self.code as usize) / std::mem::size_of::<Op>()) as u32
    }

    pub fn line_of(&self, op: *const Op) -> u32 {
        self.program()
            .lines
            .get(self.index_of(op) as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Points the register base at the current frame.
    #[inline(always)]
    pub fn rebase(&mut self) {
        // SAFETY: `reserve` has seen to it that the frame is within the registers.
        self.base[0] = unsafe { self.registers.start().add(self.frame as usize) };
    }

    /// Makes room for a frame of `bytes` at the current one; false when that is too deep.
    pub fn reserve(&mut self, bytes: u32) -> bool {
        let end = self.frame as usize + bytes as usize;
        if end > MAX_REGISTER_BYTES {
            return false;
        }
        self.grow(end);
        self.rebase();
        true
    }

    fn grow(&mut self, end: usize) {
        if end > self.registers.len() {
            self.registers = self.registers.grown(end * 2);
        }
    }

    /// Moves to a frame beyond all others, which is only used until the next switch.
    pub fn use_spare_frame(&mut self) {
        let bytes = self.program().layout.bytes() as u32;
        let highest = self.fragments.iter().map(|f| f.frame).max();
        self.frame = highest.unwrap_or(0) + bytes;
        self.grow((self.frame + bytes) as usize);
        self.rebase();
    }

    /// Copies the registers of some lanes from a frame to another.
    pub fn copy_frame(&mut self, from: u32, to: u32, lanes: u32) {
        let Layout {
            doubles,
            words,
            predicates,
        } = self.program().layout;
        let start = self.registers.start();
        // SAFETY: both frames were reserved, with room for the whole layout, and are not the same.
        unsafe {
            let (from, to) = (start.add(from as usize), start.add(to as usize));
            for lane in (0..32).filter(|lane| lanes & (1 << lane) != 0) {
                for double in 0..doubles as usize {
                    let cell = double * 32 + lane;
                    *to.cast::<u64>().add(cell) = *from.cast::<u64>().add(cell);
                }
                for word in 0..words as usize {
                    let cell = doubles as usize * 64 + word * 32 + lane;
                    *to.cast::<u32>().add(cell) = *from.cast::<u32>().add(cell);
                }
            }
            for predicate in 0..predicates as usize {
                let cell = (doubles * 64 + words * 32) as usize + predicate;
                let target = to.cast::<u32>().add(cell);
                *target = (*target & !lanes) | (*from.cast::<u32>().add(cell) & lanes);
            }
        }
    }

    /// Leaves the loop with a fault.
    #[cold]
    pub fn fail(&mut self, fault: Fault) -> *const Op {
        self.event = Event::Fault(fault);
        std::ptr::null()
    }

    /// Runs until something happens that the block must see to.
    pub fn run(&mut self, fuel: i64) {
        self.fuel = fuel;
        let mut op = self.switch();
        while !op.is_null() {
            // SAFETY: `switch` and every handler give operations of this program.
            op = unsafe { ((*op).run)(self, op) };
        }
    }
}
