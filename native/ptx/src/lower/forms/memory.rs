//! Loads, stores, fences.

use super::super::builder::{Builder, used};
use super::super::instruction::{Class, Instruction as Lowered, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::names::{Location, class_of};
use super::super::operand::{Address, exactly};
use crate::error::LoadError;
use crate::exec::op::{Handler, Isa};
use crate::exec::resolve::{GENERIC, GLOBAL, LOCAL, SHARED};
use crate::exec::{convert, lanes, memory};
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::{Instruction, Operand};

/// State spaces as they are named in loads and stores.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Global,
    Const,
    Shared,
    Local,
    Param,
    Generic,
}

const SPACES: &[(&str, Named)] = &[
    ("global", Named::Global),
    ("const", Named::Const),
    ("shared", Named::Shared),
    ("shared::cta", Named::Shared),
    ("local", Named::Local),
    ("param", Named::Param),
    ("param::entry", Named::Param),
    ("param::func", Named::Param),
];

pub(super) const SCOPES: &[(&str, ())] = &[("cta", ()), ("cluster", ()), ("gpu", ()), ("sys", ())];

pub(super) fn space(m: &mut Modifiers) -> Named {
    m.choice(SPACES).unwrap_or(Named::Generic)
}

fn hints(m: &mut Modifiers) {
    const HINTS: &[(&str, ())] = &[
        ("L1::evict_normal", ()),
        ("L1::evict_unchanged", ()),
        ("L1::evict_first", ()),
        ("L1::evict_last", ()),
        ("L1::no_allocate", ()),
        ("L2::64B", ()),
        ("L2::128B", ()),
        ("L2::256B", ()),
    ];
    while m.choice(HINTS).is_some() {}
}

/// `.weak`, or an ordering that makes the access one to watch.
fn ordering(m: &mut Modifiers, ordered: &[(&str, bool)]) -> Result<bool, LoadError> {
    let Some(watched) = m.choice(ordered) else {
        return Ok(false);
    };
    let scoped = matches!(m.peek(), Some("cta" | "cluster" | "gpu" | "sys"));
    if scoped {
        m.choice(SCOPES);
    }
    Ok(watched)
}

/// The handlers of one element size for each space.
macro_rules! by_space {
    ($isa:expr, $space:expr, $handler:ident, $t:ty) => {
        match $space {
            GLOBAL => memory::$handler::<$t, GLOBAL>($isa),
            SHARED => memory::$handler::<$t, SHARED>($isa),
            LOCAL => memory::$handler::<$t, LOCAL>($isa),
            _ => memory::$handler::<$t, GENERIC>($isa),
        }
    };
}

fn load_handler(isa: Isa, ty: Scalar, space: u8, vector: bool) -> Handler {
    match (ty.bytes(), ty.signed(), vector) {
        (1, true, false) => by_space!(isa, space, load, i8),
        (1, true, true) => by_space!(isa, space, load_vector, i8),
        (1, false, false) => by_space!(isa, space, load, u8),
        (1, false, true) => by_space!(isa, space, load_vector, u8),
        (2, true, false) => by_space!(isa, space, load, i16),
        (2, true, true) => by_space!(isa, space, load_vector, i16),
        (2, false, false) => by_space!(isa, space, load, u16),
        (2, false, true) => by_space!(isa, space, load_vector, u16),
        (4, _, false) => by_space!(isa, space, load, u32),
        (4, _, true) => by_space!(isa, space, load_vector, u32),
        (_, _, false) => by_space!(isa, space, load, u64),
        (_, _, true) => by_space!(isa, space, load_vector, u64),
    }
}

fn store_handler(isa: Isa, ty: Scalar, space: u8, vector: bool) -> Handler {
    match (ty.bytes(), vector) {
        (1, false) => by_space!(isa, space, store_to, u8),
        (1, true) => by_space!(isa, space, store_vector, u8),
        (2, false) => by_space!(isa, space, store_to, u16),
        (2, true) => by_space!(isa, space, store_vector, u16),
        (4, false) => by_space!(isa, space, store_to, u32),
        (4, true) => by_space!(isa, space, store_vector, u32),
        (_, false) => by_space!(isa, space, store_to, u64),
        (_, true) => by_space!(isa, space, store_vector, u64),
    }
}

