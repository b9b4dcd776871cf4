//! Instructions between syntax and operations: handlers chosen, registers still virtual.

use crate::exec::op::Handler;

/// What a register holds and how much room it takes in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Predicate,
    Word,
    Double,
}

impl Class {
    pub const ALL: [Class; 3] = [Class::Double, Class::Word, Class::Predicate];

    /// Bytes in a frame: 32 cells, or the bits of a predicate.
    pub fn bytes(self) -> u32 {
        match self {
            Class::Predicate => 4,
            Class::Word => 128,
            Class::Double => 256,
        }
    }
}

/// A virtual register, by number.
pub(crate) type Virtual = u32;

/// One field of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A number, or an encoded constant operand.
    Raw(u32),
    Def(Virtual),
    Use(Virtual),
    /// An offset in the local frame of a function that this one calls, seen from this one's frame.
    CalleeLocal(u32),
}

/// A place in a function that branches can name.
pub(crate) type Label = u32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flow {
    /// On to the next.
    Next,
    Jump(Label),
    /// To the label or on to the next.
    Branch(Label),
    Switch(Vec<Label>),
    /// A device function, by its number in the module; then on to the next.
    Call(usize),
    /// Leaves the function.
    Leave,
    /// Not an operation: where a label stands.
    Label(Label),
}

#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub run: Handler,
    pub d: Slot,
    pub a: Slot,
    pub b: Slot,
    pub c: Slot,
    pub x: Slot,
    pub y: Slot,
    /// Registers of a vector access; `x` becomes their place in the extra table.
    pub list: Vec<Slot>,
    pub flow: Flow,
    pub line: u32,
    /// Whether it is the first (and counted) operation of a PTX instruction.
    pub counted: bool,
    /// Runs for a part of the active lanes, so what it defines was needed before.
    pub guarded: bool,
}

impl Instruction {
    pub fn new(run: Handler) -> Instruction {
        let zero = Slot::Raw(0);
        Instruction {
            run,
            d: zero,
            a: zero,
            b: zero,
            c: zero,
            x: zero,
            y: zero,
            list: Vec::new(),
            flow: Flow::Next,
            line: 0,
            counted: false,
            guarded: false,
        }
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        [self.d, self.a, self.b, self.c, self.x, self.y]
            .into_iter()
            .chain(self.list.iter().copied())
    }

    pub fn defs(&self) -> impl Iterator<Item = Virtual> + '_ {
        self.slots().filter_map(|slot| {
            if let Slot::Def(v) = slot {
                Some(v)
            } else {
                None
            }
        })
    }

    /// Registers whose value it needs.
    pub fn uses(&self) -> impl Iterator<Item = Virtual> + '_ {
        let guarded = self.guarded;
        self.slots().filter_map(move |slot| match slot {
            Slot::Use(v) => Some(v),
            Slot::Def(v) if guarded => Some(v),
            _ => None,
        })
    }
}
