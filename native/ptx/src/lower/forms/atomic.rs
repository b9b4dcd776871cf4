//! `atom` and `red`.

use super::super::builder::Builder;
use super::super::instruction::{Instruction as Lowered, Slot};
use super::super::modifiers::Modifiers;
use super::memory::{Named, SCOPES, place, space};
use crate::error::LoadError;
use crate::exec::atomic::{self, *};
use crate::exec::op::{Handler, Isa};
use crate::exec::resolve::{GENERIC, GLOBAL, SHARED};
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::{Instruction, Operand};

/// The handlers of one update for each space.
macro_rules! by_space {
    ($isa:expr, $space:expr, $update:ty) => {
        match $space {
            GLOBAL => atomic::atomic::<$update, GLOBAL>($isa),
            SHARED => atomic::atomic::<$update, SHARED>($isa),
            _ => atomic::atomic::<$update, GENERIC>($isa),
        }
    };
}

fn handler(isa: Isa, space: u8, name: &str, ty: Scalar) -> Option<Handler> {
    macro_rules! pick {
        ($update:ty) => {
            by_space!(isa, space, $update)
        };
    }
    Some(match (name, ty) {
        ("add", U32 | S32) => pick!(Add<u32>),
        ("add", U64) => pick!(Add<u64>),
        ("add", F32) => pick!(AddFloat<f32>),
        ("add", F64) => pick!(AddFloat<f64>),
        ("add", F16) => pick!(AddHalf),
        ("add", F16x2) => pick!(AddHalves),
        ("and", B32) => pick!(And<u32>),
        ("and", B64) => pick!(And<u64>),
        ("or", B32) => pick!(Or<u32>),
        ("or", B64) => pick!(Or<u64>),
        ("xor", B32) => pick!(Xor<u32>),
        ("xor", B64) => pick!(Xor<u64>),
        ("min", U32) => pick!(Min<u32>),
        ("min", S32) => pick!(Min<i32>),
        ("min", U64) => pick!(Min<u64>),
        ("min", S64) => pick!(Min<i64>),
        ("max", U32) => pick!(Max<u32>),
        ("max", S32) => pick!(Max<i32>),
        ("max", U64) => pick!(Max<u64>),
        ("max", S64) => pick!(Max<i64>),
        ("inc", U32) => pick!(Increment<u32>),
        ("dec", U32) => pick!(Decrement<u32>),
        ("exch", B32) => pick!(Exchange<u32>),
        ("exch", B64) => pick!(Exchange<u64>),
        ("cas", B16) => pick!(CompareExchange<u16>),
        ("cas", B32) => pick!(CompareExchange<u32>),
        ("cas", B64) => pick!(CompareExchange<u64>),
        _ => return None,
    })
}

const NAMES: [&str; 10] = [
    "add", "and", "or", "xor", "min", "max", "inc", "dec", "exch", "cas",
];

pub(super) fn atom<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.choice(&[
        ("relaxed", ()),
        ("acquire", ()),
        ("release", ()),
        ("acq_rel", ()),
    ]);
    m.choice(SCOPES);
    let space = space(&mut m);
    if !matches!(space, Named::Global | Named::Shared | Named::Generic) {
        return Err(i
            .place
            .error("atomics are on .global, .shared or generic addresses"));
    }
    m.choice(SCOPES);
    let reduces = i.opcode == "red";
    let name = m
        .peek()
        .filter(|name| NAMES.contains(name))
        .ok_or_else(|| m.refusal("an operation"))?;
    m.accept(name);
    if reduces && matches!(name, "exch" | "cas") {
        return Err(i.place.error(format!("`red` has no .{name}")));
    }
    let half = m.accept("noftz");
    let any = [U32, S32, U64, S64, B16, B32, B64, F32, F64];
    let ty = m.scalar(if half { &[F16, F16x2] } else { &any })?;
    m.end()?;
    let (target, address, sources) = match (&i.operands[..], reduces) {
        ([address, rest @ ..], true) => (None, address, rest),
        ([d, address, rest @ ..], false) => (Some(d), address, rest),
        _ => return Err(i.place.error("an address is missing")),
    };
    let (space, address) = place(b, space, address)?;
    let Some(run) = handler(b.isa, space, name, ty) else {
        return Err(i
            .place
            .error(format!("`{}` has no .{name} of this type", i.opcode)));
    };
    let (x, y) = match sources {
        [x] if name != "cas" => (x, x),
        [x, y] if name == "cas" => (x, y),
        _ => {
            return Err(i
                .place
                .error(format!("wrong number of operands for .{name}")));
        }
    };
    let (x, y) = (b.source(x, ty)?, b.source(y, ty)?);
    let d = match target {
        None | Some(Operand::Name { name: "_", .. }) => Slot::Raw(UNWANTED),
        Some(target) => b.target(target, ty)?,
    };
    b.push(Lowered {
        d,
        a: address.base,
        b: x,
        c: y,
        y: Slot::Raw(address.offset as u32),
        ..Lowered::new(run)
    });
    Ok(())
}
