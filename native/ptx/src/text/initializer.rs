//! Variable declarations: `.global .align 4 .b8 name[16] = {…}`.

use super::cursor::Cursor;
use super::syntax::{Initializer, Space, Variable};
use super::token::Token;
use crate::error::{LoadError, Place};
use crate::scalar::Scalar;

/// The largest variable taken; beyond it sizes would not fit address arithmetic of 32-bit spaces.
const MAX_BYTES: u64 = 1 << 32;

/// Parses what follows the state space, up to and without the closing `;`, `,` or `)`.
pub(super) fn variable<'a>(
    cursor: &mut Cursor<'a>,
    space: Space,
    external: bool,
) -> Result<Variable<'a>, LoadError> {
    let mut align = 0;
    let mut vector = 1;
    let scalar = loop {
        match cursor.peek() {
            Token::Dot("align") => {
                cursor.take();
                let place = cursor.place();
                align = cursor.small("an alignment")?;
                if !align.is_power_of_two() || align > 1 << 16 {
                    return Err(place.error("an alignment is a power of two up to 65536"));
                }
            }
            Token::Dot("v2") => {
                cursor.take();
                vector = 2;
            }
            Token::Dot("v4") => {
                cursor.take();
                vector = 4;
            }
            // `.ptr .global .align 8` only describes a kernel parameter.
            Token::Dot("ptr" | "global" | "shared" | "const" | "local")
                if space == Space::Param =>
            {
                cursor.take();
            }
            Token::Dot("attribute") => return cursor.unexpected("a variable without attributes"),
            _ => {
                let scalar = cursor.scalar()?;
                if scalar == Scalar::Pred {
                    return Err(cursor.place().error("a predicate cannot be a variable"));
                }
                if space == Space::Param && cursor.accept_dot("ptr") {
                    while let Token::Dot(
                        name @ ("global" | "shared" | "const" | "local" | "align"),
                    ) = cursor.peek()
                    {
                        cursor.take();
                        if name == "align" {
                            cursor.small("an alignment")?;
                        }
                    }
                }
                break scalar;
            }
        }
    };
    let place = cursor.place();
    let name = cursor.word("a variable name")?;
    let element = u64::from(scalar.bytes()) * vector;
    let (dimensions, unsized_array) = dimensions(cursor)?;
    let declared = dimensions
        .iter()
        .try_fold(element, |size, &n| size.checked_mul(n));
    let Some(mut size) = declared.filter(|&size| size <= MAX_BYTES) else {
        return Err(place.error(format!("`{name}` is larger than 4 GiB")));
    };
    let mut initial = Initializer::default();
    if cursor.accept(b'=') {
        if !matches!(space, Space::Global | Space::Const) {
            return Err(cursor
                .place()
                .error("only .global and .const variables can be initialised"));
        }
        let row = size
            .checked_div(dimensions.first().copied().unwrap_or(1))
            .unwrap_or(element);
        let shape = Shape {
            scalar,
            limit: if unsized_array { MAX_BYTES } else { size },
        };
        shape.value(cursor, &mut initial, row.max(1), 0)?;
        if unsized_array {
            size = initial.bytes.len() as u64;
        }
    }
    let unsized_array = unsized_array && size == 0;
    let align = if align == 0 { element as u32 } else { align };
    Ok(Variable {
        place,
        name,
        space,
        align,
        size,
        unsized_array,
        external,
        initial,
    })
}

fn dimensions(cursor: &mut Cursor) -> Result<(Vec<u64>, bool), LoadError> {
    let mut sizes = Vec::new();
    let mut open = false;
    while cursor.accept(b'[') {
        if cursor.is(b']') {
            if !sizes.is_empty() {
                return cursor.unexpected("a size: only the first may be left out");
            }
            open = true;
            sizes.push(0);
        } else {
            sizes.push(cursor.integer("an array size")?);
        }
        cursor.expect(b']')?;
    }
    Ok((sizes, open))
}

struct Shape {
    scalar: Scalar,
    limit: u64,
}

impl Shape {
    /// One value or a braced list, whose inner lists are padded to `row` bytes.
    fn value(
        &self,
        cursor: &mut Cursor,
        into: &mut Initializer,
        row: u64,
        depth: u32,
    ) -> Result<(), LoadError> {
        if depth > 8 {
            return Err(cursor.place().error("initialisers nest too deeply"));
        }
        if !cursor.accept(b'{') {
            return self.element(cursor, into);
        }
        while !cursor.accept(b'}') {
            let nested = cursor.is(b'{');
            let start = into.bytes.len() as u64;
            self.value(cursor, into, row, depth + 1)?;
            let end = start + row;
            if nested && (into.bytes.len() as u64) < end && end <= self.limit {
                cursor.pad(end - into.bytes.len() as u64)?;
                into.bytes.resize(end as usize, 0);
            }
            if !cursor.accept(b',') && !cursor.is(b'}') {
                return cursor.unexpected("`,` or `}`");
            }
        }
        Ok(())
    }

    fn element(&self, cursor: &mut Cursor, into: &mut Initializer) -> Result<(), LoadError> {
        let place = cursor.place();
        let size = self.scalar.bytes() as usize;
        if into.bytes.len() as u64 + size as u64 > self.limit {
            return Err(place.error("more values than the variable has room for"));
        }
        let negative = cursor.accept(b'-');
        let bits = match cursor.take() {
            Token::Integer(value) if self.scalar.float() => self.narrow(value as f64, place)?,
            Token::Integer(value) => value,
            Token::Single(bits) if self.scalar == Scalar::F64 => {
                f64::from(f32::from_bits(bits)).to_bits()
            }
            Token::Single(bits) if self.scalar.bytes() == 4 => u64::from(bits),
            Token::Double(bits) => self.narrow(f64::from_bits(bits), place)?,
            Token::Word(name) if !negative && size == 8 => self.symbol(cursor, into, name)?,
            Token::Word(name) => {
                return Err(place.error(format!("the address of `{name}` needs an 8-byte element")));
            }
            other => {
                return Err(place.error(format!("{} is not an initial value", other.describe())));
            }
        };
        let bits = match (negative, self.scalar.float()) {
            (false, _) => bits,
            (true, true) => bits ^ (1 << (size * 8 - 1)),
            (true, false) => bits.wrapping_neg(),
        };
        into.bytes.extend_from_slice(&bits.to_le_bytes()[..size]);
        Ok(())
    }

    fn narrow(&self, value: f64, place: Place) -> Result<u64, LoadError> {
        match self.scalar {
            Scalar::F32 => Ok(u64::from((value as f32).to_bits())),
            Scalar::F64 | Scalar::B64 => Ok(value.to_bits()),
            _ => Err(place.error("a floating point value for a variable that is not .f32 or .f64")),
        }
    }

    /// `name`, `name+4`, `generic(name)` or `generic(name)+4`; gives the addend.
    fn symbol(
        &self,
        cursor: &mut Cursor,
        into: &mut Initializer,
        name: &str,
    ) -> Result<u64, LoadError> {
        let mut target = name;
        if name == "generic" && cursor.accept(b'(') {
            target = cursor.word("a variable")?;
            cursor.expect(b')')?;
        }
        into.symbols
            .push((into.bytes.len() as u64, target.to_owned()));
        if cursor.accept(b'+') {
            let negative = cursor.accept(b'-');
            let value = cursor.integer("an offset")?;
            return Ok(if negative {
                value.wrapping_neg()
            } else {
                value
            });
        }
        if cursor.accept(b'-') {
            return Ok(cursor.integer("an offset")?.wrapping_neg());
        }
        Ok(0)
    }
}
