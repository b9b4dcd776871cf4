//! Function bodies: declarations, labels and instructions.

use super::cursor::Cursor;
use super::initializer::variable;
use super::syntax::{Instruction, Operand, Space, Statement};
use super::token::Token;
use crate::error::LoadError;

/// Every name is looked for in each scope around it.
const MAX_SCOPES: i32 = 256;

/// Parses from `{` to its `}`.
pub(super) fn parse<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Statement<'a>>, LoadError> {
    let open = cursor.place();
    cursor.expect(b'{')?;
    let mut statements = Vec::new();
    let mut depth: i32 = 1;
    while depth > 0 {
        if cursor.peek() == Token::End {
            return Err(open.error("this body is never closed"));
        }
        let before = statements.len();
        statement(cursor, &mut statements)?;
        depth += statements[before..]
            .iter()
            .map(Statement::nesting)
            .sum::<i32>();
        if depth > MAX_SCOPES {
            return Err(cursor.place().error("scopes nest too deeply"));
        }
    }
    statements.pop();
    Ok(statements)
}

fn statement<'a>(cursor: &mut Cursor<'a>, into: &mut Vec<Statement<'a>>) -> Result<(), LoadError> {
    match cursor.peek() {
        Token::Punct(b'{') => {
            cursor.take();
            into.push(Statement::OpenScope);
        }
        Token::Punct(b'}') => {
            cursor.take();
            into.push(Statement::CloseScope);
        }
        Token::Punct(b';') => {
            cursor.take();
        }
        Token::Dot(_) => directive(cursor, into)?,
        Token::Word(name) if cursor.ahead(1) == Token::Punct(b':') => {
            let place = cursor.place();
            cursor.take();
            cursor.take();
            if cursor.accept_dot("branchtargets") {
                let labels = targets(cursor)?;
                into.push(Statement::Targets { name, labels });
            } else {
                into.push(Statement::Label { place, name });
            }
        }
        Token::Word(_) | Token::Punct(b'@') => {
            into.push(Statement::Instruction(instruction(cursor)?))
        }
        _ => return cursor.unexpected("an instruction, a label or a declaration"),
    }
    Ok(())
}

fn targets<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<(&'a str, crate::error::Place)>, LoadError> {
    let mut labels = Vec::new();
    loop {
        let place = cursor.place();
        labels.push((cursor.word("a label")?, place));
        if !cursor.accept(b',') {
            cursor.expect(b';')?;
            return Ok(labels);
        }
    }
}

fn directive<'a>(cursor: &mut Cursor<'a>, into: &mut Vec<Statement<'a>>) -> Result<(), LoadError> {
    let place = cursor.place();
    let space = match cursor.take() {
        Token::Dot("reg") => return registers(cursor, into),
        Token::Dot("shared") => Space::Shared,
        Token::Dot("local") => Space::Local,
        Token::Dot("param") => Space::Param,
        Token::Dot("global") => Space::Global,
        Token::Dot("const") => Space::Const,
        Token::Dot("loc" | "file") => {
            cursor.skip_line();
            return Ok(());
        }
        Token::Dot("pragma") => {
            cursor.take();
            return cursor.expect(b';');
        }
        other => return Err(place.error(format!("unknown directive {}", other.describe()))),
    };
    loop {
        let declared = variable(cursor, space, false)?;
        into.push(Statement::Variable(declared));
        if !cursor.accept(b',') {
            return cursor.expect(b';');
        }
    }
}

fn registers<'a>(cursor: &mut Cursor<'a>, into: &mut Vec<Statement<'a>>) -> Result<(), LoadError> {
    let scalar = cursor.scalar()?;
    loop {
        let place = cursor.place();
        let name = cursor.word("a register name")?;
        let mut count = None;
        if cursor.accept(b'<') {
            count = Some(cursor.integer("a number of registers")?);
            cursor.expect(b'>')?;
        }
        into.push(Statement::Register {
            place,
            scalar,
            name,
            count,
        });
        if !cursor.accept(b',') {
            return cursor.expect(b';');
        }
    }
}

