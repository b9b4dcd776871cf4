//! A position in the token list, with the small steps every rule of the grammar is made of.

use super::token::Token;
use crate::error::{LoadError, Place};
use crate::scalar::Scalar;

/// Bytes of zeros that the initial values of a module may imply without writing them.
const PADDING: u64 = 64 << 20;

pub(super) struct Cursor<'a> {
    tokens: Vec<(Token<'a>, Place)>,
    at: usize,
    padding_left: u64,
}

impl<'a> Cursor<'a> {
    pub fn new(tokens: Vec<(Token<'a>, Place)>) -> Self {
        Cursor {
            tokens,
            at: 0,
            padding_left: PADDING,
        }
    }

    /// The token here; the last one, `End`, repeats for ever.
    pub fn peek(&self) -> Token<'a> {
        self.ahead(0)
    }

    pub fn ahead(&self, count: usize) -> Token<'a> {
        self.tokens.get(self.at + count).map_or(Token::End, |t| t.0)
    }

    pub fn place(&self) -> Place {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(Place::default(), |t| t.1)
    }

    pub fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub fn unexpected<T>(&self, wanted: &str) -> Result<T, LoadError> {
        Err(self.place().error(format!(
            "expected {wanted}, found {}",
            self.peek().describe()
        )))
    }

    pub fn is(&self, punct: u8) -> bool {
        self.peek() == Token::Punct(punct)
    }

    pub fn accept(&mut self, punct: u8) -> bool {
        let found = self.is(punct);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, punct: u8) -> Result<(), LoadError> {
        if self.accept(punct) {
            Ok(())
        } else {
            self.unexpected(&format!("`{}`", char::from(punct)))
        }
    }

    pub fn accept_dot(&mut self, name: &str) -> bool {
        let found = self.peek() == Token::Dot(name);
        self.at += usize::from(found);
        found
    }

    pub fn word(&mut self, what: &str) -> Result<&'a str, LoadError> {
        match self.peek() {
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.unexpected(what),
        }
    }

    pub fn integer(&mut self, what: &str) -> Result<u64, LoadError> {
        match self.peek() {
            Token::Integer(value) => {
                self.at += 1;
                Ok(value)
            }
            _ => self.unexpected(what),
        }
    }

    /// An integer that fits 32 bits.
    pub fn small(&mut self, what: &str) -> Result<u32, LoadError> {
        let place = self.place();
        let value = self.integer(what)?;
        u32::try_from(value).map_err(|_| place.error(format!("{value} is too large for {what}")))
    }

    /// A type such as `.u32`.
    pub fn scalar(&mut self) -> Result<Scalar, LoadError> {
        if let Token::Dot(name) = self.peek()
            && let Some(scalar) = Scalar::from_name(name)
        {
            self.at += 1;
            return Ok(scalar);
        }
        self.unexpected("a type such as .u32")
    }

    /// Accounts for bytes that are implied, not written.
    pub fn pad(&mut self, bytes: u64) -> Result<(), LoadError> {
        match self.padding_left.checked_sub(bytes) {
            Some(left) => {
                self.padding_left = left;
                Ok(())
            }
            None => Err(self
                .place()
                .error("these initial values leave too much out")),
        }
    }

    /// Consumes up to the end of the line of the last token.
    pub fn skip_line(&mut self) {
        let line = self.place().line;
        while self.peek() != Token::End && self.place().line == line {
            self.at += 1;
        }
    }
}
