//! Builds one function's instructions.

use super::constants::Constants;
use super::instruction::{Class, Flow, Instruction, Label, Slot, Virtual};
use super::limits::{FUNCTION_OPERATIONS, LOCAL_BYTES, SWITCH_TARGETS};
use super::names::{Location, Scopes, SharedLayout, Symbols};
use crate::error::{LoadError, Place};
use crate::exec::lanes;
use crate::exec::op::{Handler, Isa};
use crate::exec::{control, integer, predicate};
use crate::text::syntax::{self, Function, Space, Statement, Variable};
use std::collections::HashMap;

pub(crate) struct Builder<'a, 'p> {
    pub isa: Isa,
    pub symbols: &'p Symbols<'a>,
    pub shared: &'p SharedLayout<'a>,
    pub constants: &'p mut Constants,
    pub number: usize,
    pub kernel: bool,
    pub scopes: Scopes<'a>,
    pub code: Vec<Instruction>,
    labels: HashMap<&'a str, Label>,
    placed: Vec<bool>,
    first_use: Vec<Place>,
    pub targets: HashMap<&'a str, Vec<(&'a str, Place)>>,
    pub local_bytes: u32,
    /// Offset, size and alignment of each parameter of a kernel.
    pub kernel_params: Vec<(u32, u32, u32)>,
    pub param_bytes: u32,
    /// The carry of `.cc` instructions.
    carry: Option<Virtual>,
    /// Of all `brx.idx` so far.
    pub switch_targets: usize,
    ret: Option<Label>,
    place: Place,
    /// The next operation is the first of its PTX instruction.
    fresh: bool,
    guarded: bool,
}

impl<'a, 'p> Builder<'a, 'p> {
    pub fn new(
        isa: Isa,
        symbols: &'p Symbols<'a>,
        shared: &'p SharedLayout<'a>,
        constants: &'p mut Constants,
        number: usize,
    ) -> Self {
        Builder {
            isa,
            symbols,
            shared,
            constants,
            number,
            kernel: symbols.function(number).kernel,
            scopes: Scopes::new(),
            code: Vec::new(),
            labels: HashMap::new(),
            placed: Vec::new(),
            first_use: Vec::new(),
            targets: HashMap::new(),
            local_bytes: 0,
            kernel_params: Vec::new(),
            param_bytes: 0,
            carry: None,
            switch_targets: 0,
            ret: None,
            place: Place::default(),
            fresh: false,
            guarded: false,
        }
    }

    /// Lowers the whole function.
    pub fn function(&mut self) -> Result<(), LoadError> {
        let function: &'a Function<'a> = self.symbols.function(self.number);
        self.formals(function)?;
        let Some(body) = &function.body else {
            return Err(function
                .place
                .error(format!("`{}` is declared but not defined", function.name)));
        };
        for statement in body {
            if let Statement::Targets { name, labels } = statement {
                self.targets.insert(name, labels.clone());
            }
        }
        for statement in body {
            self.statement(statement)?;
            if self.code.len() > FUNCTION_OPERATIONS || self.switch_targets > SWITCH_TARGETS {
                return Err(self.place.error(format!(
                    "`{}` has too many instructions or branch targets",
                    function.name
                )));
            }
        }
        self.fresh = false;
        self.finish()
    }

    fn finish(&mut self) -> Result<(), LoadError> {
        if let Some(ret) = self.ret {
            self.place_label(ret);
        }
        let run = if self.kernel {
            control::exit(self.isa)
        } else {
            control::ret(self.isa)
        };
        self.push(Instruction {
            flow: Flow::Leave,
            ..Instruction::new(run)
        });
        for (label, placed) in self.placed.iter().enumerate() {
            if !placed {
                let name = self
                    .labels
                    .iter()
                    .find(|(_, l)| **l as usize == label)
                    .map_or("", |(name, _)| name);
                return Err(self.first_use[label].error(format!("there is no label `{name}`")));
            }
        }
        Ok(())
    }

    fn formals(&mut self, function: &'a Function<'a>) -> Result<(), LoadError> {
        for variable in &function.returns {
            self.frame_variable(variable)?;
        }
        for variable in &function.params {
            if !self.kernel {
                self.frame_variable(variable)?;
                continue;
            }
            let offset = self.param_bytes.next_multiple_of(variable.align.max(1));
            let end = u64::from(offset) + variable.size;
            if end > 32_764 {
                return Err(variable
                    .place
                    .error("a kernel's parameters exceed 32764 bytes"));
            }
            let size = variable.size as u32;
            self.scopes
                .declare_variable(variable.name, Location::KernelParam(offset, size));
            self.kernel_params.push((offset, size, variable.align));
            self.param_bytes = end as u32;
        }
        Ok(())
    }

    fn frame_variable(&mut self, variable: &Variable<'a>) -> Result<u32, LoadError> {
        let start = frame_start(u64::from(self.local_bytes), variable);
        let end = start + variable.size;
        if end > LOCAL_BYTES {
            return Err(variable
                .place
                .error("local variables of one function exceed 512 KiB"));
        }
        self.scopes
            .declare_variable(variable.name, Location::Frame(start as u32));
        self.local_bytes = end as u32;
        Ok(start as u32)
    }