fn param_handler(isa: Isa, ty: Scalar) -> Handler {
    match (ty.bytes(), ty.signed()) {
        (1, true) => memory::load_param::<i8>(isa),
        (1, false) => memory::load_param::<u8>(isa),
        (2, true) => memory::load_param::<i16>(isa),
        (2, false) => memory::load_param::<u16>(isa),
        (4, _) => memory::load_param::<u32>(isa),
        _ => memory::load_param::<u64>(isa),
    }
}

fn vector(m: &mut Modifiers) -> usize {
    m.choice(&[("v2", 2), ("v4", 4)]).unwrap_or(1)
}

/// The registers of a scalar or vector operand.
fn elements<'i, 'a>(
    operand: &'i Operand<'a>,
    count: usize,
) -> Result<&'i [Operand<'a>], LoadError> {
    match operand {
        Operand::Vector { items, .. } if count > 1 && items.len() == count => Ok(items),
        single if count == 1 && !matches!(single, Operand::Vector { .. }) => {
            Ok(std::slice::from_ref(single))
        }
        other => Err(other.place().error(format!(
            "expected {count} register{}",
            if count == 1 { "" } else { "s in braces" }
        ))),
    }
}

/// The space and address that an access really goes to.
pub(super) fn place<'a>(
    b: &mut Builder<'a, '_>,
    space: Named,
    operand: &Operand<'a>,
) -> Result<(u8, Address), LoadError> {
    let location = match operand {
        Operand::Address {
            name: Some(name), ..
        } if b.scopes.register(name).is_none() => b.variable(name),
        _ => None,
    };
    let fits = match (space, location) {
        (_, None) => true,
        (Named::Generic, _) => matches!(location, Some(Location::Global)),
        (Named::Global | Named::Const, Some(Location::Global)) => true,
        (Named::Shared, Some(Location::Shared(_))) => true,
        (Named::Local, Some(Location::Frame(_))) => true,
        (Named::Param, Some(Location::Frame(_) | Location::KernelParam(..))) => true,
        _ => false,
    };
    if !fits {
        return Err(operand
            .place()
            .error("this variable is in another state space"));
    }
    let mut address = b.address(operand)?;
    let space = match space {
        Named::Global | Named::Const => GLOBAL,
        Named::Shared => SHARED,
        Named::Local => LOCAL,
        Named::Generic => GENERIC,
        Named::Param if matches!(location, Some(Location::Frame(_))) || !b.kernel => LOCAL,
        Named::Param => {
            address.base = b.generic_param(address.base);
            GENERIC
        }
    };
    Ok((space, address))
}

pub(super) fn load<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let watched = ordering(
        &mut m,
        &[
            ("weak", false),
            ("volatile", true),
            ("relaxed", true),
            ("acquire", true),
            ("mmio", true),
        ],
    )?;
    let space = space(&mut m);
    const CACHES: &[(&str, ())] = &[("ca", ()), ("cg", ()), ("cs", ()), ("lu", ()), ("cv", ())];
    m.choice(CACHES);
    if space == Named::Global && m.accept("nc") {
        m.choice(CACHES);
    }
    hints(&mut m);
    let count = vector(&mut m);
    let ty = m.scalar(types::ANY)?;
    m.end()?;
    let [d, address] = exactly(i)?;
    if let (
        Named::Param,
        Operand::Address {
            name: Some(name),
            offset,
            place,
        },
    ) = (space, address)
        && b.scopes.register(name).is_none()
        && let Some(Location::KernelParam(at, size)) = b.variable(name)
    {
        let bytes = i64::from(ty.bytes()) * count as i64;
        if *offset < 0 || *offset > i64::from(size) - bytes {
            return Err(place.error(format!("`{name}` has {size} bytes; this reads beyond them")));
        }
        for (n, item) in elements(d, count)?.iter().enumerate() {
            let at = at + *offset as u32 + n as u32 * ty.bytes();
            let run = param_handler(b.isa, ty);
            into(b, item, ty, |b, d| {
                b.push(Lowered {
                    d,
                    b: Slot::Raw(at),
                    ..Lowered::new(run)
                })
            })?;
        }
        return Ok(());
    }
    let (space, address) = place(b, space, address)?;
    if watched {
        b.push(Lowered::new(memory::observe(b.isa)));
    }
    let run = load_handler(b.isa, ty, space, count > 1);
    let offset = Slot::Raw(address.offset as u32);
    if count == 1 {
        return into(b, d, ty, |b, d| {
            b.push(Lowered {
                d,
                a: address.base,
                b: offset,
                ..Lowered::new(run)
            })
        });
    }
    let mut list = Vec::new();
    let mut copies = Vec::new();
    for item in elements(d, count)? {
        let (target, declared) = b.any_target(item, ty)?;
        let part = Slot::Def(b.temp(class_of(ty)));
        wide_enough(item, declared, ty)?;
        if class_of(declared) == class_of(ty) && !list.contains(&target) {
            list.push(target);
        } else {
            list.push(part);
            copies.push((target, declared, part));
        }
    }
    b.push(Lowered {
        a: address.base,
        b: offset,
        y: Slot::Raw(count as u32),
        list,
        ..Lowered::new(run)
    });
    for (target, declared, part) in copies {
        extend(b, target, declared, used(part), ty);
    }
    Ok(())
}

