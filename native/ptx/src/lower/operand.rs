//! Operands to slots.

use super::builder::{Builder, used};
use super::instruction::{Class, Instruction, Slot};
use super::names::{Location, class_of};
use crate::error::{LoadError, Place};
use crate::exec::lanes::{self};
use crate::exec::special::Special;
use crate::exec::{convert, integer, memory, resolve, special};
use crate::scalar::Scalar;
use crate::text::syntax::{Instruction as Syntax, Operand, Space};

/// An address as a load or store takes it.
pub(crate) struct Address {
    /// A 64-bit register or constant.
    pub base: Slot,
    pub offset: i32,
}

/// The operands, exactly `N` of them.
pub(crate) fn exactly<'i, 'a, const N: usize>(
    instruction: &'i Syntax<'a>,
) -> Result<&'i [Operand<'a>; N], LoadError> {
    <&[Operand; N]>::try_from(&instruction.operands[..]).map_err(|_| {
        let found = instruction.operands.len();
        instruction.place.error(format!(
            "`{}` takes {N} operands here, found {found}",
            instruction.opcode
        ))
    })
}

impl<'a> Builder<'a, '_> {
    /// A predicate register, read.
    pub fn predicate(&mut self, name: &'a str, place: Place) -> Result<Slot, LoadError> {
        match self.scopes.register(name) {
            Some((register, Scalar::Pred)) => Ok(Slot::Use(register)),
            Some(_) => Err(place.error(format!("`{name}` is not a predicate"))),
            None => Err(place.error(format!("unknown predicate `{name}`"))),
        }
    }

    /// A predicate operand, perhaps negated or a constant.
    pub fn predicate_source(&mut self, operand: &Operand<'a>) -> Result<Slot, LoadError> {
        match operand {
            Operand::Name {
                name,
                component: None,
                place,
            } => self.predicate(name, *place),
            Operand::Not { name, place } => {
                let source = self.predicate(name, *place)?;
                let temp = self.temp(Class::Predicate);
                self.binary(
                    crate::exec::predicate::not(self.isa),
                    Slot::Def(temp),
                    source,
                    source,
                );
                Ok(Slot::Use(temp))
            }
            Operand::Integer { value, .. } => Ok(self
                .constants
                .value(Class::Predicate, if *value != 0 { !0 } else { 0 })),
            other => Err(other.place().error("expected a predicate")),
        }
    }

    /// A register to write, of exactly `bytes` bytes (a predicate for `Scalar::Pred`). `_` is a register nobody reads.
    pub fn target(&mut self, operand: &Operand<'a>, scalar: Scalar) -> Result<Slot, LoadError> {
        let (slot, declared) = self.any_target(operand, scalar)?;
        self.check(declared, scalar, operand.place())?;
        Ok(slot)
    }

    /// A register to write and the type it was declared with.
    pub fn any_target(
        &mut self,
        operand: &Operand<'a>,
        scalar: Scalar,
    ) -> Result<(Slot, Scalar), LoadError> {
        let Operand::Name {
            name,
            component: None,
            place,
        } = operand
        else {
            return Err(operand.place().error("expected a register to write"));
        };
        if *name == "_" {
            return Ok((Slot::Def(self.temp(class_of(scalar))), scalar));
        }
        match self.scopes.register(name) {
            Some((register, declared)) => Ok((Slot::Def(register), declared)),
            None => Err(place.error(format!("unknown register `{name}`"))),
        }
    }

    fn check(&self, declared: Scalar, wanted: Scalar, place: Place) -> Result<(), LoadError> {
        let predicate = (declared == Scalar::Pred) == (wanted == Scalar::Pred);
        if predicate && declared.bytes() == wanted.bytes() {
            return Ok(());
        }
        let width = |scalar: Scalar| match scalar {
            Scalar::Pred => "a predicate".to_owned(),
            other => format!("{} bits", other.bytes() * 8),
        };
        Err(place.error(format!(
            "this register has {}, the instruction needs {}",
            width(declared),
            width(wanted)
        )))
    }

    /// A value of exactly the type's size: register, special register or literal.
    pub fn source(&mut self, operand: &Operand<'a>, scalar: Scalar) -> Result<Slot, LoadError> {
        if scalar == Scalar::Pred {
            return self.predicate_source(operand);
        }
        let (slot, declared) = self.any_source(operand, scalar)?;
        self.check(declared, scalar, operand.place())?;
        Ok(slot)
    }

    /// A value and the type of its register; literals are taken as of type `scalar`.
    pub fn any_source(
        &mut self,
        operand: &Operand<'a>,
        scalar: Scalar,
    ) -> Result<(Slot, Scalar), LoadError> {
        match operand {
            Operand::Name {
                name,
                component,
                place,
            } => {
                if component.is_none()
                    && let Some((register, declared)) = self.scopes.register(name)
                {
                    return Ok((Slot::Use(register), declared));
                }
                if let Some((which, wide)) = Special::from_name(name, *component) {
                    let declared = if wide { Scalar::U64 } else { Scalar::U32 };
                    let temp = Slot::Def(self.temp(class_of(declared)));
                    self.special(which, wide, temp);
                    return Ok((used(temp), declared));
                }
                Err(place.error(format!("unknown register `{name}`")))
            }
            Operand::Integer { .. } | Operand::Single { .. } | Operand::Double { .. } => {
                Ok((self.literal(operand, scalar)?, scalar))
            }
            other => Err(other.place().error("expected a register or a number")),
        }
    }

    /// d = a special register.
    pub fn special(&mut self, which: Special, wide: bool, d: Slot) {
        let mut read = Instruction::new(special::special(self.isa));
        read.d = d;
        read.x = Slot::Raw(which as u32);
        read.y = Slot::Raw(u32::from(wide));
        self.push(read);
    }

    fn literal(&mut self, operand: &Operand<'a>, scalar: Scalar) -> Result<Slot, LoadError> {
        use Scalar::*;
        let bits = match (operand, scalar) {
            (Operand::Integer { .. }, F16 | F32 | F64) => {
                return Err(operand
                    .place()
                    .error("a floating point instruction needs a literal such as 0f3F800000"));
            }
            (Operand::Integer { value, .. }, _) => *value,
            (Operand::Single { bits, .. }, F32 | B32 | U32 | S32 | F16x2) => u64::from(*bits),
            (Operand::Double { bits, .. }, F32) => {
                u64::from((f64::from_bits(*bits) as f32).to_bits())
            }
            (Operand::Double { bits, .. }, F64 | B64) => *bits,
            (Operand::Single { bits, .. }, F64) => f64::from(f32::from_bits(*bits)).to_bits(),
            _ => {
                return Err(operand
                    .place()
                    .error("this literal does not fit the instruction's type"));
            }
        };
        Ok(self.constants.value(class_of(scalar), bits))
    }

    pub fn double(&mut self, value: u64) -> Slot {
        self.constants.value(Class::Double, value)
    }

    pub fn word(&mut self, value: u32) -> Slot {
        self.constants.value(Class::Word, u64::from(value))
    }

    /// Where a variable is, wherever it is declared.
    pub fn variable(&self, name: &'a str) -> Option<Location> {
        if let Some(location) = self.scopes.variable(name) {
            return Some(location);
        }
        let variable = self.symbols.variables.get(name)?;
        Some(match variable.space {
            Space::Shared => Location::Shared(self.shared.offset(None, name)?),
            _ => Location::Global,
        })
    }

    /// A variable's address in its own space plus an offset, as a 64-bit value.
    pub fn address_of(
        &mut self,
        name: &'a str,
        offset: i64,
        place: Place,
    ) -> Result<Slot, LoadError> {
        match self.variable(name) {
            Some(Location::Global) => Ok(self.constants.symbol(name, offset as u64)),
            Some(Location::Shared(at)) => {
                Ok(self.double(u64::from(at).wrapping_add(offset as u64)))
            }
            Some(Location::KernelParam(at, _)) => {
                Ok(self.double(u64::from(at).wrapping_add(offset as u64)))
            }
            Some(Location::Frame(at)) => {
                let temp = Slot::Def(self.temp(Class::Double));
                let mut address = Instruction::new(memory::frame_address(self.isa));
                address.d = temp;
                address.b = Slot::Raw(at.wrapping_add(offset as u32));
                self.push(address);
                Ok(used(temp))
            }
            None if self.symbols.functions.contains_key(name) => Err(place.error(format!(
                "the address of function `{name}`: indirect calls are not supported"
            ))),
            None => Err(place.error(format!("unknown name `{name}`"))),
        }
    }

    /// The address in brackets.
    pub fn address(&mut self, operand: &Operand<'a>) -> Result<Address, LoadError> {
        let Operand::Address {
            name,
            offset,
            place,
        } = operand
        else {
            return Err(operand.place().error("expected an address in brackets"));
        };
        let Some(name) = name else {
            let base = self.double(*offset as u64);
            return Ok(Address { base, offset: 0 });
        };
        let Some((register, declared)) = self.scopes.register(name) else {
            return Ok(Address {
                base: self.address_of(name, *offset, *place)?,
                offset: 0,
            });
        };
        let base = match class_of(declared) {
            Class::Double => Slot::Use(register),
            Class::Word if declared.bytes() == 4 => {
                let temp = Slot::Def(self.temp(Class::Double));
                self.unary(
                    lanes::unary::<convert::Cast<u32, u64>>(self.isa),
                    temp,
                    Slot::Use(register),
                );
                used(temp)
            }
            _ => {
                return Err(place.error(format!(
                    "`{name}` cannot hold an address: it needs 32 or 64 bits"
                )));
            }
        };
        match i32::try_from(*offset) {
            Ok(offset) => Ok(Address { base, offset }),
            Err(_) => Ok(Address {
                base: self.add_to(base, *offset as u64),
                offset: 0,
            }),
        }
    }

    /// A 64-bit value plus a constant.
    pub fn add_to(&mut self, base: Slot, value: u64) -> Slot {
        let temp = Slot::Def(self.temp(Class::Double));
        let value = self.double(value);
        self.binary(
            lanes::binary::<integer::Add<u64>>(self.isa),
            temp,
            base,
            value,
        );
        used(temp)
    }

    /// The generic address of a parameter-space address of the kernel.
    pub fn generic_param(&mut self, base: Slot) -> Slot {
        self.add_to(base, resolve::PARAM_BASE)
    }
}