    fn statement(&mut self, statement: &'a Statement<'a>) -> Result<(), LoadError> {
        match statement {
            Statement::OpenScope => self.scopes.open(),
            Statement::CloseScope => self.scopes.close(),
            Statement::Targets { .. } => {}
            Statement::Register {
                place,
                scalar,
                name,
                count,
            } => {
                self.scopes
                    .declare_register(*place, *scalar, name, *count)?;
            }
            Statement::Variable(variable) => match variable.space {
                Space::Local | Space::Param => {
                    self.frame_variable(variable)?;
                }
                Space::Shared => {
                    let offset = self
                        .shared
                        .offset(Some(self.number), variable.name)
                        .unwrap_or(0);
                    self.scopes
                        .declare_variable(variable.name, Location::Shared(offset));
                }
                Space::Global | Space::Const => {
                    return Err(variable
                        .place
                        .error("a .global or .const variable is declared outside functions"));
                }
            },
            Statement::Label { place, name } => {
                let label = self.label(name, *place);
                if self.placed[label as usize] {
                    return Err(place.error(format!("label `{name}` stands twice")));
                }
                self.place_label(label);
            }
            Statement::Instruction(instruction) => self.instruction(instruction)?,
        }
        Ok(())
    }

    fn instruction(&mut self, instruction: &'a syntax::Instruction<'a>) -> Result<(), LoadError> {
        self.place = instruction.place;
        self.fresh = true;
        let Some((name, negated)) = instruction.guard else {
            return super::forms::lower(self, instruction, None);
        };
        let predicate = self.predicate(name, instruction.place)?;
        if instruction.opcode == "bra" {
            super::forms::lower(self, instruction, Some((predicate, negated)))?;
        } else if super::forms::joins_lanes(instruction.opcode) {
            // Not for a part of the active lanes: the others branch around it.
            let around = self.new_label(instruction.place);
            self.branch(predicate, !negated, around);
            super::forms::lower(self, instruction, None)?;
            self.place_label(around);
        } else {
            let start = self.code.len();
            let mut guard = Instruction::new(control::guard(self.isa));
            guard.a = predicate;
            guard.c = Slot::Raw(if negated { !0 } else { 0 });
            self.push(guard);
            self.guarded = true;
            super::forms::lower(self, instruction, None)?;
            self.guarded = false;
            self.push(Instruction::new(control::unguard(self.isa)));
            self.code[start].d = Slot::Raw((self.code.len() - start) as u32);
        }
        Ok(())
    }

    /// Jumps to where the function returns.
    pub fn return_jump(&mut self) {
        let label = match self.ret {
            Some(label) => label,
            None => {
                let label = self.new_label(self.place);
                self.ret = Some(label);
                label
            }
        };
        self.jump(label);
    }

    pub fn new_label(&mut self, place: Place) -> Label {
        self.placed.push(false);
        self.first_use.push(place);
        (self.placed.len() - 1) as Label
    }

    pub fn label(&mut self, name: &'a str, place: Place) -> Label {
        if let Some(&label) = self.labels.get(name) {
            return label;
        }
        let label = self.new_label(place);
        self.labels.insert(name, label);
        label
    }

    fn place_label(&mut self, label: Label) {
        self.placed[label as usize] = true;
        let mut mark = Instruction::new(control::meet(self.isa));
        mark.flow = Flow::Label(label);
        mark.line = self.place.line;
        self.code.push(mark);
    }

    pub fn jump(&mut self, label: Label) {
        let mut jump = Instruction::new(control::jump(self.isa));
        jump.flow = Flow::Jump(label);
        self.push(jump);
    }

    /// To the label where the predicate, or with `negated` its opposite, holds.
    pub fn branch(&mut self, predicate: Slot, negated: bool, label: Label) {
        let mut branch = Instruction::new(control::branch(self.isa));
        branch.a = predicate;
        branch.c = Slot::Raw(if negated { !0 } else { 0 });
        branch.flow = Flow::Branch(label);
        self.push(branch);
    }

    pub fn temp(&mut self, class: Class) -> Virtual {
        self.scopes.fresh(class)
    }

    pub fn carry(&mut self) -> Virtual {
        match self.carry {
            Some(carry) => carry,
            None => {
                let carry = self.temp(Class::Predicate);
                self.carry = Some(carry);
                carry
            }
        }
    }

    /// Adds an instruction.
    pub fn push(&mut self, mut instruction: Instruction) {
        instruction.line = self.place.line;
        instruction.counted = std::mem::take(&mut self.fresh);
        instruction.guarded = self.guarded;
        self.code.push(instruction);
    }

    pub fn copy_handler(&self, class: Class) -> Handler {
        match class {
            Class::Predicate => predicate::copy(self.isa),
            Class::Word => lanes::unary::<integer::Move<u32>>(self.isa),
            Class::Double => lanes::unary::<integer::Move<u64>>(self.isa),
        }
    }

    pub fn unary(&mut self, run: Handler, d: Slot, a: Slot) {
        self.push(Instruction {
            d,
            a,
            ..Instruction::new(run)
        });
    }

    pub fn binary(&mut self, run: Handler, d: Slot, a: Slot, b: Slot) {
        self.push(Instruction {
            d,
            a,
            b,
            ..Instruction::new(run)
        });
    }

    pub fn ternary(&mut self, run: Handler, d: Slot, a: Slot, b: Slot, c: Slot) {
        self.push(Instruction {
            d,
            a,
            b,
            c,
            ..Instruction::new(run)
        });
    }
}

/// A definition as a source of what follows.
pub(crate) fn used(slot: Slot) -> Slot {
    match slot {
        Slot::Def(v) => Slot::Use(v),
        other => other,
    }
}

fn frame_start(used: u64, variable: &Variable) -> u64 {
    used.next_multiple_of(u64::from(variable.align.clamp(1, 16)))
}

/// Where a function's results and parameters, in this order, are in its local frame: (offset, size) in bytes.
pub(crate) fn formal_offsets(function: &Function) -> Vec<(u32, u32)> {
    let mut used = 0;
    let mut offsets = Vec::new();
    for variable in function.returns.iter().chain(&function.params) {
        let start = frame_start(used, variable);
        used = start + variable.size;
        offsets.push((start as u32, variable.size as u32));
    }
    offsets
}