fn instruction<'a>(cursor: &mut Cursor<'a>) -> Result<Instruction<'a>, LoadError> {
    let mut guard = None;
    if cursor.accept(b'@') {
        let negated = cursor.accept(b'!');
        guard = Some((cursor.word("a predicate")?, negated));
    }
    let place = cursor.place();
    let opcode = cursor.word("an instruction")?;
    let mut modifiers = Vec::new();
    while let Token::Dot(name) = cursor.peek() {
        modifiers.push((name, cursor.place()));
        cursor.take();
    }
    let mut operands = Vec::new();
    while !cursor.accept(b';') {
        operands.push(operand(cursor, 0)?);
        if !cursor.accept(b',') && !cursor.is(b';') {
            return cursor.unexpected("`,` or `;`");
        }
    }
    Ok(Instruction {
        place,
        guard,
        opcode,
        modifiers,
        operands,
    })
}

fn operand<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Result<Operand<'a>, LoadError> {
    let place = cursor.place();
    match cursor.peek() {
        Token::Punct(b'[') => address(cursor),
        Token::Punct(open @ (b'{' | b'(')) if depth == 0 => {
            cursor.take();
            let close = if open == b'{' { b'}' } else { b')' };
            let mut items = Vec::new();
            while !cursor.accept(close) {
                items.push(operand(cursor, 1)?);
                if !cursor.accept(b',') && !cursor.is(close) {
                    return cursor.unexpected(&format!("`,` or `{}`", char::from(close)));
                }
            }
            Ok(if open == b'{' {
                Operand::Vector { items, place }
            } else {
                Operand::List { items, place }
            })
        }
        Token::Punct(b'!') => {
            cursor.take();
            Ok(Operand::Not {
                name: cursor.word("a predicate")?,
                place,
            })
        }
        Token::Punct(b'-') => {
            cursor.take();
            match cursor.take() {
                Token::Integer(value) => Ok(Operand::Integer {
                    value: value.wrapping_neg(),
                    negative: true,
                    place,
                }),
                Token::Double(bits) => Ok(Operand::Double {
                    bits: bits ^ (1 << 63),
                    place,
                }),
                Token::Single(bits) => Ok(Operand::Single {
                    bits: bits ^ (1 << 31),
                    place,
                }),
                other => Err(place.error(format!(
                    "expected a number after `-`, found {}",
                    other.describe()
                ))),
            }
        }
        Token::Integer(value) => {
            cursor.take();
            Ok(Operand::Integer {
                value,
                negative: false,
                place,
            })
        }
        Token::Single(bits) => {
            cursor.take();
            Ok(Operand::Single { bits, place })
        }
        Token::Double(bits) => {
            cursor.take();
            Ok(Operand::Double { bits, place })
        }
        Token::Word(name) => {
            cursor.take();
            named(cursor, name, place)
        }
        _ => cursor.unexpected("an operand"),
    }
}

fn named<'a>(
    cursor: &mut Cursor<'a>,
    name: &'a str,
    place: crate::error::Place,
) -> Result<Operand<'a>, LoadError> {
    match cursor.peek() {
        Token::Dot(component) => {
            cursor.take();
            Ok(Operand::Name {
                name,
                component: Some(component),
                place,
            })
        }
        Token::Punct(b'|') => {
            cursor.take();
            Ok(Operand::Pair {
                first: name,
                second: cursor.word("a predicate")?,
                place,
            })
        }
        Token::Punct(b'+' | b'-') => Ok(Operand::Sum {
            name,
            offset: offset(cursor)?,
            place,
        }),
        _ => Ok(Operand::Name {
            name,
            component: None,
            place,
        }),
    }
}

/// `+4`, `-4` or `+-4`; nothing is 0.
fn offset(cursor: &mut Cursor) -> Result<i64, LoadError> {
    let negative = if cursor.accept(b'+') {
        cursor.accept(b'-')
    } else if cursor.accept(b'-') {
        true
    } else {
        return Ok(0);
    };
    let value = cursor.integer("an offset")? as i64;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn address<'a>(cursor: &mut Cursor<'a>) -> Result<Operand<'a>, LoadError> {
    let place = cursor.place();
    cursor.expect(b'[')?;
    let (name, offset) = match cursor.peek() {
        Token::Word(name) => {
            cursor.take();
            (Some(name), offset(cursor)?)
        }
        Token::Integer(value) => {
            cursor.take();
            (None, value as i64)
        }
        _ => return cursor.unexpected("a register, a variable or a number"),
    };
    cursor.expect(b']')?;
    Ok(Operand::Address {
        name,
        offset,
        place,
    })
}