fn wide_enough(operand: &Operand, declared: Scalar, ty: Scalar) -> Result<(), LoadError> {
    if declared == Pred || declared.bytes() < ty.bytes() {
        return Err(operand.place().error(format!(
            "this register is too small for {} bits",
            ty.bytes() * 8
        )));
    }
    Ok(())
}

/// Loads into a register that may be wider than the element.
fn into<'a, 'p>(
    b: &mut Builder<'a, 'p>,
    operand: &Operand<'a>,
    ty: Scalar,
    load: impl FnOnce(&mut Builder<'a, 'p>, Slot),
) -> Result<(), LoadError> {
    let (target, declared) = b.any_target(operand, ty)?;
    wide_enough(operand, declared, ty)?;
    if class_of(declared) == class_of(ty) {
        load(b, target);
        return Ok(());
    }
    let part = Slot::Def(b.temp(class_of(ty)));
    load(b, part);
    extend(b, target, declared, used(part), ty);
    Ok(())
}

fn extend(b: &mut Builder, target: Slot, declared: Scalar, value: Slot, ty: Scalar) {
    let run = match (class_of(declared) == class_of(ty), ty.signed()) {
        (true, _) => b.copy_handler(class_of(ty)),
        (false, true) => lanes::unary::<convert::Cast<i32, i64>>(b.isa),
        (false, false) => lanes::unary::<convert::Cast<u32, u64>>(b.isa),
    };
    b.unary(run, target, value);
}

pub(super) fn store<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let watched = ordering(
        &mut m,
        &[
            ("weak", false),
            ("volatile", true),
            ("relaxed", true),
            ("release", true),
            ("mmio", true),
        ],
    )?;
    let space = space(&mut m);
    m.choice(&[("wb", ()), ("cg", ()), ("cs", ()), ("wt", ())]);
    hints(&mut m);
    let count = vector(&mut m);
    let ty = m.scalar(types::ANY)?;
    m.end()?;
    let [address, value] = exactly(i)?;
    if space == Named::Const {
        return Err(i.place.error("constant memory cannot be written"));
    }
    let (space, address) = place(b, space, address)?;
    let mut list = Vec::new();
    for item in elements(value, count)? {
        let (source, declared) = b.any_source(item, ty)?;
        wide_enough(item, declared, ty)?;
        if class_of(declared) == class_of(ty) {
            list.push(source);
        } else {
            let low = Slot::Def(b.temp(Class::Word));
            b.unary(lanes::unary::<convert::Low>(b.isa), low, source);
            list.push(used(low));
        }
    }
    if watched {
        b.push(Lowered::new(memory::fence(b.isa)));
    }
    let run = store_handler(b.isa, ty, space, count > 1);
    let offset = Slot::Raw(address.offset as u32);
    match list[..] {
        [c] => b.push(Lowered {
            a: address.base,
            b: offset,
            c,
            ..Lowered::new(run)
        }),
        _ => b.push(Lowered {
            a: address.base,
            b: offset,
            y: Slot::Raw(count as u32),
            list,
            ..Lowered::new(run)
        }),
    }
    Ok(())
}

/// Nothing to do: the host has caches of its own.
pub(super) fn prefetch<'a>(_: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.choice(&[("global", ()), ("local", ())]);
    m.need("a cache level", &[("L1", ()), ("L2", ())])?;
    m.end()?;
    exactly::<1>(i).map(|_| ())
}

pub(super) fn fence<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    if i.opcode == "membar" {
        m.need("a level", &[("cta", ()), ("gl", ()), ("sys", ())])?;
    } else {
        m.choice(&[("sc", ()), ("acq_rel", ())]);
        m.need("a scope", SCOPES)?;
    }
    m.end()?;
    exactly::<0>(i)?;
    b.push(Lowered::new(memory::fence(b.isa)));
    Ok(())
}
